"""A calibration is a real run: full memory, from one object to many; an empty one is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_vos.converters import context
from edge_vos.converters.clip import SHIPPED_CLIP, Clip, load_clip
from edge_vos.converters.convert import Conversion, Converted, Options
from edge_vos.converters.lowering import Calibration
from edge_vos.converters.quantization.calibrate import (
    calibration_clips,
    check_calibration,
    run_calibration,
)
from edge_vos.converters.recipe import choose
from edge_vos.errors import GateError
from edge_vos.graph import INPUT_NAMES
from edge_vos.model.student import (
    Student,
    student_as_callable,
)
from edge_vos.runtime.backends.runner import CallableRunner

SIZE = (64, 96)


@pytest.fixture(scope="module")
def calibration(student: Student, converted: Converted) -> Calibration:
    eager = CallableRunner(student_as_callable(student))
    return run_calibration(
        eager,
        converted.bundle.manifest.graph,
        calibration_clips(load_clip(str(SHIPPED_CLIP)), objects=10),
    )


def test_calls_are_whole_and_of_the_graphs_shapes(
    calibration: Calibration, converted: Converted
) -> None:
    assert 24 <= len(calibration.calls) <= 40
    for call in calibration.calls:
        assert tuple(call) == INPUT_NAMES
        for spec in converted.bundle.manifest.inputs:
            assert (call[spec.name].shape, call[spec.name].dtype) == (spec.shape, np.float32)


def test_every_slot_is_full_and_moves_on(calibration: Calibration) -> None:
    for call in calibration.calls:
        assert call["memory_valid"].min() == 1
        assert np.abs(call["memory_key"]).max(axis=(1, 2, 3)).min() > 0
    # A frame with a prompt may take two calls: of all of it, and of a part.
    plain = [call for call in calibration.calls if not call["prompted"].any()]
    assert len(plain) > 16
    assert len({call["memory_key"].tobytes() for call in plain}) == len(plain)


def test_objects_go_from_one_to_ten_and_some_are_corrected(calibration: Calibration) -> None:
    living = {int(call["active"].sum()) - 1 for call in calibration.calls}
    assert {1, 3, 6, 10} <= living  # three by the clip's own mask
    assert any(call["prompted"].any() for call in calibration.calls)


def test_footage_is_followed_by_its_own_and_by_generated_masks() -> None:
    clips = calibration_clips(load_clip("synthetic://?size=64x96&objects=2&frames=100"), objects=4)
    assert [int(clip.mask(0).max()) for clip in clips] == [2, 1, 4]
    assert {len(clip.frames) for clip in clips} == {30}
    assert not np.array_equal(clips[1].frames[0], clips[2].frames[0])


def test_an_empty_memory_is_refused(calibration: Calibration) -> None:
    def emptied(*names: str) -> Calibration:
        zeros = [{name: np.zeros_like(call[name]) for name in names} for call in calibration.calls]
        calls = zip(calibration.calls, zeros, strict=True)
        return replace(calibration, calls=tuple({**call, **zero} for call, zero in calls))

    check_calibration(calibration)
    with pytest.raises(GateError, match="fills 0% of the memory"):
        check_calibration(emptied("memory_valid"))
    with pytest.raises(GateError, match="nothing but zeros in memory_value"):
        check_calibration(emptied("memory_value"))
    with pytest.raises(GateError, match="fills 0%"):
        check_calibration(Calibration("", ()))


def _short() -> Clip:
    (clip, *_) = calibration_clips(load_clip("synthetic://?size=64x96&frames=40"), objects=1)
    return replace(clip, frames=clip.frames[:4], truth=clip.truth[:4] if clip.truth else None)


def test_a_run_that_fills_no_memory_is_refused(student: Student, converted: Converted) -> None:
    eager = CallableRunner(student_as_callable(student))
    with pytest.raises(GateError, match="fills 0% of the memory"):
        run_calibration(eager, converted.bundle.manifest.graph, [_short()])


def test_a_conversion_with_an_empty_memory_writes_nothing(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = _short()
    monkeypatch.setattr(context, "calibration_clips", lambda *_: [short])
    with pytest.raises(GateError, match=r"calibration on synthetic://.* fills 0% of the memory"):
        Conversion(options).convert(
            choose("cpu", precision="int8", size=SIZE), tmp_path / "a.bundle"
        )
    assert list(tmp_path.iterdir()) == []
