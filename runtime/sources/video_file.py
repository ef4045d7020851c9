"""A video file as a source."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.frame import RawFrame, Source

FALLBACK_FPS = 30.0  # for a file that does not tell
# These containers count their frames. Elsewhere OpenCV derives the number from the duration, which
# an audio track or a varying rate makes too large: there the last frame's time tells.
_COUNTED = (".mp4", ".mov", ".m4v", ".avi")


def open_video(uri: str, path: str, suffix: str, loop: bool = False) -> Source:
    """Open a video file.

    Frames that the decoder cannot mend are left out by it. A file that ends well before what it
    announces is lost, not at its end.

    Args:
        uri: what the user asked for.
        path: the file, or its address on a server.
        suffix: of its name, such as ``.mp4``; it tells what the container announces.
        loop: begin again at the end.

    Raises:
        SourceError: if it is not a video, or no frame of it can be decoded.
    """
    capture = _Capture(uri, path, suffix.lower())
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
        _raw_frames(uri, capture, image, loop),
        fps=capture.fps,
        size=(image.shape[0], image.shape[1]),
        frames=None if loop or not announced else announced,
        is_endless=loop,
        release=capture.release,
        files=(Path(path),) if os.path.exists(path) else (),
    )


class _Capture:
    """Read a file from its beginning, again where asked to."""

    def __init__(self, uri: str, path: str, suffix: str) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise SourceError(
                f"The file {uri!r} cannot be opened as a video",
                "an intact file that FFmpeg reads, such as .mp4, .mkv, .avi, .webm",
                f"ffprobe {uri}",
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else FALLBACK_FPS
        # Containers without an index answer with nonsense, also negative.
        self.announced_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.is_counted = suffix in _COUNTED
        slack = max(3, math.ceil(0.02 * self.announced_frames))
        self._least_frames = self.announced_frames - slack
        duration_s = self.announced_frames / self.fps
        self._least_s = duration_s - max(1.0, 0.05 * duration_s)
        self._last_s = 0.0
        self._clock = _Clock(1 / self.fps)
        self.time_s = 0.0

    def broke_off(self, count: int) -> bool:
        """Tell whether it ended, after so many frames, well before what it announces."""
        return count < self._least_frames and (self.is_counted or self._last_s < self._least_s)

    def read(self) -> NDArray[np.uint8] | None:
        ok, image = self._capture.read()
        if not ok:
            return None
        self._last_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
        self.time_s = self._clock.tick(self._last_s)
        return np.asarray(image, np.uint8)

    def rewind(self) -> None:
        # Seeking to frame 0 is inexact in some containers.
        self._capture.release()
        self._capture = cv2.VideoCapture(self._path)
        self._clock.rewind()

    def release(self) -> None:
        self._capture.release()


class _Clock:
    """Tell the time of each frame: the file's own, or a period later where that does not rise."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_s = -period_s
        self._origin_s: float | None = None

    def tick(self, position_s: float) -> float:
        """Return a frame's time in seconds, after that of the frame before.

        Args:
            position_s: what the file says; anything, also none too finite.
        """
        next_s = self._last_s + self._period_s
        if self._origin_s is None:
            self._origin_s = position_s - next_s if math.isfinite(position_s) else -next_s
        now_s = position_s - self._origin_s
        self._last_s = now_s if math.isfinite(now_s) and now_s > self._last_s else next_s
        return self._last_s

    def rewind(self) -> None:
        """Go on from here, at the file's beginning."""
        self._origin_s = None


def _raw_frames(
    uri: str, capture: _Capture, first: NDArray[np.uint8], loop: bool
) -> Iterator[RawFrame]:
    yield RawFrame(first, time.perf_counter(), timestamp_s=capture.time_s)
    count = 1
    while True:
        start_s = time.perf_counter()
        image = capture.read()
        if image is not None:
            count += 1
            yield RawFrame(image, start_s, timestamp_s=capture.time_s)
        elif capture.broke_off(count):
            raise SourceLost(
                f"The video {uri!r} broke off after {count} of {capture.announced_frames} frames",
                "an intact file",
                "Copy it again: it is truncated or damaged",
            )
        elif loop and count:
            capture.rewind()
            count = 0
        elif loop:
            raise SourceLost(f"The video {uri!r} cannot be read again", "a file that stays there")
        else:
            return
