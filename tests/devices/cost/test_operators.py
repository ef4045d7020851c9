import json
import sys
from pathlib import Path
from typing import Any

import pytest

import edge_vos
from edge_vos.devices.cost.engine_profile import profile_onnx
from edge_vos.devices.cost.model_parts import PARTS, ModelParts, read_model_parts
from edge_vos.devices.cost.operators import (
    Cost,
    count_macs,
    read_profile,
    sum_by_kind,
    sum_by_part,
)
from edge_vos.devices.cost.roofline import Peak
from edge_vos.errors import BundleError, EngineError

MODEL = Path(edge_vos.__file__).parent / "weights" / "student-240x432.bundle" / "model.onnx"
PEAK = Peak(40.0, 150.0)
NO_PARTS = ModelParts({}, {})


def _event(name: str, operator: str, us: float, made: str, *taken: str) -> dict[str, Any]:
    """Return an event as ONNX Runtime 1.22 writes it; shapes as "float 1x3x240x432"."""

    def shapes(texts: tuple[str, ...]) -> list[dict[str, list[int]]]:
        pairs = [text.partition(" ") for text in texts]
        return [{kind: [int(side) for side in sides.split("x")]} for kind, _, sides in pairs]

    return {
        "cat": "Node", "pid": 1, "tid": 1, "dur": us, "ts": 1, "ph": "X",
        "name": f"{name}_kernel_time",
        "args": {"op_name": operator, "input_type_shape": shapes(taken),
                 "output_type_shape": shapes((made,))},
    }  # fmt: skip


# Nodes of the shipped student, as they were recorded.
EVENTS = [
    _event("hardtanh_nchwc", "Conv", 6950, "float 1x32x120x216", "float 1x3x240x432",
           "float 32x3x3x3", "float 32"),
    _event("Transpose_token_109", "Transpose", 45, "uint8 1x120x216x16", "uint8 1x16x120x216"),
    _event("node_conv2d_3_token_111", "QLinearConv", 587, "uint8 1x120x216x96",
           "uint8 1x120x216x16", "int8 96", "int32 96"),
    _event("node_bmm_4/MatmulTransposeFusion/", "FusedMatMul", 78, "float 1x405x112",
           "float 1x67x405", "float 1x67x112"),
    _event("node_softmax_2", "Softmax", 23, "float 1x405x112", "float 1x405x112"),
    _event("node_conv2d_61_token_283", "QLinearConv", 526, "uint8 11x60x108x1",
           "uint8 11x60x108x16", "int8 1"),
    _event("node_conv2d_62_token_287", "QLinearConv", 140, "uint8 11x15x27x16",
           "uint8 11x60x108x1", "int8 16"),
]  # fmt: skip
STEM, EXPAND = 120 * 216 * 32 * 27, 120 * 216 * 96 * 16
ATTENTION = 405 * 112 * 67


def _profile(*calls: list[dict[str, Any]]) -> str:
    session = {"cat": "Session", "dur": 56266, "name": "model_run", "args": {}}
    return json.dumps([event for call in calls for event in (*call, session)])


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    pytest.importorskip("onnx")
    return read_model_parts(MODEL)


def test_time_and_macs_go_to_the_part_whose_weights_are_used(parts: ModelParts) -> None:
    costs = read_profile(_profile(EVENTS), parts, 40.0, 150.0)
    assert (costs[0].name, costs[0].operator, costs[0].part) == (
        "hardtanh_nchwc", "Conv", "image encoder"
    )  # fmt: skip
    assert [cost.kind for cost in costs[:2]] == ["convolution", "reorder and quantize"]
    stages = sum_by_part(costs)
    encoder, memory, decoder, masks = stages
    assert [stage.name for stage in stages] == list(PARTS)
    assert encoder.time_ms == pytest.approx(6.95 + 0.045 + 0.587)
    assert encoder.macs == STEM + EXPAND
    assert (memory.time_ms, memory.macs) == (pytest.approx(0.101), ATTENTION)
    assert decoder.macs == 11 * 60 * 108 * 16
    assert masks.macs == 11 * 15 * 27 * 16 * parts.weights["node_conv2d_62"][-1] ** 2
    assert sum(stage.time_percent for stage in stages) == pytest.approx(100.0)
    # Floats are held against the one ceiling, integers against the other.
    ideal_ms = (STEM / 40 + EXPAND / 150) / 1e6
    assert encoder.share_percent == pytest.approx(100 * ideal_ms / encoder.time_ms)
    assert encoder.gmacs == pytest.approx((STEM + EXPAND) / encoder.time_ms / 1e6)


