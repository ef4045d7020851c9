"""TensorRT's ONNX file: operators and types of its parser, and the student's numbers."""

import numpy as np
import onnx
import onnx.parser
import pytest

from edge_vos.converters.lowering import Request
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.converters.tensorrt.lower import (
    NEWEST_OPSET,
    OPERATORS,
    TYPES,
    check_parser,
    lower,
)
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES
from edge_vos.model.student import (
    Student,
    example_inputs,
    student_as_callable,
)

SIZE = (64, 96)
FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def request_fp16(student: Student) -> Request:
    examples = example_inputs(student.config.graph(SIZE))
    return Request(fold_batchnorm(set_sampler(student, "matmul"), examples), examples, "fp16")


@pytest.fixture(scope="module")
def fp16(request_fp16: Request) -> bytes:
    lowered = lower(request_fp16)
    assert lowered.model_file == "model.onnx"
    assert lowered.placement is None
    return lowered.files["model.onnx"]


def test_operators_and_types_are_the_parsers(fp16: bytes) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(fp16))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", NEWEST_OPSET)]
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    numbers = {info.type.tensor_type.elem_type for info in model.graph.value_info}
    names = {onnx.TensorProto.DataType.Name(number) for number in numbers}
    assert {"FLOAT", "FLOAT16"} <= names <= TYPES


def test_the_precision_stands_in_the_graph(fp16: bytes) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(fp16))
    types = {info.name: info.type.tensor_type.elem_type for info in model.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    ends = [*model.graph.input, *model.graph.output]
    assert {info.type.tensor_type.elem_type for info in ends} == {FLOAT}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    half = [node for node in convolutions if types[node.input[1]] == FLOAT16]
    assert len(half) == 70
    assert len(convolutions) - len(half) == 6  # the three offset networks
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Softmax", "Erf", "Exp"):
            assert {types[name] for name in node.input} == {FLOAT}, node.name


def test_it_runs_and_gives_the_students_numbers(fp16: bytes, student: Student) -> None:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(fp16, providers=["CPUExecutionProvider"])
    arrays = [tensor.numpy() for tensor in example_inputs(student.config.graph(SIZE), 1)]
    inputs = dict(zip(INPUT_NAMES, arrays, strict=True))
    expected = student_as_callable(student)(inputs)
    for name, found in zip(expected, session.run(list(expected), inputs), strict=True):
        scale = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(found / scale, expected[name] / scale, atol=0.03, err_msg=name)


MODEL = """
<ir_version: 8, opset_import: ["": {opset}]>
graph (int64[4] x) => (int64[4] y) {{ one = Constant <value = int64[4] {{1, 1, 1, 1}}> ()
  y = {operator} (x, one) }}
"""


def _model(operator: str, opset: int) -> onnx.ModelProto:
    parsed = onnx.parser.parse_model(MODEL.format(operator=operator, opset=opset))
    return onnx.shape_inference.infer_shapes(parsed)


def test_what_the_parser_does_not_know_is_refused_by_name() -> None:
    check_parser(_model("Add", 17))
    with pytest.raises(EngineError, match="does not read BitwiseAnd"):
        check_parser(_model("BitwiseAnd", 17))
    with pytest.raises(EngineError, match="does not read opset 18"):
        check_parser(_model("Add", 18))
    wide = _model("Add", 17)
    wide.graph.value_info.append(
        onnx.helper.make_tensor_value_info("s", onnx.TensorProto.DOUBLE, [1])
    )
    with pytest.raises(EngineError, match="does not read DOUBLE"):
        check_parser(wide)
    foreign = _model("Add", 17)
    foreign.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(EngineError, match="ONNX's own operators"):
        check_parser(foreign)
