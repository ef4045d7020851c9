"""What a person shows of one object: its mask, boxes around it, points on it and beside it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError, ShapeError
from edge_vos.runtime.masks import Rle, decode_rle, encode_rle
from edge_vos.runtime.objects.names import check_name
from edge_vos.runtime.prompts.checks import (
    check_box,
    check_points,
    check_size,
    contradiction,
    is_whole,
    whole_lists,
)

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

Point = tuple[int, int]
"""A pixel as (x, y)."""

MOST_MASK_PX = 1 << 26
"""No mask in a file is larger."""

_TOO_LONG = re.compile("[P-o]{7}")  # a run length of more than 35 bits


@dataclass(frozen=True, eq=False)
class Prompt:
    """Hold what shows one object in one frame.

    A mask or a box gives the object anew. Points alone correct an object that is followed: they
    refine the mask that it has in that frame. Points of an object that is not followed give it.

    Args:
        object_id: the object; ``None`` is a new one.
        mask: (H, W) uint8 or bool of the frame's size, not zero on the object; ``None`` for none.
        boxes_xywh: left, top, width and height, in pixels. The object is in all of them; more
            than one is for an object in several parts.
        points: pixels as (x, y).
        labels: 1 for each point on the object, 0 for each beside it; ``None`` is all on it.
        name: what the object is called; ``None`` leaves its name as it is.

    Raises:
        PromptError: if it shows nothing, is written wrongly, or has a pixel both on the object
            and beside it.
    """

    object_id: int | None = None
    mask: NDArray[Any] | None = None
    boxes_xywh: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _set(self, boxes_xywh=tuple(check_box(box) for box in self.boxes_xywh))
        points = tuple(check_points(self.points)) if len(self.points) else ()
        labels = (1,) * len(points) if self.labels is None else tuple(self.labels)
        if len(labels) != len(points) or not all(label in (0, 1) for label in labels):
            raise PromptError(
                f"{len(points)} points with the labels {list(labels)}"[:120],
                "a label for each point: 1 on the object, 0 beside it",
                "Give as many labels as points",
            )
        _set(self, points=points, labels=tuple(int(label) for label in labels))
        if (both := contradiction(points, labels)) is not None:
            raise PromptError(
                f"The point {both[0]},{both[1]} is given as on the object and as beside it",
                "each pixel either on the object or beside it",
                "Take one of the two back",
            )
        if self.mask is not None:
            _set(self, mask=_object_mask(self.mask))
        if self.is_points and not points:
            raise PromptError("The prompt is empty", "a mask, a box or points", "Give one of them")
        if self.name is not None:
            check_name(self.name)

    @property
    def is_points(self) -> bool:
        """Return whether there are points alone: they correct an object that is followed."""
        return self.mask is None and not self.boxes_xywh

    @property
    def signs(self) -> tuple[int, ...]:
        """Return the labels: 1 for each point on the object, 0 for each beside it."""
        return self.labels or ()

    def join(self, later: "Prompt") -> "Prompt":
        """Return this prompt with what was shown of the same object in the same frame after it.

        Points are added. A mask or a box begins anew.

        Raises:
            PromptError: if a pixel is now both on the object and beside it.
        """
        name = self.name if later.name is None else later.name
        if not later.is_points:
            return replace(later, name=name)
        points, labels = (*self.points, *later.points), (*self.signs, *later.signs)
        return replace(self, points=points, labels=labels, name=name)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads, and ``prompts.schema.json`` describes."""
        found: dict[str, Any] = {"object": self.object_id}
        if self.mask is not None:
            found["mask"] = encode_rle(self.mask)
        if self.boxes_xywh:
            boxes = [list(box) for box in self.boxes_xywh]
            found |= {"box": boxes[0]} if len(boxes) == 1 else {"boxes": boxes}
        if self.points:
            found |= {"points": [list(xy) for xy in self.points], "labels": list(self.signs)}
        return found if self.name is None else {**found, "name": self.name}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Prompt":
        """Make a prompt of what JSON holds.

        Raises:
            PromptError: if something is missing, unknown or of another type, or no prompt.
        """
        if unknown := sorted(set(entry) - FIELDS):
            known = ", ".join(sorted(FIELDS))
            raise PromptError(f"The key {unknown[0]!r}"[:80], f"one of {known}", "Leave it out")
        object_id = entry.get("object")
        if not is_whole(object_id) or object_id < 1:
            raise PromptError(
                f"The object {object_id!r}"[:80], "an id, from 1", 'Write it: "object": 1'
            )
        if "box" in entry and "boxes" in entry:
            raise PromptError("box and boxes together", "one of them", "Put all into boxes")
        boxes = [entry["box"]] if "box" in entry else whole_lists(entry, "boxes")
        labels = (
            whole_lists({"labels": [entry["labels"]]}, "labels")[0] if "labels" in entry else None
        )
        name = entry.get("name")
        if not isinstance(name, str | None):
            raise PromptError(f"The name {name!r}"[:80], "text", "Put it in quotes")
        return cls(
            object_id,
            mask=_decoded(entry["mask"]) if "mask" in entry else None,
            boxes_xywh=tuple(tuple(box) for box in whole_lists({"box": boxes}, "box")),  # type: ignore[misc]
            points=tuple(tuple(xy) for xy in whole_lists(entry, "points")),  # type: ignore[misc]
            labels=None if labels is None else tuple(labels),
            name=name,
        )

    def check_frame(self, frame_size: tuple[int, ...]) -> None:
        """Check that it lies in a frame of (height, width).

        Raises:
            PromptError: if a box has no area in it, a point lies outside, or the mask is of
                another size.
        """
        if self.mask is not None:
            check_size(self.mask, frame_size)
        for box in self.boxes_xywh:
            check_box(box, frame_size)
        check_points(self.points, frame_size)


