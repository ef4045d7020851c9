"""Rewrite a student operator by operator, so that ExecuTorch's delegates take all of it.

ExecuTorch 1.5.1 delegates by operator, and an operator that a delegate does not know cuts the
graph in two. Each rewrite here replaces one kind by others that compute the same; what a delegate
then still leaves stands with its reason in ``edge_vos.converters.executorch.lower.LEFT``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._inductor.constant_folding import ConstantFolder, replace_node_with_constant
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from edge_vos.converters.quiet import executorch_silenced

aten = torch.ops.aten


def export_graph(
    module: nn.Module, examples: Sequence[Tensor], rewrites: "Rewrites | None" = None
) -> fx.GraphModule:
    """Export a module and rewrite it; the result computes the same.

    Args:
        module: in evaluation mode; it is left as it is.
        examples: contiguous inputs of one call.
        rewrites: by operator; ``None`` is ``REWRITES``.

    Returns:
        a graph of ATen operators. Every node still says in ``nn_module_stack`` from which
        submodule it came.
    """
    with executorch_silenced():
        program = torch.export.export(module, tuple(examples), strict=False)
        graph = program.run_decompositions({}).module(check_guards=False)
        assert isinstance(graph, fx.GraphModule)  # what .module() always is
        fold_constants(graph)
        replace_operators(graph, REWRITES if rewrites is None else rewrites)
        FakeTensorProp(graph, FakeTensorMode(allow_non_fake_inputs=True)).propagate(*examples)
    return graph


def fold_constants(graph: fx.GraphModule) -> None:
    """Compute once what depends on no input: grids of coordinates, scales, masks of ones.

    Left in the graph, every arange, flip and exp of them runs in a portable kernel at every call,
    and cuts the delegated part in pieces (12 of them, ExecuTorch 1.5.1 with XNNPACK).
    """
    for node in list(graph.graph.nodes):
        if node.target in _FILLS:
            value = _FILLS[node.target]
            fill = node.args[1] if value is None else value
            with graph.graph.inserting_before(node):
                full = graph.graph.call_function(aten.full.default, (list(shape_of(node)), fill))
            full.meta = dict(node.meta)
            node.replace_all_uses_with(full)
    graph.graph.eliminate_dead_code()
    folder = ConstantFolder(graph)
    with torch.no_grad():
        folder.run()
    for node, value in folder.node_replacements.items():
        replace_node_with_constant(graph, node, value.detach().clone().contiguous())
    graph.graph.eliminate_dead_code()
    graph.recompile()


def replace_operators(graph: fx.GraphModule, rewrites: "Rewrites") -> None:
    """Replace every operator on floats that a table names, in place."""
    for node in list(graph.graph.nodes):
        rewrite = rewrites.get(node.target)
        if rewrite is None or not node.meta["val"].is_floating_point():
            continue
        with graph.graph.inserting_before(node):
            replacement = rewrite(Writer(graph, node), *node.args)
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()


class Writer:
    """Write operators before a node; they count as coming from the same submodule.

    Args:
        graph: to write into.
        node: what is to be replaced.
    """

    def __init__(self, graph: fx.GraphModule, node: fx.Node) -> None:
        self._graph = graph
        self.node = node
        self.shape = shape_of(node)

    def call(self, operator: Any, *args: Any) -> fx.Node:
        """Write an operator."""
        made = self._graph.graph.call_function(operator, args)
        made.meta = dict(self.node.meta)
        return made

    def constant(self, value: Tensor) -> fx.Node:
        """Write a constant."""
        name = f"_constant_{self.node.name}_{len(list(self._graph.buffers()))}"
        self._graph.register_buffer(name, value)
        made = self._graph.graph.get_attr(name)
        made.meta = dict(self.node.meta)
        return made

    def view(self, x: Any, shape: Sequence[int]) -> fx.Node:
        """Write a view of another shape."""
        return self.call(aten.view.default, x, list(shape))

    def value(self, node: fx.Node | None) -> Tensor | None:
        """Return the tensor of a parameter or constant."""
        if node is None:
            return None
        value: Tensor = attrgetter(str(node.target))(self._graph)
        return value.detach()


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of what a node gives."""
    return tuple(node.meta["val"].shape)