def test_a_node_takes_the_median_of_its_calls(parts: ModelParts) -> None:
    slow = [{**event, "dur": 100 * event["dur"]} for event in EVENTS]
    stages = sum_by_part(read_profile(_profile(slow, EVENTS, EVENTS), parts, 40.0, None))
    assert stages[1].time_ms == pytest.approx(0.101)
    # Without a ceiling of integers they are held against that of floats.
    assert stages[0].share_percent == pytest.approx((STEM + EXPAND) / 4e5 / stages[0].time_ms)


def test_without_names_operators_are_told_apart() -> None:
    costs = read_profile(_profile(EVENTS), NO_PARTS, 40.0, 150.0)
    assert sum_by_part(costs) == sum_by_kind(costs)
    found: dict[str, Cost] = {stage.name: stage for stage in sum_by_kind(costs)}
    assert list(found) == ["convolution", "matrix product", "softmax", "reorder and quantize"]
    assert found["convolution"].macs == STEM  # the others' weights are in the file alone
    assert (found["softmax"].macs, found["softmax"].share_percent) == (0, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1, {}]", '[{"cat": "Node", "name": "x"}]'])
def test_a_profile_without_nodes_gives_nothing(text: str) -> None:
    assert read_profile(text, NO_PARTS, 40.0, 150.0) == ()
    assert sum_by_part(()) == ()


@pytest.mark.parametrize(
    ("left", "right", "made", "macs"),
    [("2x3x5", "2x5x7", "2x3x7", 210), ("2x5x3", "2x5x7", "2x3x7", 210),
     ("2x3x5", "5x7", "2x3x7", 210), ("3x5", "7x5", "3x7", 105)],
)  # fmt: skip
def test_products_are_counted_from_sizes(left: str, right: str, made: str, macs: int) -> None:
    event = _event("x", "MatMul", 1, f"float {made}", f"float {left}", f"float {right}")
    assert count_macs("x", event["args"], NO_PARTS) == macs
    assert count_macs("x", {"op_name": "MatMul"}, NO_PARTS) == 0


def test_every_weight_of_the_shipped_student_has_a_part(parts: ModelParts) -> None:
    assert set(parts.parts.values()) == set(PARTS)
    assert len(parts.weights) == 76
    assert all(len(shape) == 4 for shape in parts.weights.values())
    assert set(parts.weights) <= set(parts.parts)


@pytest.mark.parametrize("data", [b"no model", b"\x3a\x05abc", b"\xff" * 40, b"\x3b\x00"])
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        read_model_parts(path)
    with pytest.raises(BundleError, match=r"missing\.onnx"):
        read_model_parts(tmp_path / "missing.onnx")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EngineError, match=r"edge-vos\[profile\]"):
        read_model_parts(MODEL)


def test_the_shipped_student_is_profiled() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    costs = profile_onnx(MODEL, 1, calls=2).costs(PEAK)
    stages = sum_by_part(costs)
    assert [stage.name for stage in stages] == list(PARTS)
    assert all(stage.macs and stage.time_ms > 0 for stage in stages)
    assert 6.5e8 < sum(stage.macs for stage in stages) < 7.2e8  # with one object
    assert sum(cost.time_percent for cost in costs) == pytest.approx(100.0)
    assert {cost.part for cost in costs} == set(PARTS)
    assert sum(cost.time_ms for cost in costs) == pytest.approx(
        sum(kind.time_ms for kind in sum_by_kind(costs))
    )


def test_what_the_engine_refuses_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("NoSuchOperator", ["a"], ["b"])
    value = onnx.helper.make_tensor_value_info
    ends = [[value(name, onnx.TensorProto.FLOAT, [1])] for name in "ab"]
    broken = tmp_path / "odd.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "odd", *ends)), broken)
    with pytest.raises(EngineError, match=r"odd\.onnx cannot be profiled"):
        profile_onnx(broken, 1)
