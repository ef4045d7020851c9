"""Lower the student to ExecuTorch for XNNPACK: float32, or int8 with float where it matters.

``coreml`` and ``vulkan`` beside it do the same for their delegates, which run on
devices only. A program is exported, rewritten operator by operator, partitioned and written.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from edge_vos.converters.executorch.graph import REWRITES, Rewrites, export_graph
from edge_vos.converters.lowering import Lowered, Placement, Request
from edge_vos.converters.quiet import executorch_silenced
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError

MODEL_FILE = ENGINES["executorch-xnnpack"].model_file

LEFT: dict[str, str] = {}
"""By operator: why a delegate leaves it to a portable kernel, sampled by matmul. None is left."""


def lower(request: Request) -> Lowered:
    """Lower a module for XNNPACK.

    Raises:
        EngineError: if ExecuTorch cannot express it, or int8 is asked for without a calibration.
    """
    with executorch_silenced():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return lower_with(request, XnnpackPartitioner(), "XNNPACK")


def lower_with(
    request: Request, partitioner: Any, accelerator: str, rewrites: Rewrites = REWRITES
) -> Lowered:
    """Lower a module with a delegate's partitioner.

    Args:
        request: what to make.
        partitioner: decides which operators the delegate takes.
        accelerator: the delegate's name.
        rewrites: by operator, what the delegate takes instead.

    Raises:
        EngineError: if ExecuTorch cannot express it, or int8 is asked for without a calibration.
    """
    calibration = request.required_calibration() if request.precision == "int8" else None
    examples = tuple(example.contiguous() for example in request.examples)
    with executorch_silenced():
        from executorch.exir import to_edge_transform_and_lower

        left_float: tuple[str, ...] = ()
        try:
            graph = export_graph(request.module, examples, rewrites)
            if calibration is not None:
                from edge_vos.converters.graphs.pt2e import LEFT_FLOAT, quantize

                graph = quantize(graph, calibration, request.keep_float, request.names)
                left_float = LEFT_FLOAT
            program = torch.export.export(graph, examples, strict=False)
            for node in program.graph.nodes:
                # Every pass copies where a node came from deeply: a third of the time.
                node.meta.pop("from_node", None)
            edge = to_edge_transform_and_lower(program, partitioner=[partitioner])
            placement = place(edge.exported_program().graph_module, accelerator)
            content = bytes(edge.to_executorch().buffer)
        except EngineError:
            raise
        except Exception as error:  # its exceptions share no base class but this one
            raise EngineError(
                f"The student cannot be lowered to {accelerator}: {_line(error)}",
                "operators that ExecuTorch knows",
                "Try another sampler: --sampler matmul",
            ) from error
    return Lowered(MODEL_FILE, {MODEL_FILE: content}, placement, left_float)


def place(graph: fx.GraphModule, accelerator: str) -> Placement:
    """Count the operators inside and outside the delegated parts of a lowered graph.

    Steps between number formats inside a delegated part are no operators of their own.
    """
    partitions, delegated, left = 0, Counter[str](), Counter[str]()
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is torch.ops.higher_order.executorch_call_delegate:
            partitions += 1
            inside = getattr(graph, node.args[0].target).original_module.graph_module
            delegated.update(name for name in _operators(inside) if "quantize_" not in name)
        else:
            left.update(_operator(node))
    return Placement(accelerator, partitions, dict(sorted(delegated.items())), dict(left))


def _operators(graph: fx.GraphModule) -> Iterator[str]:
    for node in graph.graph.nodes:
        if node.op == "call_function":
            yield from _operator(node)


def _operator(node: fx.Node) -> Iterator[str]:
    """Give the operator's name, as in aten.conv2d; an item of a tuple is no operator."""
    target: Any = node.target
    if hasattr(target, "_schema"):
        yield target._schema.name.replace("::", ".")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
