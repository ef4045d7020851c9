"""A Jetson's camera: a stand-in for GStreamer's program gives the frames, as no Jetson is here."""

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.camera import CameraMode
from edge_vos.runtime.sources.csi import GST_LAUNCH, CsiCapture, csi_pipeline
from edge_vos.runtime.sources.opening import open_source

URI = "csi://1?width=66&height=48&fps=60"
PROGRAM = """\
#!{python}
import os, signal, sys, time
words = " ".join(sys.argv[1:])
with open({log!r}, "w") as log:
    log.write(words)
signal.signal(signal.SIGINT, lambda *_: (open({log!r}, "a").write(" stopped"), os._exit(0)))
print("GST_ARGUS: Setup Complete")
for number in range({frames}):
    frame = bytes([number, 100, 200, 255]) * (66 * 48)
    while frame:
        frame = frame[os.write(int(words.split("fd=")[1].split()[0]), frame):]
{then}
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a Jetson runs Linux")


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the program; and its only one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _write(folder: Path, frames: int, then: str) -> Path:
    """Write the program, and return the file that it writes what it was asked for to."""
    log = folder / "asked.txt"
    text = PROGRAM.format(python=sys.executable, log=str(log), frames=frames, then=then)
    program = folder / GST_LAUNCH
    program.write_text(text)
    program.chmod(0o755)
    return log


def test_frames_come_in_order_until_the_camera_is_gone(launch: Path) -> None:
    log = _write(launch, 5, "")
    seen = []
    with open_source(URI, reconnect_s=0.0) as source, pytest.raises(SourceLost):
        seen.extend(frame.image for frame in source)
    assert {image.shape for image in seen} == {(48, 66, 3)}
    assert all((image == image[0, 0]).all() for image in seen)
    numbers = [int(image[0, 0, 0]) for image in seen]
    assert numbers == sorted(set(numbers))  # the newest counts: some may be left out
    assert numbers[-1] == 4
    assert all(image[0, 0, 1:].tolist() == [100, 200] for image in seen)
    assert (source.fps, source.size) == (60.0, (48, 66))
    pipeline = csi_pipeline(1, CameraMode(66, 48, 60.0))
    assert log.read_text().startswith(f"--quiet {pipeline} ! fdsink fd=")
    assert "sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12,width=66,height=48," in pipeline


def test_the_camera_is_given_back(launch: Path) -> None:
    """GStreamer is asked to stop: one that is killed may leave the camera busy."""
    log = _write(launch, 2, "time.sleep(60)")
    capture = CsiCapture(URI, "videotestsrc", (48, 66))
    assert capture.grab()
    began = time.monotonic()
    capture.release()
    assert time.monotonic() - began < 10
    assert log.read_text().endswith(" stopped")


def test_what_gstreamer_says_is_told(launch: Path) -> None:
    _write(launch, 0, 'print("ERROR: no cameras available", file=sys.stderr)')
    with pytest.raises(SourceError, match=r"gives no frame \(ERROR: no cameras available\).*argus"):
        open_source(URI)


@pytest.mark.usefixtures("launch")
def test_without_gstreamer_the_command_is_named() -> None:
    with pytest.raises(SourceError, match=r"needs gst-launch-1\.0.*apt-get install gstreamer1"):
        open_source("csi://0")


@pytest.mark.parametrize("uri", ["csi://front", "csi://0?format=NV12", "csi://0?zoom=1"])
def test_what_cannot_be_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be read|no option"):
        open_source(uri)


@pytest.mark.skipif(shutil.which(GST_LAUNCH) is None, reason="GStreamer is not installed")
def test_gstreamer_itself_gives_frames() -> None:
    """Its test source stands in for the camera: the pipe and the layout are the same."""
    caps = "video/x-raw,format=BGRx,width=66,height=48"
    capture = CsiCapture(URI, f"videotestsrc pattern=red num-buffers=3 ! {caps}", (48, 66))
    images = []
    while capture.grab():
        images.append(capture.retrieve()[1])
    capture.release()
    assert len(images) == 3
    np.testing.assert_allclose(images[2], np.broadcast_to([0, 0, 255], (48, 66, 3)), atol=2)
