"""The clip on which a conversion is verified: frames, and prompts to follow through them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.masks import read_mask
from edge_vos.runtime.prompts.grabcut import check_size
from edge_vos.runtime.sources.opening import open_source

FRAMES = 100
"""How many frames a closed loop runs for: memory has filled long before."""

LEAST_FRAMES = 8
"""A clip that is shorter than ``FRAMES`` is played there and back; this is the least of one."""

SHIPPED_CLIP = Path(str(files("edge_vos.weights"))) / "calibration.mp4"
"""From *Big Buck Bunny*, (c) 2008 Blender Foundation, CC BY 3.0: 640x360, every other frame, with a
mask of the first one beside it. Ranges from generated scenes do not fit real pictures: masks of
352x640 then overlapped with PyTorch's by 0.915 instead of 0.983."""

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """Hold a verification clip.

    Args:
        name: what it is called in reports; no path of this machine.
        frames: T frames (H, W, 3) uint8, BGR.
        truth: T label maps (H, W) uint8, or ``None`` where nobody knows the truth.
        start: (H, W) uint8 label map of the first frame, where only that is known.
    """

    name: str
    frames: tuple[NDArray[np.uint8], ...]
    truth: tuple[Mask, ...] | None
    start: Mask | None = None

    def mask(self, index: int) -> Mask:
        """Return the label map to prompt a frame with.

        Where nobody knows the truth it is the start's, and without one two rectangles: agreement
        of two engines can be seen on any region.
        """
        if self.truth is not None:
            return self.truth[index]
        if self.start is not None:
            return self.start
        return rectangles(self.frames[index].shape[:2], 2)

    def prompts(self) -> dict[int, Mask]:
        """Return the masks to give by frame: all objects at first, one corrected half way."""
        first, half = self.mask(0), len(self.frames) // 2
        last = first.max()
        correction = np.where(self.mask(half) == last, last, 0).astype(np.uint8)
        return {0: first, half: correction} if correction.any() else {0: first}


def cut_to(clip: Clip, size: tuple[int, int]) -> Clip:
    """Cut a clip to the way up of a student's image, around its objects.

    In an upright image a clip that is not would fill a third of the cells: ranges and masks of
    that are not those of a phone's camera.

    Args:
        clip: of any size.
        size: (height, width) of the image.

    Returns:
        the same clip where both are upright or neither is; else its middle, of the image's
        aspect ratio.
    """
    height, width = clip.frames[0].shape[:2]
    if (height > width) == (size[0] > size[1]) or height == width:
        return clip
    seen = [min(height, width * size[0] // size[1]), min(width, height * size[1] // size[0])]
    left, top, across, down = cv2.boundingRect(clip.mask(0))
    middle = (top + down / 2, left + across / 2)
    rows, columns = (
        slice(first, first + side)
        for side, limit, centre in zip(seen, (height, width), middle, strict=True)
        for first in [min(max(round(centre - side / 2), 0), limit - side)]
    )

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(picture[rows, columns])

    return replace(
        clip,
        frames=tuple(map(cut, clip.frames)),
        truth=None if clip.truth is None else tuple(map(cut, clip.truth)),
        start=None if clip.start is None else cut(clip.start),
    )


def rectangles(size: tuple[int, ...], objects: int) -> Mask:
    """Return a (H, W) uint8 label map of that many rectangles, evenly spread."""
    height, width = size
    columns = math.ceil(math.sqrt(objects))
    rows = math.ceil(objects / columns)
    mask = np.zeros((height, width), np.uint8)
    for index in range(objects):
        row, column = divmod(index, columns)
        top, left = row * height // rows, column * width // columns
        tall, wide = height // rows, width // columns
        mask[top + tall // 6 : top + tall * 5 // 6, left + wide // 6 : left + wide * 5 // 6] = (
            index + 1
        )
    return mask


def load_clip(uri: str, frames: int = FRAMES) -> Clip:
    """Read the first frames of a source, and the masks that lie beside it.

    Masks lie beside ``bear.mp4`` as ``bear.png`` (of the first frame), and beside the folder
    ``JPEGImages/480p/bear`` in ``Annotations/480p/bear``, as DAVIS has them. A clip with too few
    frames is played there and back.

    Args:
        uri: as ``edge_vos.runtime.sources.opening.open_source`` takes it.
        frames: how many.

    Raises:
        SourceError: if it cannot be read or has fewer than ``LEAST_FRAMES`` frames.
        PromptError: if a mask beside it cannot be used.
    """
    with open_source(uri) as source:
        taken = list(islice(source, frames))
    if len(taken) < min(frames, LEAST_FRAMES):
        raise SourceError(
            f"{uri} has {len(taken)} frames",
            f"at least {LEAST_FRAMES}, for a closed loop",
            "Leave --calibrate out to verify on the clip that ships",
        )
    images = [frame.image for frame in taken]
    masks = [frame.truth for frame in taken if frame.truth is not None]
    if "://" not in uri:
        masks = [_read(path, images[0].shape[:2]) for path in masks_beside(Path(uri))[:frames]]
    known = len(masks) == len(images) and bool(masks[0].any())
    start = masks[0] if masks and not known and masks[0].any() else None
    name = uri if "://" in uri else Path(uri).name
    if len(images) < frames:
        name = f"{name}, {len(images)} frames there and back"
    return Clip(
        name,
        tuple(_there_and_back(images, frames)),
        tuple(_there_and_back(masks, frames)) if known else None,
        start,
    )


def masks_beside(path: Path) -> list[Path]:
    """Return the masks that lie beside a video file or a folder of images, in frame order."""
    parts = list(path.resolve().parts)
    if "JPEGImages" in parts:
        place = len(parts) - 1 - parts[::-1].index("JPEGImages")
        folder = Path(*parts[:place], "Annotations", *parts[place + 1 :])
        return sorted(folder.glob("*.png"))
    first = path.with_suffix(".png")
    return [first] if first.is_file() and first != path else []


def _read(path: Path, size: tuple[int, ...]) -> Mask:
    mask = read_mask(path)
    check_size(mask, size)
    return mask


def _there_and_back(items: Sequence[Mask], count: int) -> list[Mask]:
    return list(islice(cycle([*items, *items[-2:0:-1]]), count))
