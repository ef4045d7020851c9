import json
from pathlib import Path
from typing import Any

import pytest

import edge_vos
from edge_vos.devices.bench import roofline
from edge_vos.devices.bench.onnx_graph import PARTS, Graph, read_graph
from edge_vos.devices.bench.roofline import Roofline, measure_stages
from edge_vos.devices.bench.roofline_stages import count_macs, share_stages

MODEL = Path(edge_vos.__file__).parent / "weights" / "student-240x432.bundle" / "model.onnx"
CEILINGS = Roofline(40.0, 150.0, 1, 1.0, 1.0)


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
def graph() -> Graph:
    return read_graph(MODEL.read_bytes())


def test_time_and_macs_go_to_the_part_whose_weights_are_used(graph: Graph) -> None:
    stages = share_stages(_profile(EVENTS), graph, 40.0, 150.0)
    assert stages is not None
    encoder, memory, decoder, masks = stages
    assert [stage.name for stage in stages] == list(PARTS)
    assert encoder.time_ms == pytest.approx(6.95 + 0.045 + 0.587)
    assert encoder.macs == STEM + EXPAND
    assert (memory.time_ms, memory.macs) == (pytest.approx(0.101), ATTENTION)
    assert decoder.macs == 11 * 60 * 108 * 16
    assert masks.macs == 11 * 15 * 27 * 16 * graph.weights["node_conv2d_62"][-1] ** 2
    assert sum(stage.time_percent for stage in stages) == pytest.approx(100.0)
    # Floats are held against the one ceiling, integers against the other.
    ideal_ms = (STEM / 40 + EXPAND / 150) / 1e6
    assert encoder.share_percent == pytest.approx(100 * ideal_ms / encoder.time_ms)
    assert encoder.gmacs == pytest.approx((STEM + EXPAND) / encoder.time_ms / 1e6)


def test_a_node_takes_the_median_of_its_calls(graph: Graph) -> None:
    slow = [{**event, "dur": 100 * event["dur"]} for event in EVENTS]
    stages = share_stages(_profile(slow, EVENTS, EVENTS), graph, 40.0, None)
    assert stages is not None
    assert stages[1].time_ms == pytest.approx(0.101)
    # Without a ceiling of integers they are held against that of floats.
    assert stages[0].share_percent == pytest.approx((STEM + EXPAND) / 4e5 / stages[0].time_ms)


def test_without_names_operators_are_told_apart() -> None:
    stages = share_stages(_profile(EVENTS), Graph({}, {}), 40.0, 150.0)
    assert stages is not None
    found = {stage.name: stage for stage in stages}
    assert list(found) == ["convolution", "matrix product", "softmax", "reorder and quantize"]
    assert found["convolution"].macs == STEM  # the others' weights are in the file alone
    assert (found["softmax"].macs, found["softmax"].share_percent) == (0, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1, {}]", '[{"cat": "Node", "name": "x"}]'])
def test_a_profile_without_nodes_is_none(text: str) -> None:
    assert share_stages(text, Graph({}, {}), 40.0, 150.0) is None


@pytest.mark.parametrize(
    ("left", "right", "made", "macs"),
    [("2x3x5", "2x5x7", "2x3x7", 210), ("2x5x3", "2x5x7", "2x3x7", 210),
     ("2x3x5", "5x7", "2x3x7", 210), ("3x5", "7x5", "3x7", 105)],
)  # fmt: skip
def test_products_are_counted_from_sizes(left: str, right: str, made: str, macs: int) -> None:
    event = _event("x", "MatMul", 1, f"float {made}", f"float {left}", f"float {right}")
    assert count_macs("x", event["args"], Graph({}, {})) == macs
    assert count_macs("x", {"op_name": "MatMul"}, Graph({}, {})) == 0


def test_every_weight_of_the_shipped_student_has_a_part(graph: Graph) -> None:
    assert set(graph.parts.values()) == set(PARTS)
    assert len(graph.weights) == 63
    assert all(len(shape) == 4 for shape in graph.weights.values())
    assert set(graph.weights) <= set(graph.parts)


@pytest.mark.parametrize("data", [b"", b"no model", b"\x3a\x05abc", b"\xff" * 40, b"\x3b\x00"])
def test_what_is_no_model_gives_an_empty_graph(data: bytes) -> None:
    assert read_graph(data) == Graph({}, {})


def test_the_shipped_student_is_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(roofline, "PROFILED_CALLS", 2)
    stages = measure_stages(MODEL, CEILINGS, 1)
    assert stages is not None
    assert [stage.name for stage in stages] == list(PARTS)
    assert all(stage.macs and stage.time_ms > 0 for stage in stages)
    whole = sum(stage.macs for stage in stages)
    assert 7.0e8 < whole < 7.8e8


def test_what_the_engine_refuses_has_no_stages(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no model")
    assert measure_stages(broken, CEILINGS, 1) is None
    assert measure_stages(tmp_path / "missing.onnx", CEILINGS, 1) is None
