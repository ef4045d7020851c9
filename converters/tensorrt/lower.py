"""Lower the student to an ONNX file that TensorRT's parser accepts, from JetPack 5.1 on.

An engine belongs to one GPU and one TensorRT, so it is built on the device
(``edge_vos.runtime.backends.tensorrt``). The precision is in the graph: TensorRT 11 takes it from
there and from nowhere else. 8-bit integers are not offered: TensorRT reads symmetric int8 with a
zero point of 0 alone, and fp16 is what its attention kernels are made for.
"""

from collections.abc import Iterable

import onnx

from edge_vos.converters.graphs.onnx_export import export, to_bytes
from edge_vos.converters.graphs.onnx_fp16 import halve
from edge_vos.converters.lowering import Lowered, Request
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError

MODEL_FILE = ENGINES["tensorrt"].model_file
NEWEST_OPSET = 17
"""That TensorRT 8.5 reads."""

_OPERATORS = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GridSample HardSigmoid HardSwish Identity If InstanceNormalization IsNaN LRN LSTM LeakyRelu Less
LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round Scan
Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK
Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_OPERATORS.split())
"""What TensorRT 8.5's ONNX parser supports
(https://github.com/onnx/onnx-tensorrt/blob/release/8.5-GA/docs/operators.md)."""

TYPES = frozenset({"FLOAT", "FLOAT16", "INT32", "INT64", "BOOL"})
"""Of tensors; TensorRT 8.5 takes INT64 as INT32."""


def lower(request: Request) -> Lowered:
    """Export a module as ONNX in fp32 or fp16, with float32 inputs and outputs.

    Raises:
        EngineError: if the module cannot be expressed, or has an operator or a type that TensorRT
            8.5 does not take.
    """
    exported = export(request.module, request.examples, request.names)
    model = exported.model
    if request.precision == "fp16":
        model = halve(model, exported.modules, request.keep_float)
    check_parser(model)
    return Lowered(MODEL_FILE, {MODEL_FILE: to_bytes(model)})


def check_parser(model: onnx.ModelProto) -> None:
    """Refuse a model that TensorRT 8.5's parser does not take.

    Args:
        model: with the types of its tensors.

    Raises:
        EngineError: naming the opset, the operators or the types that it does not know.
    """
    newest = max(entry.version for entry in model.opset_import)
    if newest > NEWEST_OPSET or any(entry.domain for entry in model.opset_import):
        raise _refused(f"opset {newest}", f"ONNX's own operators up to opset {NEWEST_OPSET}")
    operators = {node.op_type for node in model.graph.node}
    if unknown := sorted(operators - OPERATORS):
        raise _refused(", ".join(unknown), "operators of its table")
    if unknown := sorted(_types(model) - TYPES):
        raise _refused(", ".join(unknown), f"tensors of {', '.join(sorted(TYPES))}")


def _types(model: onnx.ModelProto) -> set[str]:
    graph = model.graph
    tensors: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.output, *graph.value_info)
    numbers = {tensor.type.tensor_type.elem_type for tensor in tensors}
    numbers |= {weight.data_type for weight in graph.initializer}
    return {onnx.TensorProto.DataType.Name(number) for number in numbers}


def _refused(what: str, expected: str) -> EngineError:
    return EngineError(
        f"TensorRT 8.5 (JetPack 5.1) does not read {what}",
        expected,
        "Try another sampler: --sampler matmul",
    )
