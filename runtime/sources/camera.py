"""A camera as a source: `0`, `/dev/video0?width=1280&height=720&fps=30&format=MJPG`."""

import glob
import math
import os
import re
import sys
from dataclasses import dataclass
from urllib.parse import parse_qsl

import cv2

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.frame import Source
from edge_vos.runtime.sources.reconnect import LiveFeed, Notice, ReconnectPolicy, live_source

FALLBACK_FPS = 30.0  # for a camera that does not tell
CAMERA = re.compile(r"(?:/dev/video)?(\d+)(?:\?(.*))?", re.DOTALL)
_TRY = "Try `edge-vos live synthetic://`, which needs no camera"
_EXAMPLE = "/dev/video0?width=1280&height=720&fps=30&format=MJPG"


@dataclass(frozen=True)
class CameraMode:
    """Say what a camera shall give; ``None`` leaves it to the camera.

    Args:
        width: pixels.
        height: pixels.
        fps: frames a second.
        format: the pixel format's four characters, such as MJPG or YUYV.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    format: str | None = None


def parse_mode(uri: str, query: str) -> CameraMode:
    """Read a camera's options.

    Raises:
        SourceError: if an option is unknown or cannot be read.
    """
    values: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if name not in ("width", "height", "fps", "format"):
            raise SourceError(
                f"A camera has no option {name!r}", "width, height, fps, format",
                f"Write it as '{_EXAMPLE}'",
            )  # fmt: skip
        if name == "format":
            good = len(value) == 4 and value.isascii() and value.isprintable()
        else:
            try:
                numbers[name] = float(value) if name == "fps" else int(value)
            except ValueError:
                numbers[name] = 0
            good = 0 < numbers[name] <= 16384
        if not good:
            raise SourceError(f"{uri!r} has {name}={value!r}", f"as in {_EXAMPLE}")
    return CameraMode(
        width=int(numbers["width"]) if "width" in numbers else None,
        height=int(numbers["height"]) if "height" in numbers else None,
        fps=numbers.get("fps"),
        format=values.get("format"),
    )


def open_camera(
    uri: str, index: int, mode: CameraMode, policy: ReconnectPolicy, notice: Notice | None = None
) -> Source:
    """Open a camera and wait for its first frame.

    Args:
        uri: what the user asked for.
        index: its number, as in /dev/video0.
        mode: what it shall give.
        policy: how long to wait for frames, and for a camera that was unplugged.
        notice: is told when it is lost and when it is back.

    Raises:
        SourceError: if there is no such camera, it may not be used, gives no frame, or has not
            the asked-for mode.
    """
    capture = _connect(index, mode)
    image = _first(capture, index, mode)
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    feed = LiveFeed(f"Camera {index}", capture, lambda: _connect(index, mode), policy, notice)
    return live_source(
        uri, feed, fps if math.isfinite(fps) and 0 < fps <= 1000 else FALLBACK_FPS, image
    )


def _connect(index: int, mode: CameraMode) -> cv2.VideoCapture:
    on_linux = sys.platform.startswith("linux")
    if on_linux:
        _check_device(index)
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if on_linux else cv2.CAP_ANY)
    if mode.format is not None:  # first: it decides which sizes there are
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.format))
    for setting, value in (
        (cv2.CAP_PROP_FRAME_WIDTH, mode.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, mode.height),
        (cv2.CAP_PROP_FPS, mode.fps),
    ):
        if value is not None:
            capture.set(setting, value)
    # Fewer frames wait in the driver, so that the newest is new.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if not capture.isOpened():
        capture.release()
        raise _no_frame(index)
    return capture


def _first(capture: cv2.VideoCapture, index: int, mode: CameraMode) -> tuple[int, int]:
    """Wait for the first frame, check that the camera does what it shall, return the size."""
    ok, image = capture.read()
    if not ok or image is None:
        capture.release()
        raise _no_frame(index)
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    given = CameraMode(
        width=image.shape[1],
        height=image.shape[0],
        fps=float(capture.get(cv2.CAP_PROP_FPS)),
        format=code.to_bytes(4, "little").decode("latin-1"),
    )
    wrong = [
        f"{name}={getattr(given, name)} instead of {asked}"
        for name in ("width", "height", "fps", "format")
        if (asked := getattr(mode, name)) is not None and getattr(given, name) != asked
    ]
    if wrong:
        capture.release()
        raise SourceError(
            f"Camera {index} gives {', '.join(wrong)}", "a mode that it has",
            f"v4l2-ctl -d /dev/video{index} --list-formats-ext",
        )  # fmt: skip
    return image.shape[0], image.shape[1]


def _no_frame(index: int) -> SourceError:
    return SourceError(
        f"Camera {index} gives no frame", f"a camera that no other program uses; {_found()}", _TRY
    )


def _check_device(index: int) -> None:
    device = f"/dev/video{index}"
    if not os.path.exists(device):
        raise SourceError(f"There is no camera {index} ({device})", f"a camera; {_found()}", _TRY)
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"Camera {index} ({device}) may not be used by this user",
            "read and write access",
            "sudo usermod -aG video $USER, then log in again",
        )


def _found() -> str:
    devices = sorted(glob.glob("/dev/video*"))
    return f"found {', '.join(devices)}" if devices else "none is connected"
