"""Wrap an eager module as named arrays in, named arrays out, which is what the runtime runs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Arrays = Mapping[str, NDArray[np.float32]]


def as_callable(
    module: nn.Module, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[[Arrays], dict[str, NDArray[np.float32]]]:
    """Wrap a module.

    Args:
        module: takes and returns float32 tensors.
        inputs: their names, in the module's order.
        outputs: likewise.
    """

    def run(given: Arrays) -> dict[str, NDArray[np.float32]]:
        device = next(module.parameters()).device
        with torch.inference_mode():
            found = module(*(torch.from_numpy(given[name]).to(device) for name in inputs))
        tensors = (found,) if isinstance(found, Tensor) else found
        return {name: one.cpu().numpy() for name, one in zip(outputs, tensors, strict=True)}

    return run
