"""The one method that an engine has to offer: named arrays in, named arrays out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import TensorSpec
from edge_vos.errors import EngineError, ShapeError

Tensors = Mapping[str, NDArray[np.float32]]


class Runner(Protocol):
    """Run the graph of one step."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step.

        Args:
            inputs: every input of the manifest by name; they are read only during the call.

        Returns:
            every output of the manifest by name; the caller owns the arrays.

        Raises:
            ShapeError: if an input is missing, unknown, or of another shape or dtype.
            EngineError: if the engine fails, or was closed.
        """
        ...

    def close(self) -> None:
        """Free the engine; closing twice is allowed."""
        ...


class CallableRunner:
    """Run a plain function, such as the eager student, in the loop that ships.

    Args:
        function: takes and returns named arrays, as ``Runner.run`` does.
    """

    def __init__(self, function: Callable[[Tensors], dict[str, NDArray[np.float32]]]) -> None:
        self._function: Callable[[Tensors], dict[str, NDArray[np.float32]]] | None = function

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Call the function."""
        if self._function is None:
            raise closed("callable")
        return self._function(inputs)

    def close(self) -> None:
        """Let go of the function."""
        self._function = None


def closed(engine: str) -> EngineError:
    """Make the error for a call to an engine that was closed."""
    return EngineError(f"The {engine} engine was closed", "an open engine", "Open the bundle again")


def check_inputs(inputs: Tensors, specs: Sequence[TensorSpec]) -> None:
    """Refuse inputs that are not what the manifest says, by name.

    Args:
        inputs: named arrays.
        specs: the manifest's inputs.

    Raises:
        ShapeError: if a tensor is missing, unknown, or of another shape or dtype.
    """
    names = [spec.name for spec in specs]
    if unknown := sorted(set(inputs) - set(names)):
        raise ShapeError(f"Unknown input {unknown[0]!r}", f"one of {', '.join(names)}")
    for spec in specs:
        if spec.name not in inputs:
            raise ShapeError(f"Input {spec.name!r} is missing", f"all of {', '.join(names)}")
        array = inputs[spec.name]
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise ShapeError(
                f"Input {spec.name!r} is {array.dtype} of shape {array.shape}",
                f"{spec.dtype} of shape {spec.shape}",
                "Read the shapes from the manifest: edge-vos inspect BUNDLE",
            )
