"""A Raspberry Pi's camera: a fake of its library gives the frames, as no Pi is here."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.opening import open_source


class Picamera2:
    """Play the library's class: five frames, then the camera is gone."""

    made: list["Picamera2"]

    def __init__(self, index: int) -> None:
        if index > 1:
            raise IndexError("list index out of range")
        self.index, self.state, self.taken = index, "open", 0
        Picamera2.made.append(self)

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        return wanted

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def start(self) -> None:
        self.state = "started"

    def capture_array(self, name: str) -> np.ndarray:
        assert (name, self.state) == ("main", "started")
        if self.taken == 5:
            raise RuntimeError("Camera frontend has timed out!")
        self.taken += 1
        width, height = self.configuration["main"]["size"]
        return np.full((height, width, 3), (10 * self.taken, 20, 30), np.uint8)

    def stop(self) -> None:
        self.state = "stopped"

    def close(self) -> None:
        self.state = "closed"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Picamera2]:
    library = ModuleType("picamera2")
    library.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", library)
    Picamera2.made = []
    return Picamera2.made


def test_frames_come_until_the_camera_is_lost(made: list[Picamera2]) -> None:
    taken = []
    uri = "picamera2://1?width=64&height=48&fps=15"
    with open_source(uri, reconnect_s=0.0) as source:
        assert (source.is_live, source.size, source.fps) == (True, (48, 64), 15.0)
        with pytest.raises(SourceLost, match="Camera 1 stopped giving frames"):
            taken.extend(source)
    (camera,) = made
    assert camera.index == 1
    assert camera.configuration == {
        "main": {"size": (64, 48), "format": "RGB888"}, "controls": {"FrameRate": 15.0}
    }  # fmt: skip
    assert camera.state == "closed"
    assert 1 <= len(taken) <= 4  # one was for the size; only the newest waits
    assert taken[-1].image.shape == (48, 64, 3)
    assert (taken[-1].image[0, 0, 1:] == (20, 30)).all()


def test_the_first_camera_in_its_usual_mode(made: list[Picamera2]) -> None:
    open_source("picamera2://").close()
    assert made[0].index == 0
    assert made[0].configuration["main"]["size"] == (1280, 720)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("picamera2://front", "cannot be read"),
        ("picamera2://0?format=MJPG", "cannot be read"),
        ("picamera2://0?zoom=2", "no option 'zoom'"),
        ("picamera2://7", r"cannot be opened \(list index.*rpicam-hello"),
    ],
)
def test_what_cannot_be_is_refused(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(uri)


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match=r"needs picamera2.*python3-picamera2"):
        open_source("picamera2://0")


def test_a_library_built_for_numpy_1_gets_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `import simplejpeg` of version 1.6.6 fails beside numpy 2."""
    said = "numpy.dtype size changed, may indicate binary incompatibility."
    (tmp_path / "picamera2.py").write_text(f"raise ValueError({said!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(SourceError, match=r"cannot be loaded \(numpy.*--upgrade simplejpeg"):
        open_source("picamera2://0")
