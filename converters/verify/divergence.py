"""Find the first module whose result an engine gets wrong.

The student is lowered once more with the results of its modules as a further output, so that what
is compared is what that engine computes in that place.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_vos.converters.lowering import Lower, Request, as_tuple
from edge_vos.converters.verify.evaluator import Evaluator
from edge_vos.errors import EdgeVosError
from edge_vos.manifest import ModelTensors
from edge_vos.runtime.backends.runner import ModelSpec, Runner, Tensors
from edge_vos.runtime.golden import relative_norm

DEPTH = 2
"""Modules are told apart down to names such as ``decoder.block4``; inside lists one deeper."""


@dataclass(frozen=True)
class Divergence:
    """Say where an engine leaves eager PyTorch.

    Args:
        module: the first module that is off by more than is allowed, in the order of the run;
            empty where none is, or where it could not be found out.
        error: what it is off by, by ``relative_norm``.
        reason: why ``module`` is empty.
    """

    module: str = ""
    error: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.module:
            return f"the first module to diverge is {self.module} ({self.error:.2g} of its norm)"
        return f"no module can be named: {self.reason}"


def first_divergence(
    request: Request,
    lower: Lower,
    evaluator: Evaluator,
    offered: ModelSpec,
    inputs: Tensors,
    limit: float,
) -> Divergence:
    """Compare what an engine computes inside with eager PyTorch, module by module.

    Args:
        request: what was lowered.
        lower: the engine's converter.
        evaluator: opens a lowered student.
        offered: what the whole student's file has to offer.
        inputs: of the call in which the engine was furthest off.
        limit: what a module may be off by, by ``relative_norm``.
    """
    tensors = [
        torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in request.names.inputs
    ]
    names = module_names(request.module, tensors)
    with tapped(request.module, names) as taps:
        with torch.inference_mode():
            request.module(*tensors)
        expected = {name: taps[name].numpy() for name in names}
    with tapped(request.module, names, joined=True):
        probed = _with_length(offered, sum(array.size for array in expected.values()))
        try:
            with evaluator.opened(lower(replace(request, any_objects=False)), probed) as runner:
                flat = _run(runner, inputs)
        except EdgeVosError as refused:
            return Divergence(reason=f"the engine does not give its inner results: {refused.what}")
    first = 0
    for name, array in expected.items():
        found = flat[first : first + array.size].reshape(array.shape)
        first += array.size
        error = relative_norm(found, array)
        if not error <= limit:
            return Divergence(name, error)
    return Divergence(reason="all agree when they are read one by one")


def module_names(module: nn.Module, examples: Sequence[Tensor]) -> list[str]:
    """Return the modules that a call runs through, in the order in which they finish."""
    finished: list[str] = []
    with ExitStack() as hooks, torch.inference_mode():
        for name, child in module.named_modules():
            if name and name.count(".") < DEPTH + _in_lists(module, name):
                note = child.register_forward_hook(lambda *_, name=name: finished.append(name))
                hooks.enter_context(note)
        module(*examples)
    return list(dict.fromkeys(finished))


@contextmanager
def tapped(
    module: nn.Module, names: Sequence[str], *, joined: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Keep the results of modules by name in each call inside the block.

    Args:
        module: the student.
        names: its submodules.
        joined: let the call return them in place of the probability, flat and one after another,
            as (1, 1, 1, L).
    """
    taps: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            taps[name] = output if isinstance(output, Tensor) else output[0]

        return hook

    def join(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        flat = torch.cat([taps[name].reshape(1, 1, 1, -1) for name in names], dim=3)
        # The probability stays part of the graph, and with it every input.
        return (flat, *as_tuple(output)[1:])

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(module.get_submodule(name).register_forward_hook(keep(name)))
        if joined:
            hooks.enter_context(module.register_forward_hook(join))
        yield taps


def _run(runner: Runner, inputs: Tensors) -> Any:
    return runner.run(inputs)["probability"].reshape(-1)


def _with_length(offered: ModelSpec, length: int) -> ModelTensors:
    first, *others = offered.outputs
    flat = replace(first, shape=(1, 1, 1, length))
    return ModelTensors(offered.backend, offered.precision, offered.inputs, (flat, *others))


def _in_lists(module: nn.Module, name: str) -> int:
    """Count the lists that a name leads through: they are no step of their own."""
    parts = name.split(".")
    parents = (".".join(parts[:end]) for end in range(1, len(parts)))
    return sum(isinstance(module.get_submodule(parent), nn.ModuleList) for parent in parents)
