"""A video file as a source: what holds for it whichever library decodes it."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.frame import Original, RawFrame, Source
from edge_vos.runtime.sources.opencv_video import OpencvVideo
from edge_vos.runtime.sources.span import WHOLE, Span
from edge_vos.runtime.sources.video_library import has_pyav

FALLBACK_FPS = 30.0  # for a file that does not tell
# These containers count their frames. Elsewhere the number is derived from the duration, which
# an audio track or a varying rate makes too large: there the last frame's time tells.
_COUNTED = (".mp4", ".mov", ".m4v", ".avi")


class VideoReader(Protocol):
    """Decode a file, frame by frame.

    Attributes:
        fps: frames a second as the file says; anything, also none too finite.
        announced_frames: how many it says that it has; 0 where it does not say.
        reached_s: the latest time from the file's beginning that was read, of pictures or sound.
    """

    fps: float
    announced_frames: int
    reached_s: float

    def read(self) -> tuple[NDArray[np.uint8], float] | None:
        """Return the next frame, (H, W, 3) uint8, BGR, upright, and its time; None at the end.

        The time is in seconds from the file's beginning; nan where there is none.
        """

    def rewind(self, time_s: float) -> None:
        """Go on from the file's beginning, or from a place not after the time."""

    def original(self) -> Original:
        """Describe the file, from the frame on that was read last."""

    def release(self) -> None:
        """Close the file."""


def open_video(uri: str, path: str, suffix: str, loop: bool = False, span: Span = WHOLE) -> Source:
    """Open a video file, with PyAV where that is installed and else with OpenCV.

    Frames that the decoder cannot mend are left out by it. A file that ends well before what it
    announces is lost, not at its end.

    Args:
        uri: what the user asked for.
        path: the file, or its address on a server.
        suffix: of its name, such as ``.mp4``; it tells what the container announces.
        loop: begin again at the end.
        span: the part of it that is wanted.

    Raises:
        SourceError: if it is not a video, or no frame of it can be decoded.
    """
    video = _Video(uri, _open_reader(uri, path), suffix.lower(), span)
    image = video.read()
    if image is None:
        video.reader.release()
        raise video.without_frames()
    announced, original = video.reader.announced_frames, video.reader.original()
    return Source(
        uri,
        _raw_frames(uri, video, image, loop),
        fps=video.fps,
        size=(image.shape[0], image.shape[1]),
        frames=None if loop or not announced or not span.is_whole else announced,
        is_endless=loop,
        release=video.reader.release,
        files=(Path(path),) if os.path.exists(path) else (),
        original=replace(original, has_sound=original.has_sound and not loop),
    )


def _open_reader(uri: str, path: str) -> VideoReader:
    if not has_pyav():
        return OpencvVideo(uri, path)
    from edge_vos.runtime.sources.pyav_video import PyavVideo

    return PyavVideo(uri, path)


class _Video:
    """Give the wanted frames of a file, each at its time, and know when it broke off."""

    def __init__(self, uri: str, reader: VideoReader, suffix: str, span: Span) -> None:
        self._uri, self._span = uri, span
        self.reader = reader
        fps = reader.fps
        # 1000 is the clock of a recording that a browser made, not its rate.
        self.fps = fps if math.isfinite(fps) and 0 < fps < 1000 else FALLBACK_FPS
        self._is_counted = suffix in _COUNTED and span.start_s == 0
        slack = max(3, math.ceil(0.02 * reader.announced_frames))
        self._least_frames = reader.announced_frames - slack
        duration_s = reader.announced_frames / self.fps
        self._least_s = duration_s - max(1.0, 0.05 * duration_s)
        self._is_over = False
        self._clock = Clock(1 / self.fps)
        self.time_s = 0.0
        if span.start_s:
            reader.rewind(span.start_s)

    def without_frames(self) -> SourceError:
        """Make the error for a file of which no frame came."""
        if not self._span.is_whole:
            return SourceError(
                f"The video {self._uri!r} has no frame from {self._span.start_s:g} s on"
                + ("" if self._span.end_s is None else f" to {self._span.end_s:g} s"),
                f"a part of its {self.reader.announced_frames / self.fps:.1f} s",
                "Give another --start and --end",
            )
        return SourceError(
            f"No frame of {self._uri!r} can be decoded",
            "an intact video",
            "Convert it with `ffmpeg -i INPUT -c:v libx264 out.mp4`",
        )

    def broke_off(self, count: int) -> bool:
        """Tell whether it ended, after so many frames, well before what it announces."""
        if self._is_over:
            return False
        if self._span.start_s:
            return self.reader.reached_s < self._least_s
        return count < self._least_frames and (
            self._is_counted or self.reader.reached_s < self._least_s
        )

    def read(self) -> NDArray[np.uint8] | None:
        """Return the next wanted frame, or None where there is none."""
        while (found := self.reader.read()) is not None:
            image, position_s = found
            if self._span.begins_after(position_s):
                continue
            if self._span.ends_before(position_s):
                self._is_over = True
                return None
            self.time_s = self._clock.tick(position_s)
            return image
        return None

    def rewind(self) -> None:
        """Go on with the first wanted frame."""
        self.reader.rewind(self._span.start_s)
        self._clock.rewind()
        self._is_over = False


class Clock:
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
    uri: str, video: _Video, first: NDArray[np.uint8], loop: bool
) -> Iterator[RawFrame]:
    yield RawFrame(first, time.perf_counter(), timestamp_s=video.time_s)
    count = 1
    while True:
        start_s = time.perf_counter()
        image = video.read()
        if image is not None:
            count += 1
            yield RawFrame(image, start_s, timestamp_s=video.time_s)
        elif video.broke_off(count):
            raise SourceLost(
                f"The video {uri!r} broke off after {count} of "
                f"{video.reader.announced_frames} frames",
                "an intact file",
                "Copy it again: it is truncated or damaged",
            )
        elif loop and count:
            video.rewind()
            count = 0
        elif loop:
            raise SourceLost(f"The video {uri!r} cannot be read again", "a file that stays there")
        else:
            return