def _expand(write: Writer, x: fx.Node, *_: Any) -> fx.Node:
    """Repeat along an axis by a product with ones: no delegate but Core ML's takes expand."""
    shape = shape_of(x)
    if shape == write.shape:
        return x
    pairs = zip(shape, write.shape[-len(shape) :], strict=True)
    ones = [*write.shape[: -len(shape)], *(1 if a == b else b for a, b in pairs)]
    return write.call(aten.mul.Tensor, x, write.constant(torch.ones(ones)))


def _select(write: Writer, x: fx.Node, dim: int, index: int) -> fx.Node:
    """XNNPACK takes slices, and views, but no select."""
    return write.view(write.call(aten.slice.Tensor, x, dim, index, index + 1), write.shape)


def _slice(write: Writer, x: fx.Node, dim: int = 0, start: int | None = None, *rest: Any) -> Any:
    """XNNPACK takes steps of 1 only; a strided slice of one row needs no other."""
    step = rest[1] if len(rest) > 1 else 1
    if step == 1 or write.shape[dim] != 1:
        return None
    return write.call(aten.slice.Tensor, x, dim, start or 0, (start or 0) + 1)


def _reshape(write: Writer, x: fx.Node, *_: Any) -> fx.Node:
    """XNNPACK takes unsqueeze at the end only, and no squeeze; a view does both."""
    return write.view(x, write.shape)


def _sum(write: Writer, x: fx.Node, dims: Sequence[int], *_: Any) -> fx.Node | None:
    """Sum over channels by a product with ones: XNNPACK takes no sum, and a mean over H, W only."""
    batch, channels, *rest = shape_of(x)
    if [dim % (2 + len(rest)) for dim in dims] != [1] or not rest:
        return None
    flat = write.view(x, (batch, channels, math.prod(rest)))
    ones = write.constant(torch.ones(batch, 1, channels))
    return write.view(write.call(aten.bmm.default, ones, flat), write.shape)


def _cat(write: Writer, parts: Sequence[fx.Node], *rest: Any) -> fx.Node | None:
    """XNNPACK counts the different inputs of a cat and takes none that has but one."""
    if len(set(parts)) > 1:
        return None
    one = write.constant(torch.ones(1))
    others = [write.call(aten.mul.Tensor, part, one) for part in parts[1:]]
    return write.call(aten.cat.default, [parts[0], *others], *rest)


def _rsub(write: Writer, x: fx.Node, scalar: float, *_: Any) -> fx.Node:
    """Become a difference of float32 tensors, as ``_scalar`` says."""
    constant = write.constant(torch.tensor([float(scalar)]))
    return write.call(aten.sub.Tensor, constant, x)


def _scalar(write: Writer, x: fx.Node, other: Any, *_: Any) -> fx.Node | None:
    """Make a Python number a float32 tensor.

    ``to_edge`` makes it one of float64, and the conversion to float32 is left to a portable kernel.
    """
    if isinstance(other, fx.Node):
        return None
    return write.call(write.node.target, x, write.constant(torch.tensor([float(other)])))


def _relu6(write: Writer, x: fx.Node) -> fx.Node:
    """The quantizer knows ReLU6 by its older name only."""
    return write.call(aten.hardtanh.default, x, 0.0, 6.0)


_FILLS: dict[Any, float | None] = {
    aten.ones_like.default: 1.0,
    aten.new_ones.default: 1.0,
    aten.zeros_like.default: 0.0,
    aten.new_zeros.default: 0.0,
    aten.full_like.default: None,
}
"""Operators that take from a tensor only its shape, and what they fill it with."""

Rewrites = Mapping[Any, Callable[..., fx.Node | None]]

REWRITES: Rewrites = {
    aten.expand.default: _expand,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.unsqueeze.default: _reshape,
    aten.squeeze.dim: _reshape,
    aten.squeeze.dims: _reshape,
    aten.sum.dim_IntList: _sum,
    aten.cat.default: _cat,
    aten.rsub.Scalar: _rsub,
    aten.add.Tensor: _scalar,
    aten.sub.Tensor: _scalar,
    aten.mul.Tensor: _scalar,
    aten.div.Tensor: _scalar,
    aten.relu6.default: _relu6,
}
"""By operator: a function that writes its replacement, or nothing where it is fine as it is."""
