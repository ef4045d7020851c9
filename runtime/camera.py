"""A camera as a source."""

import glob
import math
import os
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.frame import Shot, Source

FALLBACK_FPS = 30.0  # for a camera that does not tell
_TRY = "Try `edge-vos live synthetic://`, which needs no camera"


def open_camera(uri: str, index: int) -> Source:
    """Open a camera and wait for its first frame.

    Args:
        uri: what the user asked for.
        index: its number, as in /dev/video0.

    Raises:
        SourceError: if there is no such camera, it may not be used, or gives no frame.
    """
    on_linux = sys.platform.startswith("linux")
    if on_linux:
        _check_device(index)
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if on_linux else cv2.CAP_ANY)
    # Fewer frames wait in the driver, so that the newest is new.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    ok, image = capture.read() if capture.isOpened() else (False, None)
    if not ok or image is None:
        capture.release()
        raise SourceError(
            f"Camera {index} gives no frame",
            f"a camera that no other program uses; {_found()}",
            _TRY,
        )
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return Source(
        uri,
        _shots(capture, index, np.asarray(image, np.uint8)),
        fps=fps if math.isfinite(fps) and 0 < fps <= 1000 else FALLBACK_FPS,
        size=(image.shape[0], image.shape[1]),
        frames=None,
        is_live=True,
        is_endless=True,
        release=capture.release,
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


def _shots(capture: cv2.VideoCapture, index: int, first: NDArray[np.uint8]) -> Iterator[Shot]:
    yield Shot(first, time.perf_counter())
    while True:
        # grab() waits for the sensor, retrieve() decodes: only the second is work.
        grabbed = capture.grab()
        captured_s = time.perf_counter()
        ok, image = capture.retrieve() if grabbed else (False, None)
        if not ok or image is None:
            raise SourceLost(
                f"Camera {index} stopped giving frames",
                "a camera that stays connected",
                "Check its cable, then start again",
            )
        yield Shot(np.asarray(image, np.uint8), captured_s)
