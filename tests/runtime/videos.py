"""Small videos with what the tests ask for, and what PyAV finds in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

SIZE = (120, 160)
VARIABLE_S = [0, 0.167, 0.417, 0.583, 0.833, 1, 1.167, 1.25, 1.333, 1.417, 1.5]
_RATE = 8000


def import_av() -> Any:
    """Import PyAV, or skip the test."""
    return pytest.importorskip("av", reason='needs PyAV: pip install "edge-vos[video]"')


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw a frame whose grey tells its number, with a white upper left corner."""
    image = np.full((*size, 3), 20 + 10 * (index % 20), np.uint8)
    image[: size[0] // 4, : size[1] // 4] = 255
    return image


def write_video(
    path: Path,
    times_s: Sequence[float],
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str = "",
    sound_s: float | None = None,
    origin_s: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video of grey pictures at exact times, with a sound whose level tells the time.

    Args:
        sound: a codec; its samples are 1000 in the first half second, then 2000, and on.
        sound_s: how long it lasts; ``None`` is as long as the pictures.
        origin_s: the file's own time of the first picture.
    """
    av = import_av()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 90_000)
        heard = container.add_stream(sound, rate=_RATE) if sound else None
        if heard is not None:
            heard.layout = "mono"
        for index, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="bgr24")
            frame.pts, frame.time_base = round((origin_s + time_s) * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None:
            _write_sound(container, heard, sound_s or times_s[-1] + 0.04)
    return path


def _write_sound(container: Any, heard: Any, length_s: float) -> None:
    av = import_av()
    samples = (np.arange(round(length_s * _RATE)) // (_RATE // 2) + 1) * 1000
    block = 1024
    for start in range(0, len(samples), block):
        part = samples[np.newaxis, start : start + block].astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _RATE, start, Fraction(1, _RATE)
        container.mux(heard.encode(frame))
    container.mux(heard.encode(None))


@dataclass(frozen=True)
class Found:
    """Hold what a player would find: pictures at their times, and sound."""

    codec: str
    pixels: str
    size: tuple[int, int]
    times_s: list[float]
    sound: str
    sound_s: float
    levels: list[int]


def probe(path: Path) -> Found:
    """Decode a whole file."""
    av = import_av()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times_s, levels, sound_s, sound = [], [], 0.0, ""
        context = stream.codec_context
        found = context.name, context.pix_fmt, (context.height, context.width)
        for packet in container.demux():
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    times_s.append(float(frame.pts * frame.time_base))
                else:
                    sound = packet.stream.codec_context.name
                    sound_s = float(frame.pts * frame.time_base) + frame.samples / frame.sample_rate
                    levels.append(int(np.median(frame.to_ndarray())))
    return Found(*found, times_s, sound, sound_s, levels)


def count_frames(path: Path) -> int:
    """Return how many frames of a video can be read."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def add_h264(container: Any) -> Any:
    """Add a stream of 25 frames a second to a file, and return it."""
    stream = container.add_stream("libx264", rate=25)
    stream.height, stream.width = SIZE
    stream.pix_fmt = "yuv420p"
    return stream


def encode(container: Any, stream: Any, count: int) -> None:
    """Write some frames, 25 a second, and end the stream."""
    av = import_av()
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
