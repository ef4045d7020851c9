"""Call a step with the object channels that are used, for engines that take any number of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_vos.graph import PER_OBJECT
from edge_vos.runtime.backends.runner import Tensors

Call = Callable[[Tensors], dict[str, NDArray[np.float32]]]


def with_used_objects(call: Call, channels: int) -> Call:
    """Return a call that takes and returns all channels, and computes those up to the last in use.

    What a step says of an id that is not in use is always the same: no probability, and one value
    for the memory, which the first call finds out by computing one channel more.

    Args:
        call: runs the step with any number of channels from 2 on.
        channels: K, the background and all objects.
    """
    unused: NDArray[np.float32] | None = None

    def run(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        nonlocal unused
        last = int(np.flatnonzero(inputs["active"]).max(initial=0))
        count = min(max(2, last + 1 + (unused is None)), channels)
        parts = {
            name: np.ascontiguousarray(array[:, : array.shape[1] // channels * count])
            if name in PER_OBJECT
            else array
            for name, array in inputs.items()
        }
        outputs = call(parts)
        value = outputs["value"]
        if unused is None and last < count - 1:
            unused = value[:, -(value.shape[1] // count) :].copy()
        rest = channels - count
        if unused is None or not rest:
            return outputs
        probability = outputs["probability"]
        nothing = np.zeros((1, rest, *probability.shape[2:]), np.float32)
        outputs["probability"] = np.concatenate([probability, nothing], axis=1)
        outputs["value"] = np.concatenate([value, *[unused] * rest], axis=1)
        return outputs

    return run
