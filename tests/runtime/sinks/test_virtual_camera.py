"""A virtual camera: a fake device takes the pictures, as no driver for one is here."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.opening import open_sink, open_sinks
from edge_vos.runtime.sources.frame import Frame

SIZE = (96, 128)


class Device:
    """Play pyvirtualcam's camera."""

    def __init__(self, **asked: Any) -> None:
        self.asked, self.sent, self.closed = asked, [], 0
        self.device = asked["device"] or "/dev/video10"
        self.gone = False

    def send(self, picture: np.ndarray) -> None:
        if self.gone:
            raise RuntimeError("device was removed")
        assert picture.flags.c_contiguous
        self.sent.append(picture.copy())

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    made: list[Device] = []

    class PixelFormat:
        BGR = "BGR"

    def camera(**asked: Any) -> Device:
        if asked["device"] == "/dev/video99":
            raise RuntimeError("'/dev/video99' is no v4l2loopback device")
        made.append(Device(**asked))
        return made[-1]

    library = ModuleType("pyvirtualcam")
    library.Camera, library.PixelFormat = camera, PixelFormat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", library)
    return made


def _pair(size: tuple[int, int] = SIZE) -> tuple[Frame, FrameResult]:
    mask = np.zeros(size, np.uint8)
    mask[32:64, 32:96] = 1
    probability = np.zeros((3, 24, 32), np.float32)
    probability[1, 8:16, 8:24] = 1.0
    probability[0] = 1 - probability[1]
    state = ObjectState(1, 2048, (32, 32, 64, 32), 0.9, lost=False)
    image = np.full((*size, 3), (30, 60, 90), np.uint8)
    return Frame(image, 0, 0.0, 0.0, 0.0), FrameResult(mask, probability, (state,), {}, 0)


def test_pictures_are_sent_as_they_are(devices: list[Device]) -> None:
    (sink,) = open_sinks(["vcam:"], 30.0, SIZE)
    (device,) = devices
    assert device.asked == {
        "width": 128, "height": 96, "fps": 30.0, "fmt": "BGR", "device": None
    }  # fmt: skip
    assert (sink.shows, sink.files) == (True, ())
    assert sink.notes == ("Choose the camera /dev/video10 in the other program",)
    sink.write(*_pair())
    assert device.sent[0].shape == (*SIZE, 3)
    assert (device.sent[0][90, 5] == (30, 60, 90)).all()
    assert (device.sent[0][48, 64] != (30, 60, 90)).any()  # tinted
    sink.close()
    sink.close()
    assert device.closed == 1
    sink.write(*_pair())
    assert len(device.sent) == 1


def test_the_background_is_replaced_or_blurred(devices: list[Device]) -> None:
    for uri in ("vcam:green", "vcam:matte?device=/dev/video10"):
        with open_sink(uri, 30.0, SIZE) as sink:
            sink.write(*_pair())
    green, matte = (device.sent[0] for device in devices)
    assert (green[48, 64] == (30, 60, 90)).all()
    assert (green[5, 5] == (64, 177, 0)).all()
    assert (matte[48, 64].min(), matte[5, 5].max()) == (255, 0)
    assert devices[1].asked["device"] == "/dev/video10"


def test_a_frame_of_another_size_is_resized(devices: list[Device]) -> None:
    with open_sink("vcam:", 30.0, SIZE) as sink:
        sink.write(*_pair((192, 256)))
    assert devices[0].sent[0].shape == (*SIZE, 3)


def test_a_camera_that_is_gone_is_named(devices: list[Device]) -> None:
    sink = open_sink("vcam:", 30.0, SIZE)
    devices[0].gone = True
    with pytest.raises(SinkError, match="gone"):
        sink.write(*_pair())


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("vcam:sepia", "cannot be read.*vcam:blur"),
        ("vcam:?width=9", "cannot be read"),
        ("vcam:?device=/dev/video99", "No virtual camera can be opened.*v4l2loopback-dkms"),
    ],
)
def test_what_cannot_be_is_refused(uri: str, message: str) -> None:
    with pytest.raises(SinkError, match=message):
        open_sink(uri, 30.0, SIZE)


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"needs pyvirtualcam.*edge-vos\[vcam\]"):
        open_sink("vcam:", 30.0, SIZE)
