"""The ONNX file: the graph's contract, equal for every sampler, the same bytes every time."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_vos.bundle import graph_shapes
from edge_vos.converters.convert import Converted
from edge_vos.converters.onnx import MODEL_FILE, OPSET, lower
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.errors import EngineError
from edge_vos.model.student import INPUT_NAMES, OUTPUT_NAMES, Student, example_inputs
from edge_vos.runtime.runner import Runner

SIZE = (64, 96)


def _lower(student: Student, sampler: str) -> bytes:
    examples = example_inputs(student.config, SIZE)
    return lower(fold_batchnorm(set_sampler(student, sampler), examples), examples).files[
        MODEL_FILE
    ]


def test_names_order_and_static_shapes_are_the_graphs(onnx_bytes: bytes, student: Student) -> None:
    model = onnx.load_model_from_string(onnx_bytes)
    config = student.config
    expected = graph_shapes(
        SIZE, config.channels, config.slots, config.key_channels, config.value_channels
    )
    tensors = [*model.graph.input, *model.graph.output]
    found = {
        tensor.name: tuple(side.dim_value for side in tensor.type.tensor_type.shape.dim)
        for tensor in tensors
    }
    assert list(found) == [*INPUT_NAMES, *OUTPUT_NAMES]
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
    assert str(Path(__file__).parents[2]).encode() not in onnx_bytes
    assert str(Path.home()).encode() + b"/" not in onnx_bytes
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize("sampler", ["gather", "matmul"])
def test_samplers_agree_through_the_engine(
    student: Student,
    converted: Converted,
    onnx_bytes: bytes,
    open_onnx: Callable[[bytes], Runner],
    sampler: str,
) -> None:
    content = _lower(student, sampler)
    assert not any(
        node.op_type == "GridSample" for node in onnx.load_model_from_string(content).graph.node
    )
    native, other = open_onnx(onnx_bytes), open_onnx(content)
    for seed in (1, 2):
        arrays = [tensor.numpy() for tensor in example_inputs(student.config, SIZE, seed)]
        inputs = dict(zip(INPUT_NAMES, arrays, strict=True))
        expected, found = native.run(inputs), other.run(inputs)
        for name in OUTPUT_NAMES:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


def test_the_same_student_gives_the_same_bytes_without_a_warning(
    student: Student, onnx_bytes: bytes
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _lower(student, "native") == onnx_bytes


def test_what_onnx_cannot_express_is_a_named_error() -> None:
    class Dynamic(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.nonzero() if float(x.sum()) > 0 else x

    with pytest.raises(EngineError, match="cannot be exported to ONNX"):
        lower(Dynamic().eval(), (torch.zeros(1),))
