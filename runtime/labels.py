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

from edge_vos.runtime.masks import Colour, davis_colours
from edge_vos.runtime.preprocess import Letterbox

_Window = tuple[slice, slice]


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
    """

    id: int
    area_px: int
    box_xywh: tuple[int, int, int, int]
    confidence: float
    lost: bool
    name: str = ""

    @property
    def colour(self) -> Colour:
        """Return its colour in overlays and palette PNGs: red, green and blue."""
        return davis_colours()[self.id]


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
    cells = letterbox.crop(probability)[[0, *object_ids]]
    likeliest = cells == cells.max(axis=0)
    counts = np.maximum(np.count_nonzero(likeliest, axis=(1, 2)), 1)
    confidence = np.einsum("nhw,nhw->n", cells, likeliest) / counts
    may_win = _may_win(cells)
    mask = np.zeros(letterbox.frame_size, np.uint8)
    best = letterbox.to_frame(probability[0])
    windows = [_window(cells_of_one, letterbox.frame_size) for cells_of_one in may_win]
    for object_id, window in zip(object_ids, windows, strict=True):
        if window is not None:
            enlarged = letterbox.to_window(probability[object_id], *window)
            won = np.asarray(cv2.compare(enlarged, best[window], cv2.CMP_GT), np.uint8)
            won &= object_id  # from 255
            cv2.max(mask[window], won, dst=mask[window])  # lower ids came before
            cv2.max(best[window], enlarged, dst=best[window])
    states = (
        # An object can win between cells without winning one.
        _state(object_id, mask, window, float(confidence[i] or cells[i].max()))
        for i, (object_id, window) in enumerate(zip(object_ids, windows, strict=True), start=1)
    )
    return mask, tuple(states)


def _window(may_win: NDArray[np.bool_], frame_size: tuple[int, int]) -> _Window | None:
    """Return the pixels around the cells in which an object may win; None where there are none."""
    left, top, width, height = cv2.boundingRect(may_win.view(np.uint8))
    if not width:
        return None
    rows = _between(top, height, may_win.shape[0], frame_size[0])
    return rows, _between(left, width, may_win.shape[1], frame_size[1])


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


def _may_win(cells: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell where an object may win: between a cell and its neighbours right, below and across.

    Args:
        cells: (N, h, w) float32 in [0, 1], the background first.

    Returns:
        (N - 1, h, w), true wherever an object may win, and at a few cells more: 8 bits make it
        cheap and keep the order, and where rounding makes two the same, the object may win.
    """
    flat = cv2.convertScaleAbs(cells.reshape(-1, cells.shape[2]), alpha=255)
    levels = np.asarray(flat, np.uint8)
    least = _among_neighbours(levels, cells.shape, np.minimum)
    largest = _among_neighbours(levels, cells.shape, np.maximum)[1:]
    return np.asarray(largest >= least.max(axis=0))


def _among_neighbours(
    levels: NDArray[np.uint8], shape: tuple[int, ...], choose: np.ufunc
) -> NDArray[np.uint8]:
    """Choose among each cell and its neighbours: (N * h, w) in, the shape (N, h, w) out."""
    chosen = levels.copy()
    choose(levels[:, :-1], levels[:, 1:], out=chosen[:, :-1])
    maps = chosen.reshape(shape[0], -1)
    maps[:, : -shape[2]] = choose(maps[:, : -shape[2]], maps[:, shape[2] :])
    return maps.reshape(shape)


def _between(first: int, length: int, count: int, size: int) -> slice:
    """Return the pixels from the centre of a cell to that of the one ``length`` further on."""
    scale = size / count
    start = math.floor((first + 0.5) * scale) if first else 0
    stop = math.ceil((first + length + 0.5) * scale) if first + length < count else size
    return slice(start, stop)
