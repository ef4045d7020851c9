"""What the network sees in a part of a frame, before it is placed in the frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.objects.view import View
from edge_vos.runtime.preprocess import Letterbox


@dataclass(frozen=True)
class Seen:
    """Hold what the network sees in a view.

    Args:
        view: the part of the frame, of (H, W) pixels.
        letterbox: how it lies in the network's image.
        probability: (K, h, w) float32 in [0, 1], as the network returns it.
        key: (C, h/4, w/4) float32, likewise: what it matches by.
        mask: (H, W) uint8 label map of the view.
    """

    view: View
    letterbox: Letterbox
    probability: NDArray[np.float32]
    key: NDArray[np.float32]
    mask: NDArray[np.uint8]
