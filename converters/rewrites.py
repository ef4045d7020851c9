"""Rewrites of the student before export, each a function from a module to an equal module.

An engine's need is met here and never by an ``if`` in the model. The module that is given stays
as it is; its copy is returned.
"""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edge_vos.errors import EngineError
from edge_vos.model.deformable import DeformableAttention
from edge_vos.model.student import Student


def fold_batchnorm(module: nn.Module, examples: Sequence[Tensor]) -> nn.Module:
    """Fold every BatchNorm into the convolution that feeds it.

    Which convolution that is shows in one call of the module, so the pair may stand anywhere.
    Normalisation that is left cuts the graph in most mobile delegates.

    Args:
        module: in evaluation mode.
        examples: inputs of one call.

    Raises:
        EngineError: if a BatchNorm does not follow a convolution of its own.
    """
    folded = copy.deepcopy(module).eval()
    consumers = _consumers(folded, examples)
    names = {child: name for name, child in folded.named_modules()}
    for convolution, used_by in consumers.items():
        (norm, *others) = used_by
        if convolution is None or others or not isinstance(norm, nn.BatchNorm2d):
            continue
        if norm not in consumers[None]:
            folded.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
            folded.set_submodule(names[norm], nn.Identity())
    left = [name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    if left:
        raise EngineError(
            f"BatchNorm {left[0]!r} does not follow a convolution of its own",
            "a convolution before each BatchNorm, used by nothing else",
            "Change the model: normalisation that stays is not accelerated on devices",
        )
    return folded


def set_sampler(student: Student, name: str) -> Student:
    """Make every deformable attention sample in the way of that name; the results are equal.

    Args:
        student: any student.
        name: one of ``edge_vos.model.config.SAMPLERS``.

    Raises:
        ShapeError: if there is no such sampler.
    """
    changed = copy.deepcopy(student)
    changed.config = replace(student.config, sampler=name)
    for module in changed.modules():
        if isinstance(module, DeformableAttention):
            module.sampler = name
    return changed


def _consumers(
    module: nn.Module, examples: Sequence[Tensor]
) -> dict[nn.Conv2d | None, dict[nn.Module, None]]:
    """Run once and return which modules took the output of each convolution, in order.

    Under ``None`` stand the modules that took a tensor which no convolution made.
    """
    consumers: dict[nn.Conv2d | None, dict[nn.Module, None]] = {None: {}}
    made_by: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps the tensor, hence its id

    def record(child: nn.Module, args: tuple[object, ...], output: Tensor) -> None:
        for value in args:
            source = made_by[id(value)][0] if id(value) in made_by else None
            consumers.setdefault(source, {})[child] = None
        if isinstance(child, nn.Conv2d):
            made_by[id(output)] = (child, output)

    leaves = [child for child in module.modules() if not list(child.children())]
    with ExitStack() as hooks, torch.inference_mode():
        for leaf in leaves:
            hooks.enter_context(leaf.register_forward_hook(record))
        module(*examples)
    return consumers
