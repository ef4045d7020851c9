"""Let the exported step take as many object channels as are used, and not always all of them.

Weights do not depend on the number of objects; a few constant shapes in the graph do. They are
found by exporting the step a second time with a channel less, and computed in the graph instead.
ONNX Runtime takes inputs of any such size, so a step with one object does not pay for ten.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edge_vos.converters.graphs.onnx_export import export
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, PER_OBJECT

_COUNT = "object_channels"


def free_objects(
    model: onnx.ModelProto,
    exported: onnx.ModelProto,
    module: nn.Module,
    examples: Sequence[Tensor],
) -> onnx.ModelProto:
    """Return a step with a symbolic number of object channels; as many as before at the most.

    Args:
        model: the step in its final precision.
        exported: what it was made from, as ``export`` returned it.
        module: the same in PyTorch.
        examples: the inputs that it was exported with.

    Raises:
        EngineError: if something but constant shapes depends on the number of channels.
    """
    channels = examples[INPUT_NAMES.index("active")].shape[1]
    less = [
        tensor[:, : tensor.shape[1] // channels * (channels - 1)].contiguous()
        if name in PER_OBJECT
        else tensor
        for name, tensor in zip(INPUT_NAMES, examples, strict=True)
    ]
    ours, theirs = _constants(exported), _constants(export(module, less).model)
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())[0]
        raise _depends(odd)
    nodes = [helper.make_node("Shape", ["active"], [_COUNT], start=1, end=2)]
    for name in ours:
        if not np.array_equal(ours[name], theirs[name]):
            nodes += _computed(name, ours[name], theirs[name], channels)
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    made = {output for node in nodes for output in node.output}
    kept = [tensor for tensor in freed.graph.initializer if tensor.name not in made]
    del freed.graph.initializer[:], freed.graph.value_info[:], freed.graph.node[:]
    freed.graph.initializer.extend(kept)
    freed.graph.node.extend([*nodes, *model.graph.node])
    for tensor in (*freed.graph.input, *freed.graph.output):
        if tensor.name in PER_OBJECT:
            parts = tensor.type.tensor_type.shape.dim[1].dim_value // channels
            tensor.type.tensor_type.shape.dim[1].dim_param = f"{parts}K" if parts > 1 else "K"
    return onnx.shape_inference.infer_shapes(freed, strict_mode=True)


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _computed(
    name: str, ours: NDArray[Any], theirs: NDArray[Any], channels: int
) -> list[onnx.NodeProto]:
    """Make the nodes for a shape that is ``base + each * channels``, under the constant's name."""
    if ours.shape != theirs.shape or ours.dtype != np.int64:
        raise _depends(name)
    each = ours - theirs
    base = ours - each * channels
    values = {f"{name}_each": each, f"{name}_base": base}
    return [
        *(
            helper.make_node("Constant", [], [key], value=numpy_helper.from_array(value, key))
            for key, value in values.items()
        ),
        helper.make_node("Mul", [_COUNT, f"{name}_each"], [f"{name}_scaled"]),
        helper.make_node("Add", [f"{name}_scaled", f"{name}_base"], [name]),
    ]


def _depends(name: str) -> EngineError:
    return EngineError(
        f"The constant {name} of the ONNX graph depends on the number of objects",
        "constant shapes only",
    )
