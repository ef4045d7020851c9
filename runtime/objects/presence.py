"""Decide when an object is hidden and when it is back, so that no mask flickers on meanwhile."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.appearance import UNLIKE, Appearance, Look

GONE_FRAMES = 5
"""An object that is not seen for so many frames in a row is gone, and not just missed."""

BACK_FRAMES = 3
"""One that is gone is back after so many sightings in a row."""

BACK_AREA = (0.05, 4.0)
"""A sighting has between these parts of the area that the object used to have."""

BACK_CONFIDENCE = 0.6
"""A sighting has at least this confidence."""

DOUBT_FRAMES = (2, 60)
"""A mask that looks like something else is taken away from the first of these frames in a row on;
from the second one on it is believed, for the object may have changed."""

SHRED_AREA = 0.05
"""A mask below this part of the object's usual area that fills no cell is a shred, ..."""

SHRED_UNLIKE = UNLIKE / 2
"""... and not shown if it looks even this unlike the object: it may hold more background."""

_STEADY = 0.95  # how much of an object's usual area stays from frame to frame


@dataclass
class _Trace:
    """Hold what is known of one object: its usual area, its look, and frames in a row."""

    usual_px: float
    appearance: Appearance | None = None
    unseen: int = 0
    sightings: int = 0
    doubted: int = 0


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
        looks: Mapping[int, Look],
        given: Collection[int] = (),
        wide_looks: Mapping[int, Look] | None = None,
    ) -> tuple[ObjectState, ...]:
        """Take the pixels of what is not the object, or not yet surely.

        Args:
            mask: (H, W) uint8 label map; changed in place.
            objects: the states of all living objects in it.
            looks: the look of each that is large enough to have one.
            given: the ids that the user showed in this frame: they are here, and look so.
            wide_looks: how they look in the whole frame, where the mask was found in a part of it.

        Returns:
            the states as the mask now is.
        """
        self._traces = {s.id: self._traces.get(s.id) or _Trace(s.area_px) for s in objects}
        for state in objects:
            if state.id in given:
                self._begin(state, [looks.get(state.id), (wide_looks or {}).get(state.id)])
        return tuple(self._confirm(mask, state, looks.get(state.id)) for state in objects)

    def _begin(self, state: ObjectState, looks: Sequence[Look | None]) -> None:
        """Take what the user shows for granted."""
        keys = [look.key for look in looks if look and look.whole]
        trace = self._traces[state.id]
        trace.appearance = Appearance(*keys) if keys else None
        trace.usual_px, trace.unseen = state.area_px, 0

    def _confirm(
        self, mask: NDArray[np.uint8], state: ObjectState, look: Look | None
    ) -> ObjectState:
        trace = self._traces[state.id]
        unlike = not state.lost and (_is_unlike(trace, look) or _is_shred(state, trace, look))
        if trace.unseen >= GONE_FRAMES:
            sighted = not unlike and _is_sighting(state, trace)
            trace.sightings = trace.sightings + 1 if sighted else 0
            seen = trace.sightings >= BACK_FRAMES
        else:
            trace.sightings = 0
            seen = not (state.lost or unlike)
        if seen:
            trace.unseen = 0
            trace.usual_px = _STEADY * trace.usual_px + (1 - _STEADY) * state.area_px
            return state
        trace.unseen += 1
        return state if state.lost else _erase(mask, state)


def _is_unlike(trace: _Trace, look: Look | None) -> bool:
    """Tell whether a mask has looked like something else for a while, but not for long."""
    if trace.appearance is None or look is None or not look.whole:
        return False
    first, last = DOUBT_FRAMES
    trace.doubted = trace.doubted + 1 if trace.appearance.is_unlike(look.key) else 0
    if trace.doubted >= last:
        trace.appearance.accept(look.key)
    return first <= trace.doubted < last


def _is_shred(state: ObjectState, trace: _Trace, look: Look | None) -> bool:
    """Tell whether a mask is next to nothing of its object, and does not look like a part of it."""
    if trace.appearance is None or state.area_px >= SHRED_AREA * trace.usual_px:
        return False
    if look is None:
        return True
    return not look.whole and trace.appearance.distance(look.key) > SHRED_UNLIKE


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
