"""The ONNX files: the graph's contract, equal for every sampler, the same bytes every time."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from numpy.typing import NDArray

from edge_vos.converters.convert import Converted
from edge_vos.converters.graphs.onnx_export import OPSET, Exported, export, to_bytes
from edge_vos.converters.graphs.onnx_fp16 import halve
from edge_vos.converters.lowering import Calibration, Request
from edge_vos.converters.onnx.int8 import LEFT_FLOAT, measure_ranges, quantize
from edge_vos.converters.onnx.lower import MODEL_FILE, lower
from edge_vos.converters.quantization.quantize import kept_float
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, PER_OBJECT
from edge_vos.model.student import (
    Student,
    example_inputs,
)
from edge_vos.runtime.backends.runner import Runner

SIZE = (64, 96)
Arrays = dict[str, NDArray[np.float32]]
OpenOnnx = Callable[[bytes], Runner]


def _request(student: Student, sampler: str, precision: str = "fp32") -> Request:
    examples = example_inputs(student.config.graph(SIZE))
    return Request(fold_batchnorm(set_sampler(student, sampler), examples), examples, precision)


def _lower(student: Student, sampler: str) -> bytes:
    return lower(_request(student, sampler)).files[MODEL_FILE]


def _call(student: Student, seed: int) -> Arrays:
    arrays = [tensor.numpy() for tensor in example_inputs(student.config.graph(SIZE), seed)]
    return dict(zip(INPUT_NAMES, arrays, strict=True))


@pytest.fixture(scope="module")
def exported(student: Student) -> Exported:
    """The student in float32 with the module of each node."""
    request = _request(student, "matmul")
    return export(request.module, request.examples)


@pytest.fixture(scope="module")
def calibration(student: Student) -> Calibration:
    """A few calls; what they show does not matter here."""
    return Calibration("random", tuple(_call(student, seed) for seed in (3, 4)))


@pytest.fixture(scope="module")
def integers(exported: Exported, calibration: Calibration) -> onnx.ModelProto:
    """The student in 8-bit integers."""
    return quantize(exported.model, exported.modules, calibration)


def test_names_order_and_shapes_are_the_graphs(onnx_bytes: bytes, student: Student) -> None:
    model = onnx.load_model_from_string(onnx_bytes)
    graph = student.config.graph(SIZE)
    expected: dict[str, tuple[int | str, ...]] = {
        spec.name: spec.shape for spec in (*graph.inputs, *graph.outputs)
    }
    tensors = [*model.graph.input, *model.graph.output]
    found = {
        tensor.name: tuple(
            side.dim_param or side.dim_value for side in tensor.type.tensor_type.shape.dim
        )
        for tensor in tensors
    }
    assert list(found) == [*INPUT_NAMES, *OUTPUT_NAMES]
    for name in PER_OBJECT:  # any number of objects, see converters/onnx/objects.py
        first, parts, *rest = expected[name]
        each = parts // graph.channels
        expected[name] = (first, f"{each}K" if each > 1 else "K", *rest)
    assert found == expected
    assert {tensor.type.tensor_type.elem_type for tensor in tensors} == {onnx.TensorProto.FLOAT}


def test_the_graph_is_plain(onnx_bytes: bytes) -> None:
    model = onnx.load_model_from_string(onnx_bytes)
    operators = {node.op_type for node in model.graph.node}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert "GridSample" in operators
    assert not operators & {"BatchNormalization", "LayerNormalization", "NonZero", "If", "Loop"}
    assert len(model.functions) == 0
    modes = {
        attribute.s
        for node in model.graph.node
        if node.op_type == "GridSample"
        for attribute in node.attribute
        if attribute.name == "mode"
    }
    assert modes == {b"bilinear"}
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size:
            assert np.abs(array).max() < 65504, f"{tensor.name} is beyond fp16"


def test_nothing_in_the_file_names_the_machine(onnx_bytes: bytes) -> None:
    model = onnx.load_model_from_string(onnx_bytes)
    assert b".py" not in onnx_bytes
    assert str(Path(__file__).parents[3]).encode() not in onnx_bytes
    assert str(Path.home()).encode() + b"/" not in onnx_bytes
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize("sampler", ["gather", "matmul"])
def test_samplers_agree_through_the_engine(
    student: Student, onnx_bytes: bytes, open_onnx: OpenOnnx, exported: Exported, sampler: str
) -> None:
    content = to_bytes(exported.model) if sampler == "matmul" else _lower(student, sampler)
    assert not any(
        node.op_type == "GridSample" for node in onnx.load_model_from_string(content).graph.node
    )
    native, other = open_onnx(onnx_bytes), open_onnx(content)
    for seed in (1, 2):
        inputs = _call(student, seed)
        expected, found = native.run(inputs), other.run(inputs)
        for name in OUTPUT_NAMES:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


def test_the_same_student_gives_the_same_bytes_without_a_warning(
    student: Student, converted: Converted, onnx_bytes: bytes
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _lower(student, "native") == onnx_bytes
    assert converted.bundle.manifest.precision == "fp32"


def test_every_node_knows_its_module(exported: Exported, student: Student) -> None:
    known = {name for name, _ in student.named_modules()}
    assert {node.name for node in exported.model.graph.node} <= set(exported.modules)
    assert set(exported.modules.values()) <= known
    by_operator = {
        exported.modules[node.name] for node in exported.model.graph.node if node.op_type == "Conv"
    }
    convolutions = {
        name for name, child in student.named_modules() if isinstance(child, torch.nn.Conv2d)
    }
    assert by_operator == convolutions


def _types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    tensors = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    return {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}


def test_fp16_halves_the_file_and_keeps_float_what_needs_it(
    exported: Exported, student: Student, open_onnx: OpenOnnx
) -> None:
    half = halve(exported.model, exported.modules)
    content, whole = to_bytes(half), to_bytes(exported.model)
    assert len(content) < 0.6 * len(whole)
    types = _types(half)
    casts = {node.output[0]: types[node.output[0]] for node in half.graph.node if _is_cast(node)}
    for node in half.graph.node:
        if _is_cast(node):
            assert casts.get(node.input[0]) is None, "a value goes through fp16 and back"
            continue
        wanted = kept_float(exported.modules[node.name])
        kind = onnx.TensorProto.FLOAT if wanted else onnx.TensorProto.FLOAT16
        assert {types[name] for name in node.output} <= {kind, onnx.TensorProto.INT64}, node.name
    inputs = _call(student, 1)
    expected, found = open_onnx(whole).run(inputs), open_onnx(content).run(inputs)
    for name in OUTPUT_NAMES:
        scale = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(found[name] / scale, expected[name] / scale, atol=0.03)
    assert not np.array_equal(found["key"], expected["key"])


def _is_cast(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "Cast")


def test_fp16_leaves_modules_in_float_on_request(exported: Exported) -> None:
    half = halve(exported.model, exported.modules, keep_float=("decoder",))
    types = _types(half)
    kinds = Counter(
        (exported.modules[node.name].split(".")[0], types[node.output[0]])
        for node in half.graph.node
        if node.op_type == "Conv"
    )
    assert kinds["decoder", onnx.TensorProto.FLOAT] == 12
    assert kinds["decoder", onnx.TensorProto.FLOAT16] == 0
    assert kinds["encoder", onnx.TensorProto.FLOAT16] > 30


def _quantized(model: onnx.ModelProto, modules: dict[str, str]) -> set[str]:
    """Name the modules whose convolutions have 8-bit inputs, weights and outputs."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    users: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    return {
        modules[node.name]
        for node in model.graph.node
        if node.op_type == "Conv"
        and {makers.get(name) for name in node.input[:2]} == {"DequantizeLinear"}
        and users[node.output[0]] <= {"QuantizeLinear", "Clip"}
    }


