"""Read footage that nobody labelled: a folder of video files, or of folders of frames."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.footage import DECODE_HEIGHT
from edge_vos.errors import DatasetError
from edge_vos.runtime.sources.image_folder import IMAGE_SUFFIXES
from edge_vos.runtime.sources.opening import open_source

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
MOST_FRAMES = 300


@dataclass(frozen=True)
class Clip:
    """Hold one decoded clip: its name, BGR frames of one size, and whether these are all."""

    name: str
    frames: list[NDArray[np.uint8]]
    whole: bool


def load_unlabelled(folder: Path, most_frames: int = MOST_FRAMES) -> Iterator[Clip]:
    """Decode the clips of a folder one after the other, at most 360 pixels high.

    Args:
        folder: holds video files, or folders of frames, or is a folder of frames itself. Other
            files are left alone.
        most_frames: of a clip; what comes after them is not read.

    Raises:
        DatasetError: if there is no clip in it.
        SourceError: if a clip cannot be decoded.
    """
    paths = _clip_paths(folder)
    for path in paths:
        with closing(open_source(str(path))) as source:
            played = iter(source)
            frames = [_limit_height(frame.image) for frame in islice(played, most_frames)]
            whole = next(played, None) is None
        same_stem = [other for other in paths if other.stem == path.stem]
        yield Clip(path.stem if len(same_stem) == 1 else path.name, frames, whole)


def _clip_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "a folder with video files")
    entries = sorted(folder.iterdir())
    if any(_is_image(entry) for entry in entries):
        return [folder]
    paths = [
        entry
        for entry in entries
        if entry.suffix.lower() in VIDEO_SUFFIXES
        or (entry.is_dir() and any(_is_image(inner) for inner in entry.iterdir()))
    ]
    if not paths:
        raise DatasetError(
            f"{folder} holds no clip",
            f"video files ({', '.join(VIDEO_SUFFIXES)}), or folders of images",
        )
    return paths


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _limit_height(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if height <= DECODE_HEIGHT:
        return image
    size_wh = (max(round(width * DECODE_HEIGHT / height), 1), DECODE_HEIGHT)
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
