"""Map object ids of any size to the model's few channels."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError


def assign_channels(object_ids: Iterable[int], channels: int) -> dict[int, int]:
    """Give every object a channel: its own id where that is one, else the lowest that is free.

    Args:
        object_ids: from 1 on.
        channels: K, the background and the objects.

    Returns:
        the channel by object id, ascending.

    Raises:
        MaskError: if there are more objects than channels.
    """
    ids = sorted(set(object_ids))
    if len(ids) >= channels:
        raise MaskError(
            f"The mask holds {len(ids)} objects",
            f"at most {channels - 1}, which the model follows at once",
            "Leave some out, or run several times",
        )
    free = (channel for channel in range(1, channels) if channel not in ids)
    return {object_id: object_id if object_id < channels else next(free) for object_id in ids}


def to_channels(labels: NDArray[np.int32], channel_by_id: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return a label map of channels.

    Args:
        labels: (H, W) of object ids.
        channel_by_id: has every id in it.

    Returns:
        (H, W) uint8.
    """
    mask = np.zeros(labels.shape, np.uint8)
    for object_id, channel in channel_by_id.items():
        mask[labels == object_id] = channel
    return mask
