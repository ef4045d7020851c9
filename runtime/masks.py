"""Read, write, draw, encode and compare masks."""

from functools import cache
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError, ShapeError

Colour = tuple[int, int, int]


class Rle(TypedDict):
    """Hold one object's mask as COCO does: (height, width) and compressed run lengths."""

    size: list[int]
    counts: str


def davis_palette() -> NDArray[np.uint8]:
    """Return the palette of DAVIS and PASCAL VOC: (256, 3) uint8, RGB, by object id."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):  # bits 0, 1, 2 of the id become red, green, blue, from the top bit down
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return palette


@cache
def davis_colours() -> tuple[Colour, ...]:
    """Return the same palette as 256 colours of red, green and blue, by object id."""
    return tuple((red, green, blue) for red, green, blue in davis_palette().tolist())


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """Read a mask as it is meant: palette indices, or grey levels as ids.

    A mask of 0 and 255 only, as DAVIS 2016 has it, holds one object: 255 becomes 1.

    Returns:
        (H, W) uint8 label map.

    Raises:
        PromptError: if there is no such file, it is no picture, or has colours without a palette.
    """
    mask = read_labels(path)
    if np.isin(mask, (0, 255)).all():
        mask = (mask > 0).astype(np.uint8)
    return mask


def read_labels(path: str | Path) -> NDArray[np.uint8]:
    """Read a mask as it stands in the file: palette indices or grey levels, 255 included.

    Returns:
        (H, W) uint8 label map.

    Raises:
        PromptError: if there is no such file, it is no picture, or has colours without a palette.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            mode = picture.mode
            pixels = np.array(picture)
    except FileNotFoundError as error:
        raise PromptError(
            f"There is no mask {path}", "a PNG with a palette or in grey levels"
        ) from error
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise PromptError(
            f"The mask {path} cannot be read: {error}", "a PNG with a palette or in grey levels"
        ) from error
    if mode in ("RGB", "RGBA") and (pixels[..., :3] == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    elif mode not in ("P", "L", "1"):
        raise PromptError(
            f"The mask {path} has colours of mode {mode}",
            "a palette or grey levels, where the value is the object id",
            "Save it as an indexed PNG",
        )
    return pixels.astype(np.uint8)


def write_palette_png(path: str | Path, mask: NDArray[np.uint8]) -> None:
    """Write a mask as DAVIS has it: an indexed PNG with the DAVIS palette.

    Args:
        path: the file; one that exists is replaced.
        mask: (H, W) uint8 label map.
    """
    from PIL import Image

    picture = Image.fromarray(mask)
    picture.putpalette(davis_palette().tobytes())
    picture.save(path, format="PNG")


def write_labels_png(
    path: str | Path, mask: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]
) -> None:
    """Write a mask of any ids: with the DAVIS palette, or in 16 bits of grey where it ends.

    Args:
        path: the file; one that exists is replaced.
        mask: (H, W) label map.

    Raises:
        ShapeError: if an id is larger than 65535, for which a PNG has no room.
    """
    from PIL import Image

    if mask.dtype == np.uint8:
        write_palette_png(path, np.asarray(mask, np.uint8))
        return
    if mask.max(initial=0) >= 1 << 16:
        raise ShapeError(
            f"The object id {mask.max()} in a PNG",
            "ids up to 65535",
            "Write JSON lines, -o masks.jsonl, or renumber the objects",
        )
    Image.fromarray(mask.astype(np.uint16)).save(path, format="PNG")


def overlay(
    frame: NDArray[np.uint8], mask: NDArray[np.uint8], alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Draw objects over a frame in the colours of the DAVIS palette, with their outlines.

    Args:
        frame: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8 label map of the same size.
        alpha: how much of the colour shows, in [0, 1]; outlines are opaque.

    Returns:
        a new frame.
    """
    drawn = frame.copy()
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return drawn
    window = (slice(top, top + height), slice(left, left + width))
    labels, part = mask[window], drawn[window]
    table = np.ascontiguousarray(davis_palette()[np.newaxis, :, ::-1])
    colours = cv2.LUT(cv2.cvtColor(labels, cv2.COLOR_GRAY2BGR), table)
    cv2.copyTo(cv2.addWeighted(part, 1.0 - alpha, colours, alpha, 0.0), labels, part)
    outlines = cv2.compare(labels, cv2.erode(mask, np.ones((3, 3), np.uint8))[window], cv2.CMP_GT)
    cv2.copyTo(colours, outlines, part)
    return drawn


def encode_rle(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Rle:
    """Encode one object's mask as COCO's compressed run lengths, as pycocotools does.

    Args:
        mask: (H, W) bool or uint8; what is not zero is the object.
    """
    pixels = np.ascontiguousarray((mask != 0).T).view(np.uint8).ravel()  # COCO goes by columns
    changes = np.flatnonzero(np.diff(pixels, prepend=np.uint8(0)))
    runs = np.diff(np.concatenate(([0], changes, [pixels.size]))).astype(np.int64)
    runs[3:] -= runs[1:-2].copy()  # from the fourth on: less the run two before
    groups: list[NDArray[np.int64]] = []
    rest, going = runs, np.ones(len(runs), bool)
    while going.any():  # five bits at a time, lowest first, until only the sign is left
        low = rest & 31
        rest = rest >> 5
        more = np.where(low & 16, rest != -1, rest != 0)
        groups.append(np.where(going, (low | (more << 5)) + 48, 0))
        going = going & more
    characters = np.stack(groups, axis=1).ravel().astype(np.uint8)
    return {"size": list(mask.shape), "counts": characters[characters > 0].tobytes().decode()}


def decode_rle(rle: Rle) -> NDArray[np.uint8]:
    """Decode COCO's compressed run lengths.

    Returns:
        (H, W) uint8: 1 on the object.

    Raises:
        ShapeError: if the runs do not fill the mask.
    """
    height, width = rle["size"]
    codes = np.frombuffer(rle["counts"].encode(), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(codes & 32 == 0)  # the last character of each number
    if not last.size or last[-1] != len(codes) - 1:
        raise ShapeError("Run lengths that are cut off", "what encode_rle returned")
    first = np.concatenate(([0], last[:-1] + 1))
    shift = 5 * (np.arange(len(codes)) - np.repeat(first, last - first + 1))
    runs = np.add.reduceat((codes & 31) << shift, first)
    runs -= np.where(codes[last] & 16, np.int64(1) << (shift[last] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.sum() != height * width or (runs < 0).any():
        raise ShapeError(f"Runs of {runs.sum()} pixels", f"{height}x{width} pixels")
    pixels = np.repeat(np.arange(len(runs), dtype=np.uint8) & 1, runs)
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def jaccard(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Measure how well two masks agree: J, intersection over union, in [0, 1].

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool.

    Returns:
        1 where both are empty, as DAVIS has it.
    """
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 1.0
