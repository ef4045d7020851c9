"""A video file as a source."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.frame import Shot, Source

FALLBACK_FPS = 30.0  # for a file that does not tell
# These containers count their frames. Elsewhere OpenCV derives the number from the duration, which
# an audio track or a varying rate makes too large.
_COUNTED = (".mp4", ".mov", ".m4v", ".avi")


def open_video(uri: str, path: Path, loop: bool = False) -> Source:
    """Open a video file.

    Frames that the decoder cannot mend are left out by it. A file that ends well before the number
    of frames that it announces is lost, not at its end.

    Args:
        uri: what the user asked for.
        path: the file.
        loop: begin again at the end.

    Raises:
        SourceError: if it is not a video, or no frame of it can be decoded.
    """
    capture = _Capture(uri, path)
    image = capture.read()
    if image is None:
        capture.release()
        raise SourceError(
            f"No frame of {uri!r} can be decoded",
            "an intact video",
            "Convert it with `ffmpeg -i INPUT -c:v libx264 out.mp4`",
        )
    announced = capture.announced_frames
    return Source(
        uri,
        _shots(uri, capture, image, loop),
        fps=capture.fps,
        size=(image.shape[0], image.shape[1]),
        frames=None if loop or not announced else announced,
        is_endless=loop,
        release=capture.release,
    )


class _Capture:
    """Read a file from its beginning, again where asked to."""

    def __init__(self, uri: str, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(
                f"The file {uri!r} cannot be opened as a video",
                "an intact file that FFmpeg reads, such as .mp4, .mkv, .avi, .webm",
                f"ffprobe {path}",
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else FALLBACK_FPS
        # Containers without an index answer with nonsense, also negative.
        self.announced_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        slack = 0.02 * self.announced_frames
        if path.suffix.lower() not in _COUNTED:
            slack = max(slack, 0.05 * self.announced_frames, self.fps)
        self.least_frames = self.announced_frames - max(3, math.ceil(slack))

    def read(self) -> NDArray[np.uint8] | None:
        ok, image = self._capture.read()
        return np.asarray(image, np.uint8) if ok else None

    def rewind(self) -> None:
        # Seeking to frame 0 is inexact in some containers.
        self._capture.release()
        self._capture = cv2.VideoCapture(str(self._path))

    def release(self) -> None:
        self._capture.release()


def _shots(uri: str, capture: _Capture, first: NDArray[np.uint8], loop: bool) -> Iterator[Shot]:
    yield Shot(first, time.perf_counter())
    count = 1
    while True:
        start_s = time.perf_counter()
        image = capture.read()
        if image is not None:
            count += 1
            yield Shot(image, start_s)
        elif count < capture.least_frames:
            raise SourceLost(
                f"The video {uri!r} broke off after {count} of {capture.announced_frames} frames",
                "an intact file",
                "Copy it again: it is truncated or damaged",
            )
        elif loop:
            capture.rewind()
            count = 0
        else:
            return
