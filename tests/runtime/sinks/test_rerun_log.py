"""Recordings for Rerun: a fake library takes the calls; where the real one is, it reads them."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.opening import open_sink
from edge_vos.runtime.sinks.rerun_log import RerunLog
from edge_vos.runtime.sources.frame import Frame

SIZE = (48, 64)


class Recording:
    """Play Rerun's recording stream."""

    made: ClassVar[list["Recording"]] = []

    def __init__(self, name: str) -> None:
        self.name, self.logged, self.times = name, [], {}
        self.full = self.closed = False
        Recording.made.append(self)

    def save(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise RuntimeError("Failed to create file: No such file or directory")
        path.write_bytes(b"RRF2")

    def set_time(self, timeline: str, **at: float) -> None:
        self.times[timeline] = at

    def log(self, entity: str | list[str], what: tuple[str, Any]) -> None:
        self.logged.append((entity, *what, dict(self.times)))

    def flush(self) -> None:
        if self.full:
            raise RuntimeError("Failed to write: No space left on device")

    def disconnect(self) -> None:
        self.closed = True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    fake = ModuleType("rerun")
    fake.RecordingStream = Recording  # type: ignore[attr-defined]
    for kind in ("AnnotationContext", "SegmentationImage", "Scalars", "TextLog"):
        setattr(fake, kind, lambda value, kind=kind: (kind, value))
    fake.EncodedImage = (  # type: ignore[attr-defined]
        lambda contents, media_type: ("EncodedImage", (contents, media_type))
    )
    monkeypatch.setitem(sys.modules, "rerun", fake)
    monkeypatch.setattr(Recording, "made", [])
    return Recording.made


def _pair(index: int = 0, event: Any = None, name: str = "cup") -> tuple[Frame, FrameResult]:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:30] = 1
    state = ObjectState(1, 200, (10, 10, 20, 10), 0.75, False, name, 7, event)
    image = np.full((*SIZE, 3), 90, np.uint8)
    return (
        Frame(image, index, index * 0.04, 0.0, 0.0),
        FrameResult(mask, np.zeros((2, 12, 16), np.float32), (state,), {}, index),
    )


def test_each_frame_is_logged_at_its_time(tmp_path: Path, library: list[Recording]) -> None:
    path = tmp_path / "new" / "session.rrd"
    with open_sink(str(path), 25.0, SIZE) as sink:
        sink.write(*_pair(0))
        sink.write(*_pair(1, event="lost"))
        sink.write(*_pair(2, name=""))
        assert not path.exists()
    (recording,) = library
    assert path.exists()
    assert recording.closed
    assert sink.files == (str(path),)
    kinds = [kind for _, kind, _, _ in recording.logged]
    assert kinds.count("AnnotationContext") == 2, "only where names or colours change"
    assert kinds.count("EncodedImage") == kinds.count("SegmentationImage") == 3
    entity, _, (jpeg, media), times = recording.logged[kinds.index("EncodedImage")]
    assert (entity, media) == ("frame", "image/jpeg")
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (*SIZE, 3)
    assert times == {"frame": {"sequence": 0}, "time": {"duration": 0.0}}
    plots = [(entity, value) for entity, kind, value, _ in recording.logged if kind == "Scalars"]
    assert plots == [(["confidence", "7 cup"], 0.75)] * 2 + [(["confidence", "7"], 0.75)]
    assert [value for _, kind, value, _ in recording.logged if kind == "TextLog"] == ["cup is lost"]


def test_without_a_frame_there_is_no_file(tmp_path: Path, library: list[Recording]) -> None:
    path = tmp_path / "session.rrd"
    sink = RerunLog(path)
    sink.close()
    sink.close()
    sink.write(*_pair())
    assert not list(tmp_path.iterdir())
    assert sink.files == ()
    assert not library[0].logged


def test_a_full_disk_is_told(tmp_path: Path, library: list[Recording]) -> None:
    sink = RerunLog(tmp_path / "session.rrd")
    sink.write(*_pair())
    library[0].full = True
    with pytest.raises(SinkError, match="No space left"):
        sink.write(*_pair(1))
    sink.close()
    names = [path.name for path in tmp_path.iterdir()]
    assert names == ["session.partial.rrd"], "what was written stays, and is not called complete"


def test_an_existing_file_is_kept(tmp_path: Path, library: list[Recording]) -> None:
    path = tmp_path / "session.rrd"
    path.write_bytes(b"mine")
    with pytest.raises(SinkError, match="exists"):
        open_sink(str(path), 25.0, SIZE)
    assert path.read_bytes() == b"mine"
    with open_sink(str(path), 25.0, SIZE, overwrite=True) as sink:
        sink.write(*_pair())
    assert path.read_bytes() != b"mine"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(SinkError, match="pip install rerun-sdk"):
        open_sink(str(tmp_path / "session.rrd"), 25.0, SIZE)
    assert not list(tmp_path.iterdir())


def test_rerun_itself_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (770 MB)")
    path = tmp_path / "session.rrd"
    with open_sink(str(path), 25.0, SIZE) as sink:
        for index in range(3):
            sink.write(*_pair(index, "lost" if index == 2 else None))
        unfinished = _rerun("print", tmp_path / "session.partial.rrd")
        assert "/frame/mask" in unfinished, "what a killed run leaves can be read"
    _rerun("verify", path)
    entities = _rerun("print", path)
    for entity in ("/frame", "/frame/mask", "/confidence/7\\ cup", "/events"):
        assert entity in entities, entity


def _rerun(command: str, path: Path) -> str:
    line = [sys.executable, "-m", "rerun", "rrd", command, str(path)]
    done = subprocess.run(
        line, capture_output=True, text=True, env={**os.environ, "RERUN_ANALYTICS": "0"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