def test_int8_quantizes_every_convolution_but_those_that_stay_float(
    exported: Exported, integers: onnx.ModelProto, calibration: Calibration, student: Student
) -> None:
    modules = dict(exported.modules)
    convolutions = {
        name for name, child in student.named_modules() if isinstance(child, torch.nn.Conv2d)
    }
    expected = {name for name in convolutions if not kept_float(name, LEFT_FLOAT)}
    assert _quantized(integers, modules) == expected
    assert len(expected) == 67
    fewer = quantize(exported.model, exported.modules, calibration, keep_float=("decoder.block4",))
    assert expected - _quantized(fewer, modules) == {
        "decoder.block4.depthwise.0",
        "decoder.block4.pointwise.0",
    }


def test_int8_weights_are_signed_by_channel_and_activations_unsigned(
    integers: onnx.ModelProto, exported: Exported, student: Student, open_onnx: OpenOnnx
) -> None:
    kinds = {tensor.name: tensor.data_type for tensor in integers.graph.initializer}
    sizes = {tensor.name: tuple(tensor.dims) for tensor in integers.graph.initializer}
    made_by = {name: node for node in integers.graph.node for name in node.output}
    for node in integers.graph.node:
        if node.op_type == "QuantizeLinear":
            assert kinds[node.input[2]] == onnx.TensorProto.UINT8
        if node.op_type == "Conv" and made_by.get(node.input[1]) is not None:
            weight, scale = made_by[node.input[1]].input[:2]
            assert kinds[weight] == onnx.TensorProto.INT8
            assert sizes[scale] == sizes[weight][:1]
    whole, content = to_bytes(exported.model), to_bytes(integers)
    assert len(content) < 0.45 * len(whole)
    inputs = _call(student, 3)
    expected, found = open_onnx(whole).run(inputs), open_onnx(content).run(inputs)
    for name in ("key", "value"):
        error = np.abs(found[name] - expected[name]).mean() / np.abs(expected[name]).mean()
        assert 0 < error < 0.25, f"{name} is off by {error:.3f} on average"


