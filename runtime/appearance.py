"""Tell whether what a mask covers still looks like its object, by the network's own keys.

What hides an object can inherit its mask. Its key, which is what the memory is searched by, is
another one: the mean key under a mask is compared with that of the object as it was shown, and as
it has looked lately.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNLIKE = 0.7
"""From this squared distance on, in parts of the shown key's squared length, it is another."""

_PACE = 0.02  # how much of a look is taken over from each frame
_ALIKE = 0.6  # looks further than this part of UNLIKE are not taken over


def mean_keys(
    key: NDArray[np.float32], probability: NDArray[np.float32], object_ids: Sequence[int]
) -> dict[int, NDArray[np.float32]]:
    """Return the mean key of each object that fills more than half of at least one cell.

    Args:
        key: (Ck, h, w) float32, the frame's memory key.
        probability: (K, 4 h, 4 w) float32 in [0, 1].
        object_ids: the channels to look at.

    Returns:
        (Ck,) float32 by object id.
    """
    channels, height, width = key.shape
    blocks = probability[list(object_ids)].reshape(-1, height, 4, width, 4)
    share = blocks.mean(axis=(2, 4)).reshape(len(blocks), -1)
    weight = np.where(share > 0.5, share, 0)
    total = weight.sum(axis=1)
    sums = weight @ key.reshape(channels, -1).T
    return {i: sums[n] / total[n] for n, i in enumerate(object_ids) if total[n] > 0}


class Appearance:
    """Hold what one object looks like.

    Args:
        look: (Ck,) float32, its mean key in the frame in which the user showed it.
    """

    def __init__(self, look: NDArray[np.float32]) -> None:
        self._shown = look
        self._lately = look
        self._length = float(look @ look) or 1.0

    def is_unlike(self, look: NDArray[np.float32]) -> bool:
        """Tell whether a mean key is another thing's; take it over slowly where it is not."""
        distance = min(
            float(np.square(look - known).sum()) for known in (self._shown, self._lately)
        )
        if distance < _ALIKE * UNLIKE * self._length:
            self._lately = (1 - _PACE) * self._lately + _PACE * look
        return distance > UNLIKE * self._length

    def accept(self, look: NDArray[np.float32]) -> None:
        """Take what it looks like now for granted."""
        self._lately = look
