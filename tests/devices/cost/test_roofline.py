import sys
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from edge_vos.devices.cost.roofline import PRODUCTS, SIDE, Peak, faster, hold_against, measure_peak

FOLDER = files("edge_vos.devices.cost")


def product(operator: str, left: type[Any], right: type[Any]) -> Any:
    """Make one of the files anew: `product(...).SerializeToString()` is what it holds."""
    onnx = pytest.importorskip("onnx")
    made = onnx.TensorProto.FLOAT if left is np.float32 else onnx.TensorProto.INT32
    value = onnx.numpy_helper.from_array(np.array([0.5 if right is np.float32 else 3], right))
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(left))
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["b"], value=value),
            helper.make_node(operator, ["a", "b"], ["c"]),
        ],
        "product",
        [helper.make_tensor_value_info("a", kind, [SIDE, SIDE])],
        [helper.make_tensor_value_info("c", made, [SIDE, SIDE])],
        [onnx.numpy_helper.from_array(np.array([SIDE, SIDE], np.int64), "shape")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="edge-vos")


@pytest.mark.parametrize(
    ("precision", "operator", "right"),
    [("fp32", "MatMul", np.float32), ("int8", "MatMulInteger", np.int8)],
)
def test_the_files_hold_products(precision: str, operator: str, right: type[Any]) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    name, left = PRODUCTS[precision]
    content = FOLDER.joinpath(name).read_bytes()
    assert onnx.load_from_string(content) == product(operator, left, right)
    a = np.random.default_rng(0).integers(0, 100, (SIDE, SIDE)).astype(left)
    (found,) = onnxruntime.InferenceSession(content).run(None, {"a": a})
    factor = 0.5 if precision == "fp32" else 3
    expected = factor * a.astype(np.float64).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5)


def test_shares_are_of_the_peak_of_the_precision() -> None:
    peak = Peak(100.0, 400.0)
    found = hold_against(peak, 1_000_000_000, 20.0, 25.0, "fp32")
    assert (found.fp32_gmacs, found.int8_gmacs) == (100.0, 400.0)
    assert (found.infer_share_percent, found.step_share_percent) == pytest.approx((50.0, 40.0))
    of_integers = hold_against(peak, 1_000_000_000, 20.0, 25.0, "int8")
    assert of_integers.infer_share_percent == pytest.approx(12.5)
    widened = hold_against(peak, 1_000_000_000, 20.0, 25.0, "fp16")
    assert widened.infer_share_percent == pytest.approx(50.0)
    without = hold_against(Peak(100.0, None), 1_000_000_000, 20.0, 25.0, "int8")
    assert without.infer_share_percent == pytest.approx(50.0)


def test_of_two_measurements_the_faster_counts() -> None:
    assert faster(Peak(1.0, 5.0), Peak(2.0, 4.0)) == Peak(2.0, 5.0)
    assert faster(Peak(1.0, None), Peak(2.0, 4.0)).int8_gmacs == 4.0
    assert faster(Peak(1.0, None), Peak(2.0, None)).int8_gmacs is None


def test_this_machine_multiplies() -> None:
    pytest.importorskip("onnxruntime")
    found = measure_peak(1, 0.01)
    assert found is not None
    assert found.fp32_gmacs > 0.1


def test_without_the_engine_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert measure_peak(1) is None
