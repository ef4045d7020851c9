"""Map object ids of any size to the model's few channels."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError


def assign_channels(
    object_ids: Iterable[int], channels: int, taken: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Give every object a channel: its own id where that is one, else the lowest that is free.

    Args:
        object_ids: from 1 on.
        channels: K, the background and the objects.
        taken: the channel by object id of those that have one already; they keep it.

    Returns:
        the channel by object id, ascending.

    Raises:
        MaskError: if there are more objects than channels.
    """
    known = dict(taken or {})
    ids = sorted({*object_ids, *known})
    if len(ids) >= channels:
        raise MaskError(
            f"The mask holds {len(ids)} objects",
            f"at most {channels - 1}, which the model follows at once",
            "Leave some out, or run several times",
        )
    used = set(known.values())
    new = [i for i in ids if i not in known]
    own = {i: i for i in new if i < channels and i not in used}
    free = (i for i in range(1, channels) if i not in used and i not in own)
    found = {**known, **{i: own[i] if i in own else next(free) for i in new}}
    return dict(sorted(found.items()))


def to_channels(
    labels: NDArray[np.int32] | NDArray[np.uint8], channel_by_id: Mapping[int, int]
) -> NDArray[np.uint8]:
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
