"""Decide when an object that was lost is back, so that no mask flickers on while it is hidden."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState

GONE_FRAMES = 5
"""An object without a pixel for so many frames in a row is gone, and not just missed."""

BACK_FRAMES = 3
"""One that is gone is back after so many sightings in a row."""

BACK_AREA = (0.05, 4.0)
"""A sighting has between these parts of the area that the object used to have."""

BACK_CONFIDENCE = 0.6
"""A sighting has at least this confidence."""

_STEADY = 0.95  # how much of an object's usual area stays from frame to frame


@dataclass
class _Trace:
    """Hold what is known of one object: its usual area, and frames in a row."""

    usual_px: float
    unseen: int = 0
    sightings: int = 0


class Presence:
    """Watch objects come and go, from frame to frame."""

    def __init__(self) -> None:
        self._traces: dict[int, _Trace] = {}

    def clear(self) -> None:
        """Forget all objects."""
        self._traces.clear()

    def confirm(
        self,
        mask: NDArray[np.uint8],
        objects: Sequence[ObjectState],
        given: Collection[int] = (),
    ) -> tuple[ObjectState, ...]:
        """Take the pixels of objects that are gone until it is sure that they are back.

        Args:
            mask: (H, W) uint8 label map; changed in place.
            objects: the states of all living objects in it.
            given: the ids that the user showed in this frame: they are here.

        Returns:
            the states as the mask now is.
        """
        self._traces = {s.id: self._traces.get(s.id) or _Trace(s.area_px) for s in objects}
        return tuple(self._confirm(mask, state, state.id in given) for state in objects)

    def _confirm(self, mask: NDArray[np.uint8], state: ObjectState, given: bool) -> ObjectState:
        trace = self._traces[state.id]
        was_gone = trace.unseen >= GONE_FRAMES
        if was_gone and not given:
            trace.sightings = trace.sightings + 1 if _is_sighting(state, trace) else 0
            if trace.sightings < BACK_FRAMES:
                return state if state.lost else _erase(mask, state)
        trace.sightings = 0
        if state.lost:
            trace.unseen += 1
        else:
            trace.unseen = 0
            steady = 0.0 if given else _STEADY
            trace.usual_px = steady * trace.usual_px + (1 - steady) * state.area_px
        return state


def _is_sighting(state: ObjectState, trace: _Trace) -> bool:
    if state.lost or state.confidence < BACK_CONFIDENCE:
        return False
    least, most = BACK_AREA
    # What was never seen may have any area.
    return not trace.usual_px or least <= state.area_px / trace.usual_px <= most


def _erase(mask: NDArray[np.uint8], state: ObjectState) -> ObjectState:
    left, top, width, height = state.box_xywh
    part = mask[top : top + height, left : left + width]
    part[part == state.id] = 0
    return replace(state, area_px=0, box_xywh=(0, 0, 0, 0), confidence=0.0, lost=True)
