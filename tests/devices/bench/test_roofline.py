import sys

import numpy as np
import pytest

from edge_vos.devices.bench import roofline
from edge_vos.devices.bench.roofline import measure_roofline, product_model


@pytest.mark.parametrize(
    ("operator", "left", "right"),
    [("MatMul", np.float32, np.float32), ("MatMulInteger", np.uint8, np.int8)],
)
def test_the_graph_is_a_product(
    monkeypatch: pytest.MonkeyPatch, operator: str, left: type, right: type
) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    monkeypatch.setattr(roofline, "ROWS", 3)
    monkeypatch.setattr(roofline, "INNER", 300)
    monkeypatch.setattr(roofline, "COLUMNS", 2)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 100, shape) for shape in ((3, 300), (300, 2)))
    model = product_model(operator, left, b.astype(right))
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    (found,) = onnxruntime.InferenceSession(model).run(None, {"a": a.astype(left)})
    np.testing.assert_array_equal(found, a @ b)


def test_shares_are_of_the_ceiling_of_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    ceilings = {"MatMul": 100.0, "MatMulInteger": 400.0}
    monkeypatch.setattr(roofline, "_peak_gmacs", lambda _, operator, *rest: ceilings[operator])
    found = measure_roofline(1_000_000_000, 20.0, 25.0, "fp32", 1)
    assert found is not None
    assert (found.fp32_gmacs, found.int8_gmacs) == (100.0, 400.0)
    assert (found.infer_share_percent, found.step_share_percent) == pytest.approx((50.0, 40.0))
    of_integers = measure_roofline(1_000_000_000, 20.0, 25.0, "int8", 1)
    assert of_integers is not None
    assert of_integers.infer_share_percent == pytest.approx(12.5)


@pytest.mark.parametrize("backend", roofline.ELSEWHERE)
def test_what_does_not_run_on_the_cpu_is_not_held_against_it(backend: str) -> None:
    assert measure_roofline(1, 1.0, 1.0, "fp16", 1, backend) is None


def test_half_precision_is_held_against_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(roofline, "_peak_gmacs", lambda _, operator, *rest: 100.0)
    found = measure_roofline(1_000_000_000, 20.0, 25.0, "fp16", 1, "litert")
    assert found is not None
    assert found.infer_share_percent == pytest.approx(50.0)


def test_this_machine_multiplies() -> None:
    pytest.importorskip("onnxruntime")
    found = measure_roofline(1, 1.0, 1.0, "fp32", 1)
    assert found is not None
    assert found.fp32_gmacs > 0.1


def test_without_the_engine_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert measure_roofline(1, 1.0, 1.0, "fp32", 1) is None