FIELDS = frozenset({"object", "mask", "box", "boxes", "points", "labels", "name"})
"""The keys of a prompt in JSON."""


def prompts_of_mask(mask: NDArray[np.uint8]) -> tuple[Prompt, ...]:
    """Return a prompt for each object of a label map.

    Args:
        mask: (H, W) uint8; 0 is the background.
    """
    object_ids = (int(i) for i in np.flatnonzero(np.bincount(mask.ravel())) if i)
    return tuple(Prompt(object_id, mask=mask == object_id) for object_id in object_ids)


def join_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Put together what is given of each object of a frame: all boxes, all points, one mask.

    Args:
        prompts: in any order; those without an object are each a new one.

    Returns:
        one prompt an object, in the order in which they came.

    Raises:
        PromptError: if an object has two masks or two names, or they contradict each other.
    """
    joined: dict[object, Prompt] = {}
    for place, prompt in enumerate(prompts):
        key: object = ("new", place) if prompt.object_id is None else prompt.object_id
        known = joined.get(key)
        joined[key] = prompt if known is None else _united(known, prompt)
    return tuple(joined.values())


def _united(one: Prompt, other: Prompt) -> Prompt:
    for what, pair in (("masks", (one.mask, other.mask)), ("names", (one.name, other.name))):
        if all(value is not None for value in pair) and (what == "masks" or pair[0] != pair[1]):
            raise PromptError(
                f"Object {one.object_id} has two {what} in one frame", "one", "Leave one out"
            )
    return Prompt(
        one.object_id,
        mask=one.mask if one.mask is not None else other.mask,
        boxes_xywh=(*one.boxes_xywh, *other.boxes_xywh),
        points=(*one.points, *other.points),
        labels=(*one.signs, *other.signs),
        name=one.name if one.name is not None else other.name,
    )


def _decoded(rle: object) -> NDArray[np.uint8]:
    match rle:
        case {"size": [height, width], "counts": str(counts)} if (
            is_whole(height)
            and is_whole(width)
            and 0 < height * width <= MOST_MASK_PX
            and height > 0
            and not _TOO_LONG.search(counts)
        ):
            try:
                return decode_rle(Rle(size=[height, width], counts=counts))
            except (ShapeError, ValueError, OverflowError):
                pass
    raise PromptError(
        "The mask cannot be read", "COCO run lengths, compressed: size and counts",
        "Give masks as files: --mask FILE",
    )  # fmt: skip


def _object_mask(mask: NDArray[Any]) -> NDArray[np.uint8]:
    is_mask = isinstance(mask, np.ndarray) and mask.dtype in (np.uint8, np.bool_) and mask.ndim == 2
    if not is_mask:
        kind = f"{mask.dtype} and shape {mask.shape}" if hasattr(mask, "shape") else type(mask)
        raise PromptError(
            f"A mask of {kind}",
            "(height, width) uint8 or bool, not zero on the object",
            "Convert it: mask.astype(numpy.uint8)",
        )
    if not mask.any():
        raise PromptError("The mask is empty", "at least one pixel", "Mark the object in it")
    return (mask > 0).astype(np.uint8)


def _set(prompt: Prompt, **values: Sequence[object] | NDArray[np.uint8]) -> None:
    for name, value in values.items():
        object.__setattr__(prompt, name, value)
