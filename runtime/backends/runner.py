"""What every engine has to offer, and the checks and errors that they share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_vos.engines import Engine
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import TensorSpec

Tensors = Mapping[str, NDArray[np.float32]]


class ModelSpec(Protocol):
    """What a model's file has to offer: a manifest says it of the step."""

    @property
    def backend(self) -> str:
        """Return the engine that it is for."""
        ...

    @property
    def precision(self) -> str:
        """Return the precision that it was made in."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs in the graph's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return the outputs in the graph's order."""
        ...


class Runner(Protocol):
    """Run a graph: that of one step, or that of the prompt head."""

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


class EngineRunner:
    """Run an open model; what its library raises becomes an ``EngineError``.

    Args:
        engine: its row.
        manifest: of the model.
        call: takes the inputs, which were checked, and returns the outputs by name. It holds the
            model, which is freed with it.
        errors: what the library raises.
        release: gives back what outlives the model; it is called once.
    """

    def __init__(
        self,
        engine: Engine,
        manifest: ModelSpec,
        call: Callable[[Tensors], dict[str, NDArray[np.float32]]],
        errors: tuple[type[Exception], ...] = (Exception,),
        release: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._specs = manifest.inputs
        self._call: Callable[[Tensors], dict[str, NDArray[np.float32]]] | None = call
        self._errors = errors
        self._release = release

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        if self._call is None:
            raise closed(self._engine.kind)
        check_inputs(inputs, self._specs)
        try:
            return self._call(inputs)
        except self._errors as error:
            raise self._engine.failed(error) from error

    def close(self) -> None:
        """Free the model."""
        release, self._call, self._release = self._release, None, None
        if release is not None:
            release()


def closed(engine: str) -> EngineError:
    """Make the error for a call to an engine that was closed."""
    return EngineError(f"The {engine} engine was closed", "an open engine", "Open the bundle again")


def check_tensors(
    engine: Engine,
    found: Mapping[str, tuple[tuple[int, ...], str]],
    specs: Sequence[TensorSpec],
    kind: str,
) -> None:
    """Compare what a file says of its tensors with the manifest.

    Args:
        engine: that opened it.
        found: shape and dtype of each, by name.
        specs: the manifest's.
        kind: "input" or "output".

    Raises:
        ShapeError: if one is missing, unknown, or of another shape or dtype.
    """
    for spec in specs:
        expected = (spec.shape, spec.dtype)
        if found.get(spec.name) != expected:
            raise ShapeError(
                f"The model's {kind} {spec.name!r} is {found.get(spec.name, 'missing')}",
                f"{expected}, as the manifest says",
                engine.convert_again,
            )
    if extra := sorted(set(found) - {spec.name for spec in specs}):
        raise ShapeError(
            f"The model has another {kind}, {extra[0]!r}",
            f"the manifest's {kind}s: {', '.join(spec.name for spec in specs)}",
            engine.convert_again,
        )


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
