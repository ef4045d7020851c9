"""Put an ONNX graph into fp16, except where half a digit moves a mask.

Weights and activations of convolutions become fp16; the graph's inputs and outputs, the offset
networks, coordinates, products and softmax of the attention and the probability head stay float32
(``FLOAT_MODULES`` of ``edge_vos.converters.quantization.quantize``): at 16 cells from the edge an
fp16 coordinate has steps of a quarter of a pixel.
"""

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxscript import ir
from onnxscript.ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from edge_vos.converters.quantization.quantize import kept_float


def halve(
    model: onnx.ModelProto, modules: Mapping[str, str], keep_float: Sequence[str] = ()
) -> onnx.ModelProto:
    """Return the model in fp16; its inputs and outputs stay float32.

    Args:
        model: in float32, with shapes.
        modules: the module of each node, by the node's name.
        keep_float: names of modules whose nodes stay float32 beside those that always do.
    """
    kept = [
        node.name for node in model.graph.node if kept_float(modules.get(node.name, ""), keep_float)
    ]
    half = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=[], node_block_list=kept
    )
    made = ir.from_proto(half)
    _skip_round_trips(made.graph)
    RemoveUnusedNodesPass()(made)
    TopologicalSortPass()(made)
    return onnx.shape_inference.infer_shapes(ir.to_proto(made), strict_mode=True)


def _skip_round_trips(graph: ir.Graph) -> None:
    """Connect float32 nodes directly where the converter goes through fp16 and back.

    ONNX Runtime 1.32's converter puts a cast around every node that stays float32, so that a value
    between two of them loses digits all the same.
    """
    for node in list(graph):
        source = node.inputs[0] if _casts_to(node, TensorProto.FLOAT) else None
        narrowing = source.producer() if source is not None else None
        if narrowing is None or not _casts_to(narrowing, TensorProto.FLOAT16):
            continue
        wide, output = narrowing.inputs[0], node.outputs[0]
        if wide is None:
            continue
        name, returned = output.name, output.is_graph_output()
        output.replace_all_uses_with(wide, replace_graph_outputs=True)
        if returned:
            output.name, wide.name = None, name


def _casts_to(node: ir.Node, element: int) -> bool:
    return node.op_type == "Cast" and node.attributes["to"].as_int() == element
