"""Turn the network's probabilities into a mask of the frame, at about one cost for any objects.

What is background is decided for all objects at once, at the network's resolution, by a guided
filter: outlines follow the picture between the cells. Which object the rest is, is the argmax of
the objects' probabilities after they are enlarged to the frame, each only around its own cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.graph import MASK_STRIDE
from edge_vos.runtime.guided_filter import RADIUS, guided_filter
from edge_vos.runtime.masks import Colour, davis_colours
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.preprocess import Letterbox

Event = Literal["lost", "found"]
_Window = tuple[slice, slice]

_REACH = RADIUS
"""Cells that an outline may lie outside an object's likeliest cells."""

OUTLINE, LEVELS = 128, 16
"""The level of an outline, and levels for each unit of the odds' logarithm."""

LEAST_PROBABILITY = 1e-3
"""What is less likely counts as this: odds have to end somewhere."""


@dataclass(frozen=True)
class ObjectState:
    """Describe one object in one frame.

    Args:
        id: the object's id in the mask, from 1.
        area_px: its pixels in the frame.
        box_xywh: left, top, width and height of its pixels; zeros when there are none.
        confidence: mean of its probability, in [0, 1], over the cells where it is the likeliest;
            0 when it has no pixel.
        lost: whether it has no pixel.
        name: what the user calls it; empty when nobody named it.
        given_id: its id in the file that showed it, where that is another; 0 where it is not.
        event: ``lost`` in the frame in which it is lost, ``found`` in the one in which it is back,
            and ``None`` in all others.
    """

    id: int
    area_px: int
    box_xywh: tuple[int, int, int, int]
    confidence: float
    lost: bool
    name: str = ""
    given_id: int = 0
    event: Event | None = None

    @property
    def number(self) -> int:
        """Return the id that outputs know it by: the user's own, or else ``id``."""
        return self.given_id or self.id

    @property
    def colour(self) -> Colour:
        """Return its colour in overlays and palette PNGs: red, green and blue."""
        return davis_colours()[(self.number - 1) % 255 + 1]


def in_frame(state: ObjectState, view: View) -> ObjectState:
    """Return what was found in a part of a frame, with its box in the frame."""
    if state.lost:
        return state
    left, top, width, height = state.box_xywh
    return replace(state, box_xywh=(left + view.left, top + view.top, width, height))


def label_frame(
    probability: NDArray[np.float32],
    object_ids: Sequence[int],
    letterbox: Letterbox,
    image: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], tuple[ObjectState, ...]]:
    """Label every pixel of a frame with its likeliest object.

    Args:
        probability: (K, H/4, W/4) float32 in [0, 1]; channel 0 is the background.
        object_ids: the channels to tell apart from the background, ascending. The lower wins a tie.
        letterbox: how the frame lies in the network's image.
        image: (1, 3, H, W) float32 in [0, 255], the network's image.

    Returns:
        the mask, (H, W) uint8 of the frame's size, and the state of each object in that order. An
        object that is nowhere the likeliest, not even in one cell, is lost.
    """
    cells = letterbox.crop(probability)[[0, *object_ids]]
    likeliest = cells == cells.max(axis=0)
    counts = np.maximum(np.count_nonzero(likeliest, axis=(1, 2)), 1)
    confidence = np.einsum("nhw,nhw->n", cells, likeliest) / counts
    mask = np.zeros(letterbox.frame_size, np.uint8)
    best = np.zeros(letterbox.frame_size, np.float32)
    around = [_around(cells_of_one) for cells_of_one in likeliest[1:]]
    windows = [None if one is None else letterbox.window(one) for one in around]
    for object_id, window in zip(object_ids, windows, strict=True):
        if window is not None:
            enlarged = letterbox.to_window(probability[object_id], *window)
            won = np.asarray(cv2.compare(enlarged, best[window], cv2.CMP_GT), np.uint8)
            won &= object_id  # from 255
            cv2.max(mask[window], won, dst=mask[window])  # lower ids came before
            cv2.max(best[window], enlarged, dst=best[window])
    if any(windows):
        mask &= _foreground(cells, letterbox, image)
    states = (
        _state(object_id, mask, window, float(confidence[i]))
        for i, (object_id, window) in enumerate(zip(object_ids, windows, strict=True), start=1)
    )
    return mask, tuple(states)


def _foreground(
    cells: NDArray[np.float32], letterbox: Letterbox, image: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Tell where any object is: (H, W) uint8 of the frame's size, 255 there and 0 elsewhere."""
    levels = outline_levels(cells, letterbox, image)
    _, foreground = cv2.threshold(levels, OUTLINE, 255, cv2.THRESH_BINARY)
    return np.asarray(foreground, np.uint8)


def outline_levels(
    cells: NDArray[np.float32], letterbox: Letterbox, image: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Tell how surely each pixel is any object, with outlines that follow the picture.

    Args:
        cells: (n, h, w) float32 in [0, 1], the content's probabilities: the background's first.
        letterbox: how the frame lies in the network's image.
        image: (1, 3, H, W) float32 in [0, 255], the network's image.

    Returns:
        (H, W) uint8 of the frame's size: ``OUTLINE`` and ``LEVELS`` times the logarithm of the
        odds. More than ``OUTLINE`` is an object.
    """
    chance = np.maximum(cells, LEAST_PROBABILITY)
    margin = np.log(chance[1:].max(axis=0) / chance[0])
    levels = np.zeros(letterbox.content_size, np.uint8)
    if (window := _around(margin >= 0)) is not None:
        rows, columns = (slice(s.start * MASK_STRIDE, s.stop * MASK_STRIDE) for s in window)
        outline = guided_filter(margin[window], letterbox.pixels(image)[0][:, rows, columns])
        # 8 bits are enough for where it is zero, and cheaper to enlarge.
        lowest = np.maximum(outline, -OUTLINE / LEVELS)
        levels[rows, columns] = cv2.convertScaleAbs(lowest, alpha=LEVELS, beta=OUTLINE)
    return letterbox.enlarge(levels)


def _around(chosen: NDArray[np.bool_]) -> _Window | None:
    """Return the cells around the chosen ones, as far as an outline may reach; None for none."""
    left, top, width, height = cv2.boundingRect(chosen.view(np.uint8))
    if not width:
        return None
    return (
        slice(max(top - _REACH, 0), min(top + height + _REACH, chosen.shape[0])),
        slice(max(left - _REACH, 0), min(left + width + _REACH, chosen.shape[1])),
    )


def states_in(mask: NDArray[np.uint8], states: Sequence[ObjectState]) -> tuple[ObjectState, ...]:
    """Return the states of objects whose pixels are now those of a mask.

    Args:
        mask: (H, W) uint8 label map.
        states: as they were before.
    """
    whole = slice(0, mask.shape[0]), slice(0, mask.shape[1])
    return tuple(
        replace(_state(s.id, mask, whole, s.confidence), name=s.name, given_id=s.given_id)
        for s in states
    )


def _state(
    object_id: int, mask: NDArray[np.uint8], window: _Window | None, confidence: float
) -> ObjectState:
    if window is not None:
        selected = (mask[window] == object_id).view(np.uint8)
        if area_px := cv2.countNonZero(selected):
            left, top, width, height = cv2.boundingRect(selected)
            box = (left + window[1].start, top + window[0].start, width, height)
            return ObjectState(object_id, area_px, box, confidence, lost=False)
    return ObjectState(object_id, 0, (0, 0, 0, 0), 0.0, lost=True)
