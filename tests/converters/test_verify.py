"""The gate lets an equal engine through and catches each way to be wrong."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import Clip, load_clip
from edge_vos.converters.convert import Converted
from edge_vos.converters.verify import (
    TOLERANCES,
    Tolerance,
    Verification,
    record_golden,
    verify,
)
from edge_vos.errors import SourceError
from edge_vos.model.student import Student, student_as_callable
from edge_vos.runtime.golden import Golden
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.runner import CallableRunner, Runner

Arrays = dict[str, NDArray[np.float32]]
Judge = Callable[[Runner], Verification]
OpenOnnx = Callable[[bytes], Runner]
TOLERANCE = Tolerance(max_abs_error=1e-4, mask_iou=0.999)


@pytest.fixture
def manifest(converted: Converted) -> Manifest:
    return converted.bundle.manifest


@pytest.fixture
def judge(student: Student, manifest: Manifest, clip: Clip, golden: Golden) -> Judge:
    """Verify an engine against the eager student, as convert does."""
    reference = CallableRunner(student_as_callable(student))
    tolerance = TOLERANCES["onnx", "fp32"]
    return lambda candidate: verify(reference, candidate, manifest, clip, golden, tolerance)


@pytest.fixture(scope="module")
def golden(student: Student, converted: Converted, clip: Clip) -> Golden:
    reference = CallableRunner(student_as_callable(student))
    return record_golden(reference, converted.bundle.manifest, clip)


def test_the_tolerances_are_the_designs() -> None:
    assert TOLERANCES["onnx", "fp32"] == TOLERANCE


def test_an_equal_engine_passes(judge: Judge, open_onnx: OpenOnnx, onnx_bytes: bytes) -> None:
    verification = judge(open_onnx(onnx_bytes))
    assert verification.passed
    assert verification.failures == ()
    assert verification.frames == 8
    assert set(verification.tensors) == {"probability", "key", "value"}
    assert 0 <= verification.max_abs_error < 1e-5
    assert verification.mask_iou >= 0.999
    assert verification.golden_passed


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
        _break_a_weight(0.5),
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
    assert verification.tensors["value"].relative_error > 1e-4


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
    assert "in call 5 at (0, 3, 2, 1): 1000 instead of" in failure


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
    report = json.loads(json.dumps(verification.report(), allow_nan=False))
    assert report["parity"]["value"]["max_abs_error"] is None
    assert report["passed"] is False


def test_drift_of_the_masks_alone_fails(converted: Converted) -> None:
    verification = replace(converted.verification, mask_iou=0.99)
    assert verification.failures == ("masks overlap by 0.99000 over 8 frames (at least 0.999)",)
    missed = replace(converted.verification, golden_passed=False)
    assert missed.failures == ("the recorded loop is not met",)


def test_the_report_holds_what_was_allowed_and_found(converted: Converted) -> None:
    report = converted.verification.report()
    assert report["tolerance"] == asdict(TOLERANCE)
    assert report["executed"] is report["passed"] is True
    assert report["max_abs_error"] == report["parity"]["probability"]["max_abs_error"]
    assert report["closed_loop"]["frames"] == 8
    assert report["jf"] is not None
    assert abs(report["jf_drop"]) < 1


def test_without_a_score_or_a_truth_no_drop_is_claimed(tiny_model: LoadedModel, clip: Clip) -> None:
    unknown = replace(clip, truth=None)
    for used, score in ((clip, None), (unknown, lambda a, b: 1.0)):
        golden = record_golden(tiny_model.runner, tiny_model.manifest, used)
        found = verify(
            tiny_model.runner,
            tiny_model.runner,
            tiny_model.manifest,
            used,
            golden,
            TOLERANCE,
            score,
        )
        assert found.passed
        assert found.jf is found.jf_drop is None


def test_prompts_are_the_truth_with_a_correction_half_way(clip: Clip) -> None:
    assert clip.truth is not None
    prompts = clip.prompts()
    assert list(prompts) == [0, 4]
    np.testing.assert_array_equal(prompts[0], clip.truth[0])
    assert set(np.unique(prompts[4])) == {0, 2}


def test_where_nobody_knows_the_truth_rectangles_are_followed(clip: Clip) -> None:
    prompts = replace(clip, truth=None).prompts()
    assert set(np.unique(prompts[0])) == {0, 1, 2}
    assert set(np.unique(prompts[4])) == {0, 2}


def test_a_clip_that_is_too_short_is_refused() -> None:
    with pytest.raises(SourceError, match="has 8 frames"):
        load_clip("synthetic://?size=64x96&objects=2&frames=8", frames=9)


def test_a_clip_has_no_path_of_this_machine(clip: Clip, tmp_path) -> None:  # type: ignore[no-untyped-def]
    cv2 = pytest.importorskip("cv2")
    for index, frame in enumerate(clip.frames):
        cv2.imwrite(str(tmp_path / f"{index:05d}.png"), frame)
    assert load_clip(str(tmp_path), frames=8).name == tmp_path.name
