"""Evaluate a Core ML package where Core ML does not run: the program and weights as saved on disk.

A reference, not an engine: each operator of the program is computed in PyTorch (``mil_operators``),
and where the program says fp16 its result is rounded to fp16. Core ML may sum in another order and
keep more digits inside an operator, so this shows what the format and the compressed weights cost,
and not the last bit of a device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_vos.converters.coreml.mil_operators import OPERATORS, Operator, refuse
from edge_vos.converters.quiet import quiet
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.coreml import check_specification
from edge_vos.runtime.backends.runner import ModelSpec, Runner, Tensors, check_inputs, closed

with quiet("coremltools"):
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load as load_program
    from coremltools.converters.mil.mil import types


@dataclass(frozen=True)
class Step:
    """Hold one operator of a program.

    Args:
        name: of its result.
        operator: computes it.
        arguments: by name, those that are the same in every call.
        sources: by name, the results or inputs that the others are; several for a list.
        shape: of the result, as the program says.
        half: whether the result is fp16.
    """

    name: str
    operator: Operator
    arguments: Mapping[str, Any]
    sources: Mapping[str, str | Sequence[str]]
    shape: tuple[int, ...]
    half: bool

    def run(self, values: Mapping[str, Tensor]) -> Tensor:
        """Compute the result from those of the steps before."""
        found = {
            name: values[source] if isinstance(source, str) else [values[s] for s in source]
            for name, source in self.sources.items()
        }
        result = self.operator({**self.arguments, **found})
        if result.shape != self.shape:
            raise EngineError(
                f"{self.name!r} of the Core ML program came out as {tuple(result.shape)}",
                f"{self.shape}, as the program says",
                "Run the bundle on a Mac: converters/coreml/mil.py is wrong here",
            )
        return _half(result) if self.half else result


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
    """Load a package and decompress its weights.

    Args:
        model_path: the ``.mlpackage`` folder.
        manifest: what it has to offer.
        threads: threads for one call; ``None`` is PyTorch's own number.

    Raises:
        EngineError: if it cannot be read, is for a later system than iOS 17, or holds an operator
            that the evaluator does not know.
        ShapeError: if its tensors are not the manifest's.
    """
    try:
        with quiet("coremltools"):
            model = ct.models.MLModel(str(model_path), skip_model_load=True)
            specification = model.get_spec()
    except Exception as error:  # coremltools' exceptions share no base class but this one
        raise _unreadable(model_path, error) from error
    check_specification(specification, manifest)
    _check_operators(specification)
    try:
        with quiet("coremltools"):
            program = load_program(
                specification, specification.specificationVersion, model.weights_dir
            )
    except Exception as error:
        raise _unreadable(model_path, error) from error
    return MilRunner(*_plan(program.functions["main"]), manifest, threads)


class MilRunner:
    """Hold a program as a list of steps. Inputs are only read, outputs are new arrays."""

    def __init__(
        self,
        constants: Mapping[str, Tensor],
        steps: Sequence[Step],
        manifest: ModelSpec,
        threads: int | None,
    ) -> None:
        self._constants = constants
        self._steps: Sequence[Step] | None = steps
        self._inputs = manifest.inputs
        self._outputs = [spec.name for spec in manifest.outputs]
        self._threads = threads

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step of the student, as ``Runner.run`` says."""
        if self._steps is None:
            raise closed("coreml")
        check_inputs(inputs, self._inputs)
        given = {name: torch.tensor(array) for name, array in inputs.items()}
        values: dict[str, Tensor] = {**self._constants, **given}
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            with torch.inference_mode():
                for step in self._steps:
                    values[step.name] = step.run(values)
        finally:
            torch.set_num_threads(before)
        return {name: values[name].numpy().copy() for name in self._outputs}

    def close(self) -> None:
        """Let go of the weights."""
        self._steps, self._constants = None, {}


def _plan(function: Any) -> tuple[dict[str, Tensor], list[Step]]:
    """Split a function into what is constant, decompressed here, and what a call computes."""
    constants: dict[str, Any] = {}
    steps = []
    for operation in function.operations:
        result = operation.outputs[0]
        if operation.op_type == "const":
            constants[result.name] = _constant(result.val)
            continue
        step = _step(operation, constants)
        if operation.op_type.startswith("constexpr_"):
            constants[result.name] = step.run({})
        else:
            steps.append(step)
    tensors = {name: value for name, value in constants.items() if isinstance(value, Tensor)}
    return tensors, steps


def _step(operation: Any, constants: Mapping[str, Any]) -> Step:
    arguments: dict[str, Any] = {}
    sources: dict[str, str | Sequence[str]] = {}
    for name, given in operation.inputs.items():
        if isinstance(given, list | tuple):
            sources[name] = [entry.name for entry in given]
        elif given.name in constants:
            arguments[name] = constants[given.name]
        else:
            sources[name] = given.name
    if len(operation.outputs) != 1:
        raise refuse(f"{operation.op_type} {operation.name!r} with several results")
    result = operation.outputs[0]
    operator = OPERATORS[operation.op_type]
    return Step(
        result.name, operator, arguments, sources, tuple(result.shape), result.dtype == types.fp16
    )


def _constant(value: Any) -> Any:
    """Turn a constant into a tensor, floating point in float32; a text stays one."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype == np.uint32:
        array = array.astype(np.int64)
    tensor = torch.from_numpy(np.array(array))
    return tensor.float() if tensor.is_floating_point() else tensor


def _half(x: Tensor) -> Tensor:
    return x.half().float()


def _check_operators(specification: Any) -> None:
    """Refuse an operator by name before the program is loaded."""
    for operation in _operations(specification):
        if operation.type != "const" and operation.type not in OPERATORS:
            result = operation.outputs[0].name if operation.outputs else ""
            raise refuse(f"the operator {operation.type!r} ({result})")


def _operations(specification: Any) -> Sequence[Any]:
    (function,) = specification.mlProgram.functions.values()
    operations: Sequence[Any] = function.block_specializations[function.opset].operations
    return operations


def _unreadable(path: Path, error: Exception) -> EngineError:
    return EngineError(
        f"coremltools {ct.__version__} refuses {path.name}: {' '.join(str(error).split())}",
        "an .mlpackage of an mlProgram",
        ENGINES["coreml"].convert_again,
    )
