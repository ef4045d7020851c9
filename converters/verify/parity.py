"""Compare an engine with eager PyTorch, call by call, on the same inputs."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.backends.runner import Runner, Tensors
from edge_vos.runtime.golden import relative_norm


@dataclass(frozen=True)
class TensorError:
    """Say how far an output of the engine lies from eager PyTorch's at worst.

    Args:
        max_abs_error: the largest difference.
        relative_error: the same as a part of the largest value, for a key or value; of a
            probability the difference itself.
        mean_error: the largest of a call's mean differences, as a part in the same way.
        norm_error: the largest of a call's ``relative_norm``.
        call: the frame with the largest difference.
        index: where in the tensor.
        expected: eager PyTorch's value there.
        found: the engine's value there.
    """

    max_abs_error: float
    relative_error: float
    mean_error: float
    norm_error: float
    call: int
    index: tuple[int, ...]
    expected: float
    found: float


class ComparingRunner:
    """Answer as the reference does and note how far the candidate is off in each call.

    Args:
        reference: gives the answers.
        candidate: is compared.
        stride: compare every so many calls.

    Attributes:
        worst: by output.
        worst_inputs: a copy of the inputs of the call with the largest error, by output.
    """

    def __init__(self, reference: Runner, candidate: Runner, stride: int = 1) -> None:
        self._reference = reference
        self._candidate = candidate
        self._stride = stride
        self._call = 0
        self.worst: dict[str, TensorError] = {}
        self.worst_inputs: dict[str, Tensors] = {}

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run both on the same inputs."""
        expected = self._reference.run(inputs)
        if self._call % self._stride == 0:
            self._compare(inputs, expected)
        self._call += 1
        return expected

    def close(self) -> None:
        """Leave both open: they are their owners'."""

    def _compare(self, inputs: Tensors, expected: Tensors) -> None:
        found = self._candidate.run(inputs)
        kept: Tensors | None = None
        for name, array in expected.items():
            error = _tensor_error(name, array, found[name], self._call)
            worst = self.worst.get(name)
            if worst is None or _worse(error.relative_error, worst.relative_error):
                kept = kept or {name: array.copy() for name, array in inputs.items()}
                self.worst_inputs[name] = kept
                place = error
            else:
                place = worst
            so_far = worst or error
            self.worst[name] = replace(
                place,
                mean_error=_worst_of(so_far.mean_error, error.mean_error),
                norm_error=_worst_of(so_far.norm_error, error.norm_error),
            )


def _worse(error: float, than: float) -> bool:
    """NaN is worse than any number, and the first one stays."""
    return not (np.isnan(than) or error <= than)


def _worst_of(one: float, other: float) -> float:
    return other if _worse(other, one) else one


def _tensor_error(
    name: str, expected: NDArray[np.float32], found: NDArray[np.float32], call: int
) -> TensorError:
    difference = np.abs(found.astype(np.float64) - expected)
    index = np.unravel_index(int(difference.argmax()), difference.shape)  # NaN counts as largest
    worst = float(difference[index])
    scale = 1.0 if name == "probability" else max(1e-6, float(np.abs(expected).max()))
    return TensorError(
        max_abs_error=worst,
        relative_error=worst / scale,
        mean_error=float(difference.mean()) / scale,
        norm_error=relative_norm(found, expected),
        call=call,
        index=tuple(int(i) for i in index),
        expected=float(expected[index]),
        found=float(found[index]),
    )
