"""Write video with PyAV: H.264 that plays everywhere, every picture at its own time, with sound."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.sinks.output import unwritable
from edge_vos.runtime.sinks.video.encoders import CODECS, Codec
from edge_vos.runtime.sinks.video.room import LOOK_EVERY, check_room
from edge_vos.runtime.sinks.video.sound import SoundCopy
from edge_vos.runtime.sources.frame import Original

TICKS = 90_000
"""Units of time a second; film's and television's rates are whole numbers of them."""

_KEY_S = 2.0  # between two pictures that can be sought
_BITS_PER_PX = 0.15  # what an encoder that knows no quality is given
# Small clusters lose little to a crash.
_MATROSKA = {"cluster_time_limit": "200", "flush_packets": "1"}
_CONTAINER_OPTIONS = {
    ".mkv": _MATROSKA,
    ".webm": _MATROSKA,
    ".mp4": {"movflags": "+faststart"},  # browsers begin before they have all of it
    ".mov": {"movflags": "+faststart"},
}
_TRIAL_FRAMES = 3
_BT709 = 1  # the number that streams carry


class PyavVideo:
    """Write a video.

    Args:
        partial: the file that is written.
        path: the name that it gets; for messages.
        fps: nominal; each picture has its own time.
        size: height and width, both even.
        codec: of :data:`~edge_vos.runtime.sinks.video.encoders.CODECS`, by name.
        alpha: whether pictures are BGRA.
        original: the file whose sound goes along, where the container takes it.

    Attributes:
        encoder: FFmpeg's name of what encodes.
        problem: why there is no sound though there should be; empty otherwise.

    Raises:
        SinkError: if it cannot be written.
    """

    def __init__(
        self,
        partial: Path,
        path: Path,
        fps: float,
        size: tuple[int, int],
        codec: str,
        alpha: bool = False,
        original: Original | None = None,
    ) -> None:
        self._path, self._fps, self._alpha = path, fps, alpha
        self._first_s: float | None = None
        self._last_tick, self._count, self._failed = -1, 0, False
        kind, suffix = CODECS[codec], path.suffix.lower()
        self.encoder, self._pixels, options = _choose_encoder(kind, size, fps, alpha)
        if suffix == ".mkv" and self.encoder == "libx264":
            options["tune"] = "zerolatency"  # no picture waits in the encoder when it is killed
        self._sound: SoundCopy | None = None
        with self._named_errors():
            self._container = av.open(str(partial), "w", options=_CONTAINER_OPTIONS.get(suffix, {}))
            stream = self._container.add_stream(self.encoder, rate=_rational(fps), options=options)
            self._stream = cast(av.VideoStream, stream)
            _set_up(self._stream.codec_context, self._pixels, size, fps)
            if original is not None:
                self._stream.codec_context.sample_aspect_ratio = original.pixel_aspect
                if original.has_sound:
                    self._sound = SoundCopy(original, self._container)
            try:
                with _kept_scheduling():
                    self._container.start_encoding()
            except (av.FFmpegError, OSError):
                with suppress(av.FFmpegError, OSError):
                    self._container.close()
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
        self.problem = "" if self._sound is None else self._sound.problem

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture, (H, W, 3) uint8, BGR, or with alpha (H, W, 4).

        Raises:
            SinkError: if it cannot be written; what was written stays.
        """
        if self._count % LOOK_EVERY == 0:
            check_room(self._path)
        if self._first_s is None:
            self._first_s = timestamp_s
            if self._sound is not None:
                self._sound.begin(timestamp_s)
        time_s = timestamp_s - self._first_s
        frame = av.VideoFrame.from_ndarray(picture, format="bgra" if self._alpha else "bgr24")
        # To ten bits, FFmpeg 8 (swscale 9.5, PyAV 18.1) in several threads writes some wrong pixels
        # where a thread's rows begin: stray alpha in one picture of ten.
        frame = frame.reformat(
            format=self._pixels,
            dst_colorspace=Colorspace.ITU709,
            threads=1 if self._pixels.endswith("10le") else None,
        )
        self._last_tick = max(round(time_s * TICKS), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, Fraction(1, TICKS)
        with self._named_errors():
            self._container.mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.copy_until(time_s)
        self._count += 1

    def close(self) -> None:
        """Complete the file; where that failed before, leave it as it is.

        Raises:
            SinkError: if it cannot be completed.
        """
        try:
            if self._count and not self._failed:
                with self._named_errors():
                    self._container.mux(self._stream.encode(None))
                    if self._sound is not None:
                        self._sound.copy_until(self._last_tick / TICKS + 1 / self._fps)
            if self._failed or not self._count:
                with suppress(av.FFmpegError, OSError):
                    self._container.close()
            else:
                with self._named_errors():
                    self._container.close()
        finally:
            if self._sound is not None:
                self._sound.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed = True
            raise unwritable(self._path, error) from error
        except (av.FFmpegError, ValueError) as error:
            self._failed = True
            raise SinkError(
                f"The video {self._path} cannot be written ({error})",
                f"pictures that {self.encoder} takes",
                "Write .avi instead",
            ) from error


@contextmanager
def _kept_scheduling() -> Iterator[None]:
    """Let no thread come out of this in real time that was not so before.

    Run by root, SVT-AV1 4.1 gives the calling thread and its own the priority 99 of SCHED_FIFO.
    They, and every process that is started later, then keep all others off the processor.
    """
    before = _real_time_threads()
    try:
        yield
    finally:
        for thread in _real_time_threads() - before:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time_threads() -> set[int]:
    """Return this process's threads of a real-time class; none where there is no /proc."""
    found = set()
    with suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(int(task)) in (os.SCHED_FIFO, os.SCHED_RR):
                    found.add(int(task))
    return found


def _choose_encoder(
    kind: Codec, size: tuple[int, int], fps: float, alpha: bool
) -> tuple[str, str, dict[str, str]]:
    """Return the encoder that works here, its pixels and options: hardware before software."""
    if alpha:
        return kind.software, kind.alpha_pixels, {**kind.options, **kind.alpha_options}
    for name, pixels in kind.hardware.items():
        if name in av.codecs_available and _works(name, pixels, size, fps):
            return name, pixels, {}
    return kind.software, kind.pixels, dict(kind.options)


def _works(name: str, pixels: str, size: tuple[int, int], fps: float) -> bool:
    """Try whether this machine has what an encoder needs: only encoding tells."""
    try:
        picture = av.VideoFrame(size[1], size[0], pixels)
        context = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
        _set_up(context, pixels, size, fps)
        written = 0
        for tick in range(_TRIAL_FRAMES):
            picture.pts = tick * TICKS
            written += sum(packet.size for packet in context.encode(picture))
        return written + sum(packet.size for packet in context.encode(None)) > 0
    except (av.FFmpegError, OSError, ValueError):
        return False


def _set_up(context: av.VideoCodecContext, pixels: str, size: tuple[int, int], fps: float) -> None:
    context.height, context.width = size
    context.pix_fmt = pixels
    context.time_base = Fraction(1, TICKS)
    context.framerate = _rational(fps)
    context.gop_size = max(1, round(_KEY_S * fps))
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = 1  # limited, as video has it
    if context.name.startswith("h264_"):  # a graphics chip
        context.bit_rate = round(_BITS_PER_PX * size[0] * size[1] * fps)


def _rational(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)
