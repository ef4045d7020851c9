"""Hand results to ``supervision``, which draws, filters and counts detections."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import EngineError
from edge_vos.runtime.labels import ObjectState

if TYPE_CHECKING:
    from supervision import Detections

INSTALL = "pip install supervision"


def detections(mask: NDArray[np.uint8], objects: Sequence[ObjectState]) -> "Detections":
    """Make ``supervision.Detections`` of the objects that are seen in a frame.

    Args:
        mask: (H, W) uint8 label map.
        objects: the objects' states; lost ones are left out.

    Returns:
        boxes to the last pixel's far edge, masks, confidences, and ``tracker_id``: the numbers.

    Raises:
        EngineError: if the package is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise EngineError(
            "supervision is not installed", "the package supervision", f"Run: {INSTALL}"
        ) from error
    seen = [state for state in objects if not state.lost]
    if not seen:
        return supervision.Detections.empty()
    boxes = np.array([state.box_xywh for state in seen], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return supervision.Detections(
        xyxy=boxes,
        mask=np.stack([mask == state.id for state in seen]),
        confidence=np.array([state.confidence for state in seen], np.float32),
        class_id=np.zeros(len(seen), np.int64),
        tracker_id=np.array([state.number for state in seen], np.int64),
        data={"class_name": np.array([state.name or str(state.number) for state in seen])},
    )
