"""Check masks, boxes and points that come from outside."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError

MOST_PX = 1 << 20
"""No coordinate is larger: no picture is, and nothing overflows."""


def check_mask(mask: NDArray[np.uint8], channels: int) -> tuple[int, ...]:
    """Check that a mask is a label map with objects, and return their ids, ascending.

    Args:
        mask: (H, W) uint8; 0 is the background.
        channels: K, the background and the objects.

    Raises:
        PromptError: if it is not two-dimensional uint8, has no object, or an id of K or more.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise PromptError(
            f"A mask of {mask.dtype} and shape {mask.shape}",
            "(height, width) uint8, one object id a pixel",
            "Convert it: mask.astype(numpy.uint8)",
        )
    object_ids = tuple(int(i) for i in np.flatnonzero(np.bincount(mask.ravel())) if i)
    if not object_ids:
        raise PromptError(
            "The mask is empty", f"object ids from 1 to {channels - 1}", "Mark an object in it"
        )
    if object_ids[-1] >= channels:
        raise PromptError(
            f"The mask holds the object id {object_ids[-1]}",
            f"object ids from 1 to {channels - 1}",
            "Renumber the objects",
        )
    return object_ids


def check_size(mask: NDArray[Any], frame_size: tuple[int, ...]) -> None:
    """Check that a mask has the frame's (height, width).

    Raises:
        PromptError: if it has not.
    """
    if mask.shape != frame_size:
        raise PromptError(
            f"The mask is {mask.shape[0]}x{mask.shape[1]}",
            f"the frame's size, {frame_size[0]}x{frame_size[1]} (height x width)",
            "Scale the mask to the frame, with nearest-neighbour interpolation",
        )


def check_box(
    box_xywh: Sequence[int], frame_size: tuple[int, ...] | None = None
) -> tuple[int, int, int, int]:
    """Return a box as plain numbers.

    Args:
        box_xywh: left, top, width and height; it may reach over the frame's edge.
        frame_size: (height, width) of the frame that it is for, where that is known.

    Raises:
        PromptError: if it is not four numbers that a picture could have, or has no area in the
            frame.
    """
    numbers = _whole(box_xywh)
    if len(numbers) != 4 or max(map(abs, numbers)) > MOST_PX:
        shown = ",".join(map(str, box_xywh)) if isinstance(box_xywh, Sequence) else str(box_xywh)
        raise PromptError(
            f"The box {shown[:60]}",
            f"left,top,width,height in pixels of the frame, below {MOST_PX}",
            "Give four whole numbers",
        )
    x, y, width, height = numbers
    if frame_size is None:
        return x, y, width, height
    frame_height, frame_width = frame_size
    columns = min(x + width, frame_width) - max(x, 0)
    rows = min(y + height, frame_height) - max(y, 0)
    if width < 1 or height < 1 or columns < 2 or rows < 2:
        raise PromptError(
            f"The box {x},{y},{width},{height}",
            f"left,top,width,height inside the frame of {frame_width}x{frame_height} pixels",
            "Give a box around the object",
        )
    return x, y, width, height


def check_points(
    points: tuple[int, int] | Sequence[tuple[int, int]],
    frame_size: tuple[int, ...] | None = None,
) -> list[tuple[int, int]]:
    """Return pixels as plain numbers.

    Args:
        points: a pixel as (x, y), or several.
        frame_size: (height, width) of the frame that they are for, where that is known.

    Raises:
        PromptError: if one is not two numbers that a picture could have, or lies outside the
            frame.
    """
    is_one = len(points) == 2 and np.ndim(points[0]) == 0
    several = cast(Sequence[tuple[int, int]], [points] if is_one else points)
    checked = []
    for point in several:
        numbers = _whole(point)
        if len(numbers) != 2 or max(map(abs, numbers)) > MOST_PX:
            raise PromptError(
                f"The point {str(point)[:60]}",
                f"x,y in pixels of the frame, below {MOST_PX}",
                "Give two whole numbers",
            )
        x, y = numbers
        if frame_size is not None and not (0 <= x < frame_size[1] and 0 <= y < frame_size[0]):
            raise PromptError(
                f"The point {x},{y}",
                f"x,y inside the frame of {frame_size[1]}x{frame_size[0]} pixels",
                "Give a point in the picture",
            )
        checked.append((x, y))
    return checked


def contradiction(
    points: Sequence[tuple[int, int]], labels: Sequence[int]
) -> tuple[int, int] | None:
    """Return a pixel that is both on the object and beside it, if there is one."""
    on, beside = (
        {point for point, label in zip(points, labels, strict=True) if label == sign}
        for sign in (1, 0)
    )
    return min(on & beside, default=None)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value from JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole_lists(entry: Mapping[str, Any], key: str) -> list[list[int]]:
    """Return lists of whole numbers that JSON holds under a key; none where there is no such key.

    Raises:
        PromptError: if it is something else.
    """
    value = entry.get(key, [])
    is_list = isinstance(value, list) and all(isinstance(inner, list) for inner in value)
    if not is_list or not all(is_whole(number) for inner in value for number in inner):
        raise PromptError(
            f"The {key} {str(value)[:60]}", "lists of whole numbers", "Give pixels of the frame"
        )
    return [list(inner) for inner in value]


def no_free_object(count: int) -> PromptError:
    """Make the error of one object too many."""
    return PromptError(
        f"All {count} objects are in use", f"at most {count} objects", "Drop one first"
    )


def points_beside_only() -> PromptError:
    """Make the error of a new object that is shown by points beside it."""
    return PromptError(
        "There are points beside the object, and none on it",
        "an object that is followed, or at least one point on it",
        "Give a point on the object first",
    )


def _whole(values: object) -> tuple[int, ...]:
    """Return whole numbers; none at all where something else is among them."""
    if not isinstance(values, Iterable):
        return ()
    try:
        return tuple(value if type(value) is int else _as_int(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return ()


def _as_int(value: Any) -> int:
    if isinstance(value, str | bytes | bool):
        raise TypeError(value)
    return int(value) if isinstance(value, float | np.floating) else operator.index(value)