def test_int8_gives_the_same_bytes(
    exported: Exported, integers: onnx.ModelProto, calibration: Calibration
) -> None:
    again = quantize(exported.model, exported.modules, calibration)
    assert to_bytes(again) == to_bytes(integers)


TWO_BRANCHES = """
<ir_version: 8, opset_import: ["": 17]>
branches (float[1,20000] x) => (float[1,20000] a, float[1,20000] b)
{ a = Relu (x)  b = Relu (x) }
"""


def test_ranges_are_clipped_except_of_what_goes_to_memory() -> None:
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(TWO_BRANCHES))
    for node, name in zip(model.graph.node, ("one", "two"), strict=True):
        node.name = name
    values = np.linspace(0, 1, 20_000, dtype=np.float32).reshape(1, -1)
    outlier = values.copy()
    outlier[0, 10_000] = 1000.0  # where the sample looks
    calls = ({"x": outlier}, *({"x": values},) * 12)
    ranges = measure_ranges(
        model,
        {"one": "encoder.stem.0", "two": "identity"},
        ("a", "b", "x"),
        Calibration("outlier", calls),
    )
    assert ranges["a"][0] >= 0
    assert 0.99 < ranges["a"][1] < 1.01
    assert ranges["b"] == ranges["x"] == (0.0, 1000.0)


def test_int8_without_a_calibration_is_refused(student: Student) -> None:
    with pytest.raises(EngineError, match="int8 without a calibration"):
        lower(_request(student, "matmul", "int8"))


def test_what_onnx_cannot_express_is_a_named_error() -> None:
    class Dynamic(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.nonzero() if float(x.sum()) > 0 else x

    with pytest.raises(EngineError, match="cannot be exported to ONNX"):
        lower(Request(Dynamic().eval(), (torch.zeros(1),), "fp32"))
