"""An animated picture as a source: GIF, WebP, PNG or AVIF, every frame at its own time."""

import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.frame import RawFrame, Source
from edge_vos.runtime.sources.span import WHOLE, Span

SUFFIXES = (".gif", ".webp", ".png", ".apng", ".avif")
MOST_PX = 1 << 25
"""A picture of more pixels is refused: it would fill the memory."""

_DEFAULT_S = 0.1  # browsers show a frame that tells no time, or next to none, for so long
_LEAST_S = 0.011
# What Pillow raises for a damaged file: its decoders are many.
_FAILURES = (
    OSError, EOFError, ValueError, SyntaxError, KeyError, IndexError, TypeError, MemoryError,
    OverflowError, RuntimeError, Image.DecompressionBombError, Image.DecompressionBombWarning,
    struct.error, zlib.error,
)  # fmt: skip


def is_animated(path: Path) -> bool:
    """Return whether a file is a picture of several frames; one that nobody can read is none."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with _open_strictly(path) as picture:
            return path.suffix.lower() == ".gif" or getattr(picture, "n_frames", 1) > 1
    except UserWarning:  # a damaged animation, as opening it says
        return True
    except _FAILURES:
        return False


def open_animation(uri: str, path: Path, loop: bool = False, span: Span = WHOLE) -> Source:
    """Open an animated picture. What is transparent in it is black.

    Args:
        uri: what the user asked for.
        path: the file.
        loop: begin again at the end.
        span: the part of it that is wanted.

    Raises:
        SourceError: if its first frame cannot be decoded, or the span holds none of its frames.
    """
    try:
        with _open_strictly(path) as picture:
            count: int = getattr(picture, "n_frames", 1)
            count -= 1 if getattr(picture, "default_image", False) else 0
            size = picture.size[1], picture.size[0]
            times = [time_s for (_, time_s), _ in zip(_play(picture, span), "ab", strict=False)]
    except (UserWarning, *_FAILURES) as error:
        raise SourceError(
            f"The animation {uri!r} cannot be decoded ({error})", "an intact GIF, WebP, PNG or AVIF"
        ) from error
    if not times:
        raise SourceError(
            f"The animation {uri!r} has no frame from {span.start_s:g} s on",
            "a part of it",
            "Give another --start and --end",
        )
    return Source(
        uri,
        _raw_frames(uri, path, count, loop, span),
        fps=1 / (times[1] - times[0] if len(times) > 1 else _DEFAULT_S),
        size=size,
        frames=None if loop or not span.is_whole else count,
        is_endless=loop,
        files=(path,),
    )


def _open(path: Path) -> Image.Image:
    """Open a picture; one so large that it would fill the memory is an error."""
    picture = Image.open(path)
    if picture.width * picture.height > MOST_PX:
        picture.close()
        raise ValueError(f"{picture.width}x{picture.height} pixels")
    return picture


def _open_strictly(path: Path) -> Image.Image:
    """Open a picture; a warning is an error, such as that only a first frame would be shown."""
    with warnings.catch_warnings():  # for all threads: only while nothing runs yet
        warnings.simplefilter("error")
        return _open(path)


def _play(picture: Image.Image, span: Span) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Give each wanted frame, (H, W, 3) uint8, BGR, and its time from the file's beginning."""
    time_s = 0.0
    # A PNG's first picture may be for those who show no animation only.
    first = 1 if getattr(picture, "default_image", False) else 0
    for index in range(first, getattr(picture, "n_frames", 1)):
        picture.seek(index)
        picture.load()
        if span.ends_before(time_s):
            return
        if not span.begins_after(time_s):
            rgba = np.asarray(picture.convert("RGBA"), np.uint8)
            image = np.ascontiguousarray(rgba[..., 2::-1])
            image[rgba[..., 3] == 0] = 0
            yield image, time_s
        shown_s = cast(float, picture.info.get("duration") or 0.0) / 1000
        time_s += shown_s if shown_s >= _LEAST_S else _DEFAULT_S


def _raw_frames(uri: str, path: Path, count: int, loop: bool, span: Span) -> Iterator[RawFrame]:
    offset_s = 0.0
    while True:
        given, first_s, last_s, period_s = 0, 0.0, 0.0, _DEFAULT_S
        start_s = time.perf_counter()
        try:
            with _open(path) as picture:
                for image, time_s in _play(picture, span):
                    first_s = first_s if given else time_s
                    period_s = time_s - last_s if given else period_s
                    last_s = time_s
                    given += 1
                    yield RawFrame(image, start_s, timestamp_s=offset_s + time_s - first_s)
                    start_s = time.perf_counter()
        except _FAILURES as error:
            raise SourceLost(
                f"The animation {uri!r} broke off after {given} of {count} frames ({error})",
                "an intact file",
                "Copy it again: it is truncated or damaged",
            ) from error
        if not loop:
            return
        offset_s += last_s - first_s + period_s
