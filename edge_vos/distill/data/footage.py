"""Training material: videos with masks and photographs, decoded once or as they are needed.

What is decoded once costs memory, and forked loaders share it. What is decoded as it is needed
costs a few milliseconds a picture. Both give the same pixels.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar, overload

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from edge_vos.errors import DatasetError

Image = NDArray[np.uint8]
Source = Path | bytes
"""A picture in a file, or the bytes of one."""

DECODE_HEIGHT = 360
"""Lines to which pictures are scaled down, unless more are trained."""

SMALLEST_PART = 0.004
"""Of a photograph's area: what is smaller is no object of its own."""

_TRACK = re.compile(r"-\d{5}-\d+(~\d+)?$")  # what ``tracks.follow`` adds to a clip's name

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """Make the items of a sequence anew each time that one is asked for."""

    def __init__(self, make: Callable[[int], T], length: int) -> None:
        self._make, self._length = make, length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._length))]
        return self._make(range(self._length)[index])


@dataclass(frozen=True)
class Video:
    """Hold one sequence: BGR frames and binary masks (0 or 1) of one object."""

    name: str
    frames: Sequence[Image]
    masks: Sequence[Image]


@dataclass(frozen=True)
class Still:
    """Hold one decoded photograph and its label map; label 0 is the background."""

    frame: Image
    labels: Image
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Footage:
    """Hold all training material."""

    videos: Sequence[Video]
    stills: Sequence[Still]

    @cached_property
    def scenes(self) -> list[list[Video]]:
        """Return the videos by what was filmed: tracks from one clip are one scene."""
        scenes: dict[str, list[Video]] = {}
        for video in self.videos:
            scenes.setdefault(_TRACK.sub("", video.name), []).append(video)
        return list(scenes.values())

    def draw_video(self, rng: np.random.Generator) -> Video:
        """Choose a scene, each as likely as any other however many tracks it has, and a track."""
        scene = self.scenes[int(rng.integers(len(self.scenes)))]
        return scene[int(rng.integers(len(scene)))] if len(scene) > 1 else scene[0]


@dataclass(frozen=True)
class VideoFiles:
    """Name the pictures of one sequence, in order."""

    name: str
    frames: tuple[Source, ...]
    masks: tuple[Source, ...]


@dataclass(frozen=True)
class StillFiles:
    """Name a photograph and its label map, and the labels that are objects of their own."""

    frame: Source
    labels: Source
    parts: tuple[int, ...]


def find_videos(root: Path, exclude: tuple[str, ...] = ()) -> list[VideoFiles]:
    """Find the sequences of a folder but the excluded ones.

    Args:
        root: in DAVIS 2016 layout, or with a folder a clip that holds ``images`` and ``masks``.
        exclude: names of sequences.

    Raises:
        DatasetError: if the folder is in neither layout or a mask is missing.
    """
    folder = root / "JPEGImages" / "480p"
    if folder.is_dir():
        pairs = [
            (path.name, path, root / "Annotations" / "480p" / path.name)
            for path in sorted(folder.iterdir())
        ]
    else:
        inner = sorted(root.glob("*/images")) if root.is_dir() else []
        pairs = [(path.parent.name, path, path.parent / "masks") for path in inner]
    if not pairs:
        raise DatasetError(
            f"{root} has no JPEGImages/480p",
            "a folder in DAVIS 2016 layout, or with CLIP/images and CLIP/masks",
        )
    videos = []
    for name, pictures, annotations in pairs:
        if name in exclude:
            continue
        frames = tuple(sorted(pictures.glob("*.jpg")))
        masks = tuple(annotations / f"{path.stem}.png" for path in frames)
        if missing := next((path for path in masks if not path.is_file()), None):
            raise DatasetError(f"{missing} is missing", "a mask for every frame")
        if not frames:
            raise DatasetError(f"{pictures} holds no frame", "files *.jpg")
        videos.append(VideoFiles(name, frames, masks))
    return videos


def open_video(files: VideoFiles, height: int = DECODE_HEIGHT, keep: bool = True) -> Video:
    """Decode a sequence at once, or as its pictures are needed.

    Args:
        files: of the sequence.
        height: lines to which pictures are scaled down.
        keep: decode now and keep the pictures in memory.

    Raises:
        DatasetError: if a picture cannot be decoded; without ``keep``, when it is needed.
    """
    count = len(files.frames)
    frames = OnDemand(partial(_nth_frame, files.frames, height), count)
    masks = OnDemand(partial(_nth_mask, files.masks, height), count)
    if keep:
        return Video(files.name, list(frames), list(masks))
    return Video(files.name, frames, masks)


def load_videos(
    root: Path, exclude: tuple[str, ...] = (), height: int = DECODE_HEIGHT, keep: bool = True
) -> list[Video]:
    """Open every sequence of a folder but the excluded ones; see ``find_videos``.

    Raises:
        DatasetError: if the folder is in no known layout or a mask is missing.
    """
    return [open_video(files, height, keep) for files in find_videos(root, exclude)]


