"""Decode a video file with PyAV: exact times, upright, of any depth, from any place."""

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.frame import Original
from edge_vos.runtime.sources.opencv_video import not_a_video
from edge_vos.runtime.sources.span import TOLERANCE_S

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MOST_PX = 1 << 27
"""A frame of more pixels is refused: it would fill the memory."""

_FAILURES = (av.FFmpegError, OSError, ValueError)
_MICROSECONDS = 1_000_000
_SERVER_S = 10.0  # how long a server may be silent


class PyavVideo:
    """Decode a file; see ``VideoReader``.

    Args:
        uri: what the user asked for.
        path: the file, or its address.

    Raises:
        SourceError: if it cannot be opened as a video, or its frames are too large.
    """

    def __init__(self, uri: str, path: str) -> None:
        self._uri, self._path = uri, path
        self.reached_s = 0.0
        self._open()
        stream, container = self._stream, self._container
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else math.nan
        duration_s = 0.0
        if stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / _MICROSECONDS
        derived = round(duration_s * self.fps) if 0 < self.fps <= 1000 else 0
        self.announced_frames = max(0, stream.frames or derived)
        self._last_s = 0.0  # on the file's own clock, which need not begin at 0
        self._is_turned = False

    def _open(self) -> None:
        timeout = _SERVER_S if "://" in self._path else None
        try:
            self._container: InputContainer = av.open(
                self._path, metadata_errors="ignore", timeout=timeout
            )
        except _FAILURES as error:
            raise not_a_video(self._uri) from error
        self._stream = self._find_stream()
        self._sounds = self._container.streams.audio[:1]
        origin = self._stream.start_time
        base = self._stream.time_base
        self._origin_s = float(origin * base) if origin is not None and base is not None else 0.0
        self._frames: Iterator[VideoFrame] = self._decode()

    def _find_stream(self) -> "VideoStream":
        """Return the first stream of moving pictures, not a cover."""
        streams = self._container.streams.video
        moving = [s for s in streams if not s.disposition & Disposition.attached_pic] or streams
        if not moving or moving[0].codec_context is None:
            self.release()
            raise not_a_video(self._uri)
        context = moving[0].codec_context
        if context.width * context.height > MOST_PX:
            self.release()
            raise SourceError(
                f"The frames of {self._uri!r} are {context.width}x{context.height}",
                f"at most {MOST_PX} pixels",
            )
        context.options = {"max_pixels": str(MOST_PX)}
        context.thread_type = "AUTO"
        return moving[0]

    def _decode(self) -> Iterator["VideoFrame"]:
        # The sound tells how far the file goes where pictures end before it.
        packets = iter(self._container.demux(self._stream, *self._sounds))
        while True:
            try:
                packet = next(packets)
            except (StopIteration, *_FAILURES):  # what breaks off, video_file tells
                return
            self._reach(packet)
            if packet.stream_index != self._stream.index:
                continue
            with suppress(*_FAILURES):  # a frame that cannot be mended is left out
                yield from cast(list[av.VideoFrame], packet.decode())

    def read(self) -> tuple[NDArray[np.uint8], float] | None:
        """Return the next frame and its time; None at the end."""
        for frame in self._frames:
            try:
                image = frame.to_ndarray(format="bgr24")
            except _FAILURES:
                continue
            time_s = self._time_s(frame)
            self._last_s = self._origin_s + time_s if math.isfinite(time_s) else self._last_s
            turns = round(frame.rotation / 90) % 4  # against the clock
            self._is_turned = turns % 2 == 1
            return np.ascontiguousarray(np.rot90(image, turns), np.uint8), time_s
        return None

    def _reach(self, packet: "Packet[Any]") -> None:
        if packet.pts is not None and packet.time_base is not None:
            time_s = float(packet.pts * packet.time_base) - self._origin_s
            self.reached_s = max(self.reached_s, time_s)

    def _time_s(self, frame: "VideoFrame") -> float:
        """Return a frame's time from the file's beginning; nan where it has none."""
        if frame.pts is None or frame.time_base is None:
            return math.nan
        return float(frame.pts * frame.time_base) - self._origin_s

    def rewind(self, time_s: float) -> None:
        """Open the file again, which begins exactly, and go to the last key frame by the time."""
        self._container.close()
        try:
            self._open()
        except SourceError:  # it is gone: told by the end of the frames
            self._frames = iter(())
            return
        if not time_s:
            return
        with suppress(*_FAILURES):
            self._container.seek(round((self._origin_s + time_s) * _MICROSECONDS), backward=True)
            first = next(self._frames, None)
            # Some containers seek too far: then it is decoded from its beginning.
            if first is not None and self._time_s(first) <= time_s + TOLERANCE_S:
                self._frames = chain([first], self._frames)
                return
        self.rewind(0.0)

    def original(self) -> Original:
        """Describe the file, from the frame on that was read last."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        if self._is_turned:
            aspect = 1 / aspect
        return Original(self._path, self._last_s, bool(self._sounds), aspect)

    def release(self) -> None:
        """Close the file."""
        self._container.close()
