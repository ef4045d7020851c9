"""A folder of images as a source."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources.frame import RawFrame, Source
from edge_vos.runtime.sources.span import WHOLE, Span

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff")
MOST_PX = 1 << 27
"""An image of more pixels is refused: it would fill the memory."""

FPS = 30.0  # images carry no rate


def open_images(uri: str, paths: Iterable[Path], loop: bool = False, span: Span = WHOLE) -> Source:
    """Open images as the frames of a video, numbers in their names in numerical order.

    Args:
        uri: what the user asked for.
        paths: at least one image; as with a camera, their size may change.
        loop: begin again at the end.
        span: which of them, as if they came at 30 a second.

    Raises:
        SourceError: if the first image cannot be decoded, or none is in the span.
    """
    every = sorted(paths, key=_natural)
    times = ((path, index / FPS) for index, path in enumerate(every))
    ordered = [p for p, s in times if not (span.begins_after(s) or span.ends_before(s))]
    if not ordered:
        raise SourceError(
            f"None of the {len(every)} images of {uri!r} is shown from {span.start_s:g} s on",
            f"a part of their {len(every) / FPS:.1f} s, at {FPS:g} images a second",
            "Give another --start and --end",
        )
    image = _read(ordered[0])
    if image is None:
        raise SourceError(
            f"The image {ordered[0]} of {uri!r} cannot be decoded",
            f"an intact JPEG, PNG or the like, of at most {MOST_PX / 1e6:.0f} million pixels",
        )
    return Source(
        uri,
        _raw_frames(ordered, loop),
        fps=FPS,
        size=(image.shape[0], image.shape[1]),
        frames=None if loop else len(ordered),
        is_endless=loop,
        files=ordered,
    )


def _raw_frames(paths: Sequence[Path], loop: bool) -> Iterator[RawFrame]:
    while True:
        for count, path in enumerate(paths):
            start_s = time.perf_counter()
            image = _read(path)
            if image is None:
                raise SourceLost(
                    f"The image {path} cannot be decoded, after {count} of {len(paths)} images",
                    "intact images",
                    "Remove it or replace it",
                )
            yield RawFrame(image, start_s)
        if not loop:
            return


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError:
        return None
    if encoded.size == 0 or _is_huge(path, encoded[:4].tobytes()):
        return None
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, np.uint8)


def _is_huge(path: Path, signature: bytes) -> bool:
    """Return whether an image may fill the memory, by what its head says."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.width * picture.height > MOST_PX
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except Exception:
        # OpenCV goes by a PNG's head though its checksum is wrong; of TIFF it reads more kinds.
        return signature == b"\x89PNG"


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort 2.png before 10.png."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
