"""Turn the network's probabilities into a mask of the frame, at about one cost for any objects.

The mask is the argmax of the probabilities *after* they are enlarged to the frame, which follows
outlines between the cells. It is exact and needs little work: between four cells a probability
stays between its least and its largest of the four, so an object that nowhere reaches what another
keeps cannot win there. Each object is enlarged and compared only around the cells where it may.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.preprocess import Letterbox

_FOUR = np.ones((2, 2), np.uint8)


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
    """

    id: int
    area_px: int
    box_xywh: tuple[int, int, int, int]
    confidence: float
    lost: bool


def label_frame(
    probability: NDArray[np.float32], object_ids: Sequence[int], letterbox: Letterbox
) -> tuple[NDArray[np.uint8], tuple[ObjectState, ...]]:
    """Label every pixel of a frame with its likeliest object.

    Args:
        probability: (K, H/4, W/4) float32 in [0, 1]; channel 0 is the background.
        object_ids: the channels to tell apart from the background, ascending. The lower wins a tie.
        letterbox: how the frame lies in the network's image.

    Returns:
        the mask, (H, W) uint8 of the frame's size, and the state of each object in that order.
    """
    cells = letterbox.crop(probability)
    mask = np.zeros(letterbox.frame_size, np.uint8)
    best = letterbox.to_frame(probability[0])
    best_cells, winner_cells = cells[0].copy(), np.zeros(cells.shape[1:], np.uint8)
    kept = _least(cells[0])
    for object_id in object_ids:
        kept = np.maximum(kept, _least(cells[object_id]))
    windows: list[tuple[slice, slice] | None] = []
    for object_id in object_ids:
        # Not "greater": an object that is alone keeps what it reaches.
        may_win = (_largest(cells[object_id]) >= kept).view(np.uint8)
        left, top, width, height = cv2.boundingRect(may_win)
        if not width:
            windows.append(None)
            continue
        rows = _between(top, height, cells.shape[1], letterbox.frame_size[0])
        columns = _between(left, width, cells.shape[2], letterbox.frame_size[1])
        window = (rows, columns)
        windows.append(window)
        enlarged = letterbox.to_window(probability[object_id], rows, columns)
        _win(mask[window], best[window], enlarged, object_id)
        _win(winner_cells, best_cells, cells[object_id], object_id)
    states = (
        _state(object_id, mask, window, cells[object_id], winner_cells)
        for object_id, window in zip(object_ids, windows, strict=True)
    )
    return mask, tuple(states)


def _win(
    mask: NDArray[np.uint8], best: NDArray[np.float32], other: NDArray[np.float32], object_id: int
) -> None:
    """Give the object the pixels where it is better; ids must come in ascending order."""
    wins = np.greater(other, best).view(np.uint8) * np.uint8(object_id)
    np.maximum(mask, wins, out=mask)
    np.maximum(best, other, out=best)


def _state(
    object_id: int,
    mask: NDArray[np.uint8],
    window: tuple[slice, slice] | None,
    cells: NDArray[np.float32],
    winner_cells: NDArray[np.uint8],
) -> ObjectState:
    if window is not None:
        selected = (mask[window] == object_id).view(np.uint8)
        if area_px := cv2.countNonZero(selected):
            left, top, width, height = cv2.boundingRect(selected)
            box = (left + window[1].start, top + window[0].start, width, height)
            won = cells[winner_cells == object_id]
            # An object can win between cells without winning one.
            confidence = float(won.mean() if won.size else cells.max())
            return ObjectState(object_id, area_px, box, confidence, lost=False)
    return ObjectState(object_id, 0, (0, 0, 0, 0), 0.0, lost=True)


def _least(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return, at each cell, the least of it and its neighbours to the right and below."""
    return np.asarray(cv2.erode(cells, _FOUR, anchor=(0, 0)), np.float32)


def _largest(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.dilate(cells, _FOUR, anchor=(0, 0)), np.float32)


def _between(first: int, length: int, count: int, size: int) -> slice:
    """Return the pixels from the centre of a cell to that of the one ``length`` further on."""
    scale = size / count
    start = math.floor((first + 0.5) * scale) if first else 0
    stop = math.ceil((first + length + 0.5) * scale) if first + length < count else size
    return slice(start, stop)