def find_stills(folder: Path) -> list[tuple[Path, Path]]:
    """Find ``images/*.jpg`` that have a ``labels/*.png`` or ``masks/*.png``.

    Raises:
        DatasetError: if there is neither a labels nor a masks folder.
    """
    maps = next((folder / n for n in ("labels", "masks") if (folder / n).is_dir()), None)
    if maps is None:
        raise DatasetError(f"{folder} has no masks", "a folder labels/ or masks/ beside images/")
    pairs = [
        (path, maps / f"{path.stem}.png") for path in sorted((folder / "images").glob("*.jpg"))
    ]
    return [(picture, labels) for picture, labels in pairs if labels.is_file()]


def read_stills(folder: Path, height: int = DECODE_HEIGHT) -> Iterator[tuple[Still, StillFiles]]:
    """Decode the photographs of a folder that show an object, one after the other.

    Raises:
        DatasetError: if there is neither a labels nor a masks folder, or a file is no picture.
    """
    for picture, labelled in find_stills(folder):
        frame, labels = decode_frame(picture, height), decode_labels(labelled, height)
        if labels.shape != frame.shape[:2]:
            continue
        counts = np.bincount(labels.ravel(), minlength=256)
        counts[0] = 0
        parts = tuple(int(i) for i in np.flatnonzero(counts > SMALLEST_PART * labels.size))
        if parts:
            yield Still(frame, labels, parts), StillFiles(picture, labelled, parts)


def load_stills(folder: Path, height: int = DECODE_HEIGHT, keep: bool = True) -> Sequence[Still]:
    """Open the photographs of a folder that show an object.

    Args:
        folder: with ``images`` and ``labels`` or ``masks``.
        height: lines to which pictures are scaled down.
        keep: keep the decoded pictures in memory; else they are decoded again when needed.

    Raises:
        DatasetError: if there is neither a labels nor a masks folder, or a file is no picture.
    """
    if keep:
        return [still for still, _ in read_stills(folder, height)]
    return open_stills([files for _, files in read_stills(folder, height)], height, keep=False)


def open_stills(
    files: Sequence[StillFiles], height: int = DECODE_HEIGHT, keep: bool = True
) -> Sequence[Still]:
    """Decode photographs at once, or as they are needed.

    Raises:
        DatasetError: if a picture cannot be decoded; without ``keep``, when it is needed.
    """
    stills = OnDemand(partial(_nth_still, files, height), len(files))
    return list(stills) if keep else stills


def joined(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """Return the items of several sequences as one, without touching them."""
    if all(isinstance(part, list) for part in parts):
        return [item for part in parts for item in part]
    places = [(part, index) for part in parts for index in range(len(part))]
    return OnDemand(lambda index: places[index][0][places[index][1]], len(places))


def count_pictures(videos: Sequence[Path], stills: Sequence[Path]) -> int:
    """Count the frames of video folders and the photographs of others.

    Raises:
        DatasetError: if a folder is in no known layout.
    """
    frames = sum(len(video.frames) for folder in videos for video in find_videos(folder))
    return frames + sum(len(find_stills(folder)) for folder in stills)


def decoded_bytes(pictures: int, height: int) -> int:
    """Estimate what so many pictures of 16 to 9 and their masks take in memory."""
    return pictures * height * (height * 16 // 9) * 4


def fits_in_memory(size_bytes: int) -> bool:
    """Tell whether so much is at most half of the memory that is free now."""
    return size_bytes <= int(psutil.virtual_memory().available) // 2


def decode_frame(source: Source, height: int) -> Image:
    """Decode a picture: (H, W, 3) uint8 BGR, at most ``height`` lines.

    Raises:
        DatasetError: if it cannot be decoded.
    """
    return limit_height(_decode(source, cv2.IMREAD_COLOR), cv2.INTER_AREA, height)


def decode_labels(source: Source, height: int) -> Image:
    """Decode a label map: (H, W) uint8, at most ``height`` lines.

    Raises:
        DatasetError: if it cannot be decoded.
    """
    return limit_height(_decode(source, cv2.IMREAD_GRAYSCALE), cv2.INTER_NEAREST, height)


def decode_mask(source: Source, height: int) -> Image:
    """Decode a binary mask: (H, W) uint8 of 0 and 1, at most ``height`` lines.

    Raises:
        DatasetError: if it cannot be decoded.
    """
    mask = (_decode(source, cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8)
    return limit_height(mask, cv2.INTER_NEAREST, height)


def _nth_frame(sources: tuple[Source, ...], height: int, index: int) -> Image:
    return decode_frame(sources[index], height)


def _nth_mask(sources: tuple[Source, ...], height: int, index: int) -> Image:
    return decode_mask(sources[index], height)


def _nth_still(files: Sequence[StillFiles], height: int, index: int) -> Still:
    one = files[index]
    return Still(decode_frame(one.frame, height), decode_labels(one.labels, height), one.parts)


def _decode(source: Source, flag: int) -> Image:
    if isinstance(source, bytes):
        image = cv2.imdecode(np.frombuffer(source, np.uint8), flag) if source else None
        name = "a picture in the pack"
    else:
        image, name = cv2.imread(str(source), flag), str(source)
    if image is None:
        raise DatasetError(f"{name} is missing or cannot be decoded", "an image file")
    return image.astype(np.uint8, copy=False)


def limit_height(image: Image, interpolation: int, limit: int) -> Image:
    """Scale a picture down to so many lines, unless it has no more.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        interpolation: of OpenCV.
        limit: most lines.
    """
    height, width = image.shape[:2]
    if height <= limit:
        return image
    size = (round(width * limit / height), limit)
    return cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
