"""The gate lets an equal engine through and catches each way to be wrong."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import Clip
from edge_vos.converters.convert import Converted
from edge_vos.converters.verify.checks import loop_overlaps, verify
from edge_vos.converters.verify.reference import Reference, run_reference
from edge_vos.converters.verify.tolerance import FP16, FP32, QUANTIZED, tolerance_for
from edge_vos.converters.verify.verification import Verification
from edge_vos.engines import ENGINES
from edge_vos.model.student import Student, student_as_callable
from edge_vos.runtime.backends.runner import CallableRunner, Runner
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import FrameResult

Arrays = dict[str, NDArray[np.float32]]
Judge = Callable[[Runner], Verification]
OpenOnnx = Callable[[bytes], Runner]


@pytest.fixture
def manifest(converted: Converted) -> Manifest:
    return converted.bundle.manifest


@pytest.fixture(scope="module")
def reference(student: Student, converted: Converted, clip: Clip) -> Reference:
    eager = CallableRunner(student_as_callable(student))
    return run_reference(eager, converted.bundle.manifest.graph, clip)


@pytest.fixture
def judge(manifest: Manifest, reference: Reference) -> Judge:
    """Verify an engine against the eager student, as convert does."""
    return lambda candidate: verify(reference, candidate, manifest.graph, FP32)[0]


@pytest.fixture
def verification(converted: Converted) -> Verification:
    assert converted.report.verification is not None
    return converted.report.verification


def test_the_tolerances_are_the_designs() -> None:
    assert (FP32.mask_iou, FP16.mask_iou, QUANTIZED.mask_iou) == (0.999, 0.995, 0.97)
    assert QUANTIZED.jf_drop == 1.0
    precisions = {each for row in ENGINES.values() for each in row.precisions}
    for precision in precisions:
        expected = {"fp32": FP32, "fp16": FP16}.get(precision, QUANTIZED)
        assert tolerance_for(precision) == expected


def test_an_equal_engine_passes(judge: Judge, open_onnx: OpenOnnx, onnx_bytes: bytes) -> None:
    verification = judge(open_onnx(onnx_bytes))
    assert verification.passed
    assert verification.failures == ()
    assert verification.frames == 8
    assert set(verification.tensors) == {"probability", "key", "value"}
    assert 0 <= verification.max_abs_error < 1e-5
    assert verification.mask_iou >= 0.999
    assert verification.golden.passed


def _edited(content: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(content)
    change(model)
    edited: bytes = model.SerializeToString()
    assert edited != content
    return edited


def _break_a_weight(depth: float) -> Callable[[onnx.ModelProto], None]:
    """Scale the weight of one convolution, at that part of the depth, by five percent."""

    def change(model: onnx.ModelProto) -> None:
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        name = convolutions[round(depth * (len(convolutions) - 1))].input[1]
        tensor = next(entry for entry in model.graph.initializer if entry.name == name)
        array = onnx.numpy_helper.to_array(tensor) * np.float32(1.05)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))

    return change


def _sample_nearest(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = b"nearest"


def _align_edges(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "align_corners":
                attribute.i = 0


@pytest.mark.parametrize(
    "change",
    [
        _break_a_weight(0.0),
        _break_a_weight(0.4),
        _break_a_weight(1.0),
        _sample_nearest,
        _align_edges,
    ],
    ids=["first weight", "middle weight", "last weight", "nearest", "edges"],
)
def test_a_wrong_file_is_caught(
    judge: Judge,
    open_onnx: OpenOnnx,
    onnx_bytes: bytes,
    change: Callable[[onnx.ModelProto], None],
) -> None:
    verification = judge(open_onnx(_edited(onnx_bytes, change)))
    assert not verification.passed
    assert " is off by " in verification.failures[0]
    assert max(found.relative_error for found in verification.tensors.values()) > 1e-4


def _with(runner: Runner, change: Callable[[Arrays], Arrays]) -> CallableRunner:
    return CallableRunner(lambda inputs: runner.run(change(dict(inputs))))


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: {**inputs, "image": inputs["image"][:, ::-1].copy()},
        lambda inputs: {**inputs, "image": inputs["image"] / 255},
        lambda inputs: {**inputs, "memory_value": np.zeros_like(inputs["memory_value"])},
        lambda inputs: {**inputs, "memory_valid": np.ones_like(inputs["memory_valid"])},
        lambda inputs: {**inputs, "prompted": np.zeros_like(inputs["prompted"])},
    ],
    ids=["bgr", "range", "memory lost", "empty slots read", "prompt lost"],
)
def test_a_wrong_use_of_an_input_is_caught(
    judge: Judge, open_onnx: OpenOnnx, onnx_bytes: bytes, change: Callable[[Arrays], Arrays]
) -> None:
    assert not judge(_with(open_onnx(onnx_bytes), change)).passed


def test_a_failure_names_tensor_call_index_and_values(
    judge: Judge, open_onnx: OpenOnnx, onnx_bytes: bytes
) -> None:
    engine, calls = open_onnx(onnx_bytes), 0

    def wrong(inputs: Arrays) -> Arrays:
        nonlocal calls
        outputs = engine.run(inputs)
        if calls == 5:
            outputs["key"][0, 3, 2, 1] = 1000.0
        calls += 1
        return outputs

    verification = judge(CallableRunner(wrong))  # type: ignore[arg-type]
    (failure,) = (text for text in verification.failures if text.startswith("key"))
    assert "in frame 5 at (0, 3, 2, 1): 1000 instead of" in failure
    assert verification.worst_tensor == "key"


def test_a_value_that_is_no_number_fails_and_is_null_in_json(
    judge: Judge, open_onnx: OpenOnnx, onnx_bytes: bytes
) -> None:
    engine = open_onnx(onnx_bytes)

    def wrong(inputs: Arrays) -> Arrays:
        outputs = engine.run(inputs)
        outputs["value"][0, 0, 0, 0] = np.nan
        return outputs

    verification = judge(CallableRunner(wrong))  # type: ignore[arg-type]
    assert any(failure.startswith("value is off by nan") for failure in verification.failures)
    report = json.loads(json.dumps(verification.to_json(), allow_nan=False))
    assert report["parity"]["value"]["max_abs_error"] is None
    assert report["passed"] is False


def test_each_figure_alone_fails(verification: Verification) -> None:
    drifted = replace(verification, mask_iou=0.99, worst_frame=7, worst_frame_iou=0.5)
    assert drifted.failures == (
        "masks overlap by 0.99000 over 8 frames (at least 0.999), least in frame 7 with 0.500",
    )
    missed = replace(verification, golden=replace(verification.golden, passed=False, mask_iou=0.5))
    (failure,) = missed.failures
    assert failure.startswith("in the golden, masks overlap by 0.50000")
    dropped = replace(verification, jf=80.0, jf_drop=1.5)
    assert dropped.failures == ("J&F falls by 1.50 points from 80.0 (at most 0.1)",)
    worst = replace(verification.tensors["value"], relative_error=0.5, norm_error=0.3)
    rough = replace(verification, tensors={"value": worst}, tolerance=QUANTIZED)
    (failure,) = rough.failures
    assert failure.startswith("value as a whole is off by 0.3 (allowed 0.25), most in frame")
    assert replace(rough, tolerance=replace(QUANTIZED, norm_error=0.4)).agrees


def test_only_the_engine_itself_passes(verification: Verification) -> None:
    assert verification.passed
    evaluated = replace(verification, evaluated_by="an evaluator")
    assert evaluated.agrees
    assert not evaluated.executed
    assert not evaluated.passed
    assert evaluated.to_json()["passed"] is evaluated.to_json()["executed"] is False


def test_the_report_holds_what_was_allowed_and_found(verification: Verification) -> None:
    report = verification.to_json()
    assert report["tolerance"] == asdict(FP32)
    assert report["executed"] is report["passed"] is True
    assert report["max_abs_error"] == report["parity"]["probability"]["max_abs_error"]
    assert report["closed_loop"]["frames"] == 8
    assert report["jf"] is not None
    assert abs(report["jf_drop"]) < 1
    assert verification.latency_ms > 0
    assert "latency" not in str(report)  # the same bytes from run to run


def test_without_a_score_or_a_truth_no_drop_is_claimed(tiny_model: LoadedModel, clip: Clip) -> None:
    unknown = replace(clip, truth=None)
    for used, score in ((clip, None), (unknown, lambda a, b: 1.0)):
        expected_run = run_reference(tiny_model.runner, tiny_model.graph, used)
        found, _ = verify(expected_run, tiny_model.runner, tiny_model.graph, FP32, score)
        assert found.passed
        assert found.jf is found.jf_drop is None


def _result(mask: NDArray[np.uint8]) -> FrameResult:
    states = tuple(ObjectState(i, 1, (0, 0, 1, 1), 1.0, lost=False) for i in (1, 2))
    return FrameResult(mask, np.zeros((3, 1, 1), np.float32), states, {}, 0)


def test_what_pytorch_follows_is_judged_and_everything_if_that_is_little() -> None:
    """An engine must not pass for want of masks to judge it by."""
    both = np.array([[1, 1, 2, 2]], np.uint8)
    first_only, second_only = both * (both == 1), both * (both == 2)
    expected = [_result(both)] * 4
    found = [_result(first_only)] * 4
    without = loop_overlaps(expected, found, None)
    np.testing.assert_array_equal(without, [0.5] * 4)  # object 2 is missed
    np.testing.assert_array_equal(loop_overlaps(expected, found, [both] * 4), without)
    # PyTorch has lost object 2 all the time, object 1 never: half of all is followed.
    lost = loop_overlaps(expected, found, [np.array([[1, 1, 0, 0]], np.uint8)] * 4)
    np.testing.assert_array_equal(lost, [1.0] * 4)
    # And in one frame both: less than half.
    truths = [first_only, first_only, first_only, np.zeros_like(both)]
    np.testing.assert_array_equal(loop_overlaps(expected, found, truths), without)
    # A frame without anything followed is not judged.
    found = [_result(second_only)] * 4
    nothing = loop_overlaps(expected, found, [both, both, both, np.zeros_like(both)])
    np.testing.assert_array_equal(nothing, [0.5, 0.5, 0.5, np.nan])


def test_the_worst_inputs_are_those_of_the_worst_call(tiny_model: LoadedModel, clip: Clip) -> None:
    expected_run = run_reference(tiny_model.runner, tiny_model.graph, clip)
    seen: list[Arrays] = []

    def wrong(inputs: Arrays) -> Arrays:
        seen.append({name: array.copy() for name, array in inputs.items()})
        outputs = tiny_model.runner.run(inputs)
        if len(seen) == 3:
            outputs["value"] = outputs["value"] + 1
        return outputs

    found, inputs = verify(
        expected_run,
        CallableRunner(wrong),  # type: ignore[arg-type]
        tiny_model.graph,
        QUANTIZED,
    )
    assert (found.worst_tensor, found.tensors["value"].call) == ("value", 2)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, seen[2][name], err_msg=name)


def test_a_stand_in_is_compared_in_some_calls(tiny_model: LoadedModel, clip: Clip) -> None:
    expected_run = run_reference(tiny_model.runner, tiny_model.graph, clip)
    calls = 0

    def count(inputs: Arrays) -> Arrays:
        nonlocal calls
        calls += 1
        return tiny_model.runner.run(inputs)

    runner = CallableRunner(count)  # type: ignore[arg-type]
    verify(expected_run, runner, tiny_model.graph, FP32, stride=4)
    golden, loop = len(expected_run.golden.script.image), len(expected_run.outputs)
    assert loop >= 8  # frames, and one more where the whole frame is looked at, too
    assert calls == -(-loop // 4) + loop + golden
