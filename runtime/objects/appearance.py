"""Tell whether what a mask covers still looks like its object, by the network's own keys.

What hides an object can inherit its mask. Its key, which is what the memory is searched by, is
another one: the mean key under a mask is compared with that of the object as it was shown, and as
it has looked lately.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

UNLIKE = 0.7
"""From this squared distance on, in parts of the shown key's squared length, it is another."""

FILLED, TOUCHED = 0.5, 0.05
"""Cells count from this part on that an object fills; the latter where it fills none."""

# OpenBLAS shares a product of 2^18 multiply-adds or more out to threads of its own. They go on
# spinning beside the engine's: ten objects at 480x864 took it twice the time (two cores).
_CELLS_AT_ONCE = 256

_PACE = 0.02  # how much of a look is taken over from each frame
_ALIKE = 0.6  # looks further than this part of UNLIKE are not taken over


@dataclass(frozen=True)
class Look:
    """Hold what an object looks like in one frame.

    Args:
        key: (Ck,) float32, the mean over its cells, weighted by how much of each it fills.
        whole: whether it fills more than half of these cells, and does not just touch them.
    """

    key: NDArray[np.float32]
    whole: bool


def find_looks(
    key: NDArray[np.float32], probability: NDArray[np.float32], object_ids: Sequence[int]
) -> dict[int, Look]:
    """Return the look of each object that touches a cell.

    Args:
        key: (Ck, h, w) float32, the frame's memory key.
        probability: (K, 4 h, 4 w) float32 in [0, 1].
        object_ids: the channels to look at.

    Returns:
        the looks by object id, of the cells that are filled more than half where there are any.
    """
    channels, height, width = key.shape
    share = np.stack(
        [cv2.resize(probability[i], (width, height), interpolation=cv2.INTER_AREA)
         for i in object_ids]
    ).reshape(len(object_ids), -1)  # fmt: skip
    whole = share.max(axis=1) > FILLED
    weight = np.where(share > np.where(whole, FILLED, TOUCHED)[:, np.newaxis], share, 0)
    total = weight.sum(axis=1)
    keys, sums = key.reshape(channels, -1), np.zeros((len(object_ids), channels), np.float32)
    for first in range(0, share.shape[1], _CELLS_AT_ONCE):
        cells = slice(first, first + _CELLS_AT_ONCE)
        sums += weight[:, cells] @ keys[:, cells].T
    return {
        i: Look(sums[n] / total[n], bool(whole[n]))
        for n, i in enumerate(object_ids)
        if total[n] > 0
    }


class Appearance:
    """Hold what one object looks like.

    Args:
        looks: (Ck,) float32, its mean keys in the frame in which the user showed it, from close
            and from afar.
    """

    def __init__(self, *looks: NDArray[np.float32]) -> None:
        self._shown = looks
        self._lately = looks[0]
        self._length = float(looks[0] @ looks[0]) or 1.0

    def distance(self, look: NDArray[np.float32]) -> float:
        """Return the least squared distance to a known look, in parts of the shown key's."""
        known = (*self._shown, self._lately)
        return min(float(np.square(look - one).sum()) for one in known) / self._length

    def is_unlike(self, look: NDArray[np.float32]) -> bool:
        """Tell whether a mean key is another thing's; take it over slowly where it is not."""
        distance = self.distance(look)
        if distance < _ALIKE * UNLIKE:
            self._lately = (1 - _PACE) * self._lately + _PACE * look
        return distance > UNLIKE

    def accept(self, look: NDArray[np.float32]) -> None:
        """Take what it looks like now for granted."""
        self._lately = look
