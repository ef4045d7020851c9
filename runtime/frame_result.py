"""What one step of the segmenter found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.view import View

if TYPE_CHECKING:
    from supervision import Detections


@dataclass(frozen=True)
class FrameResult:
    """Hold what one step found.

    Args:
        mask: (H, W) uint8 label map of the frame's size; 0 is the background.
        probability: (K, H/4, W/4) float32 in [0, 1], as the network returned it for ``view``.
        objects: the state of each living object, by ascending id.
        timings_ms: milliseconds of the stages ``pre``, ``infer``, ``post`` and ``memory``.
        frame_index: how many frames were stepped before, since the last reset.
        view: the part of the frame that the network looked at; ``None`` is all of it.
        key: (C, H/16, W/16) float32, as the network returned it for ``view``: what it matches by;
            ``None`` where it did not look.
    """

    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]
    objects: tuple[ObjectState, ...]
    timings_ms: dict[str, float]
    frame_index: int
    view: View | None = None
    key: NDArray[np.float32] | None = None

    def numbered_mask(self) -> NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32]:
        """Return the mask with the ids that the user gave: ``state.number`` for ``state.id``.

        Returns:
            (H, W) label map; uint8, or as wide as the largest id needs.
        """
        given = [state for state in self.objects if state.number != state.id]
        if not given:
            return self.mask
        table = np.arange(256, dtype=np.int32)
        for state in given:
            table[state.id] = state.number
        numbered = table[self.mask]
        largest = max(state.number for state in self.objects)
        if largest < 1 << 8:
            return numbered.astype(np.uint8)
        return numbered.astype(np.uint16) if largest < 1 << 16 else numbered

    def to_supervision(self) -> "Detections":
        """Return the objects that are seen as ``supervision.Detections``.

        ``tracker_id`` holds the objects' numbers, ``data["class_name"]`` their names, ``class_id``
        zeros, since nobody knows a class here.

        Raises:
            EngineError: if the package ``supervision`` is not installed.
        """
        from edge_vos.runtime.supervision import detections

        return detections(self.mask, self.objects)
