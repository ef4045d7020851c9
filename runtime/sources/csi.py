"""A Jetson's camera: `csi://0?width=1280&height=720&fps=30`.

GStreamer's own program reads the camera and writes raw frames into a pipe, so any Python and any
OpenCV will do. The OpenCV of pip has no GStreamer, and that of a Jetson is built for the system's
Python and numpy 1, where edge-vos has numpy 2.
"""

import os
import shutil
import signal
import subprocess
import sys
from select import select
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.camera import FALLBACK_FPS, CameraMode, parse_mode
from edge_vos.runtime.sources.frame import Source
from edge_vos.runtime.sources.reconnect import LiveFeed, Notice, ReconnectPolicy, live_source

CSI = "csi://"
GST_LAUNCH = "gst-launch-1.0"
INSTALL = "sudo apt-get install gstreamer1.0-tools nvidia-l4t-gstreamer"
_EXAMPLE = f"{CSI}0?width=1280&height=720&fps=30"
_HEIGHT, _WIDTH = 720, 1280
_LONGEST_WAIT_S = 10.0  # for a frame; the camera's daemon takes seconds to start
_STOP_S = 3.0


class CsiCapture:
    """Read frames that a GStreamer pipeline gives; see ``Capture``.

    Args:
        uri: what the user asked for.
        pipeline: what gives BGRx frames, without a sink, as ``csi_pipeline`` returns it.
        size: (height, width) of the frames.

    Raises:
        SourceError: if GStreamer's program is missing.
    """

    def __init__(self, uri: str, pipeline: str, size: tuple[int, int]) -> None:
        program = shutil.which(GST_LAUNCH) if sys.platform == "linux" else None
        if program is None:
            raise SourceError(f"{uri!r} needs {GST_LAUNCH}", "a Jetson with GStreamer", INSTALL)
        self._frame = np.empty((*size, 4), np.uint8)
        self._log = TemporaryFile()  # noqa: SIM115  # release() closes it
        self._pipe, end = os.pipe()
        # Not the standard output: the Jetson's source writes messages to it.
        sink = f"fdsink fd={end} sync=false"
        try:
            self._process = subprocess.Popen(
                [program, "--quiet", *f"{pipeline} ! {sink}".split()],
                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=(end,),
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(end)

    def grab(self) -> bool:
        """Wait for the next frame."""
        left = self._frame.data.cast("B")
        while left and select([self._pipe], [], [], _LONGEST_WAIT_S)[0]:
            count = os.readv(self._pipe, [left])
            if not count:
                break
            left = left[count:]
        return not left

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        """Return the frame that was grabbed: (H, W, 3) uint8, BGR."""
        return True, np.asarray(cv2.cvtColor(self._frame, cv2.COLOR_BGRA2BGR), np.uint8)

    def release(self) -> None:
        """Stop the pipeline; one that is killed may leave the camera busy."""
        self._process.send_signal(signal.SIGINT)
        os.close(self._pipe)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def complaint(self) -> str:
        """Return what GStreamer told of an error; empty for nothing."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        told = [line for line in lines if line.startswith(("ERROR", "WARNING"))]
        return told[0] if told else ""


def open_csi(uri: str, policy: ReconnectPolicy, notice: Notice | None = None) -> Source:
    """Open a Jetson's camera.

    Args:
        uri: ``csi://0?width=1280&height=720&fps=30``; each option may be left out.
        policy: how long to wait for frames, and for a camera that is lost.
        notice: is told when it is lost and when it is back.

    Raises:
        SourceError: if it is written wrong, GStreamer is missing, or the camera gives no frame.
    """
    place, _, query = uri.removeprefix(CSI).partition("?")
    mode = parse_mode(uri, query)
    if not place.isdecimal() or mode.format is not None:
        raise SourceError(f"The camera {uri!r} cannot be read", _EXAMPLE)
    size = mode.height or _HEIGHT, mode.width or _WIDTH
    pipeline = csi_pipeline(int(place), mode)

    def connect() -> CsiCapture:
        return CsiCapture(uri, pipeline, size)

    capture = connect()
    if not capture.grab():
        complaint = capture.complaint()
        capture.release()
        raise SourceError(
            f"The camera {uri!r} gives no frame{f' ({complaint})' if complaint else ''}",
            "a camera on the CSI connector that no other program uses, and a mode that it has",
            "sudo systemctl restart nvargus-daemon",
        )
    feed = LiveFeed(uri, capture, connect, policy, notice)
    return live_source(uri, feed, mode.fps or FALLBACK_FPS, size)


def csi_pipeline(sensor: int, mode: CameraMode) -> str:
    """Return the GStreamer pipeline of a Jetson's camera, without a sink: BGRx frames."""
    size = f"width={mode.width or _WIDTH},height={mode.height or _HEIGHT}"
    rate = f"framerate={round((mode.fps or FALLBACK_FPS) * 1000)}/1000"
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),format=NV12,{size},{rate} "
        f"! nvvidconv ! video/x-raw,format=BGRx,{size}"
    )
