"""Move the outlines of a mask as the given masks taught."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.objects.view import Box, box_around, joined
from edge_vos.runtime.outlines.key_axes import KeyAxes
from edge_vos.runtime.outlines.outline import (
    LONGEST_SIDE_PX,
    MARGIN_PX,
    REACH_PX,
    Clues,
    Lesson,
    Outline,
    make_lesson,
)
from edge_vos.runtime.outlines.seen import Seen


def mend(
    image: NDArray[np.uint8], seen: Seen, outlines: Mapping[int, Outline]
) -> NDArray[np.uint8]:
    """Give each pixel to the object whose mended odds are the best, where they are even or more.

    Args:
        image: (H, W, 3) uint8, BGR: the view.
        seen: what was seen in it.
        outlines: by object; one without keeps the pixels that it has.

    Returns:
        the mask of the view, (H, W) uint8.
    """
    mended = np.where(np.isin(seen.mask, list(outlines)), np.uint8(0), seen.mask)
    best = np.where(mended > 0, np.float32(np.inf), np.float32(0))
    for object_id, outline in outlines.items():
        taken = seen.mask == object_id
        if not taken.any():
            continue
        rows, columns = _window(box_around(taken.view(np.uint8)), taken.shape)
        clues = _clues(image, seen, object_id, outline.axes, (rows, columns))
        odds = outline.mend(clues)
        won = odds > best[rows, columns]
        mended[rows, columns][won] = object_id
        best[rows, columns][won] = odds[won]
    return mended


def lesson_of(
    image: NDArray[np.uint8],
    seen: Seen,
    object_id: int,
    truth: NDArray[np.bool_],
    axes: KeyAxes,
) -> Lesson:
    """Describe what was seen of one object where the truth is known.

    Args:
        image: (H, W, 3) uint8, BGR: the view.
        seen: what was seen in it.
        object_id: of the object.
        truth: (H, W) bool, with at least one pixel.
        axes: to describe keys along.
    """
    taken = seen.mask == object_id
    boxes = [box_around(pixels.view(np.uint8)) for pixels in (taken, truth) if pixels.any()]
    window = _window(joined(boxes), truth.shape)
    return make_lesson(_clues(image, seen, object_id, axes, window), truth[window])


def _clues(
    image: NDArray[np.uint8],
    seen: Seen,
    object_id: int,
    axes: KeyAxes,
    window: tuple[slice, slice],
) -> Clues:
    cells = seen.probability.shape[1], seen.probability.shape[2]
    maps = [seen.probability[object_id], *axes.maps(seen.key, cells)]
    chance, *keys = (seen.letterbox.to_window(each, *window) for each in maps)
    scale = _scale(seen.mask.shape)
    return Clues(image[window], chance, seen.mask[window] == object_id, np.stack(keys), scale)


def _scale(size: tuple[int, ...]) -> float:
    return min(LONGEST_SIDE_PX / max(size), 1.0)


def _window(box: Box, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns around a box that an outline may reach or is described by."""
    left, top, width, height = box
    around = round((REACH_PX + MARGIN_PX) / _scale(size))
    return (
        slice(max(top - around, 0), min(top + height + around, size[0])),
        slice(max(left - around, 0), min(left + width + around, size[1])),
    )
