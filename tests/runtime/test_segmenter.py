import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Bundle, MemoryPolicy
from edge_vos.errors import EngineError, PromptError, ShapeError
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.frame import Frame

Arrays = Mapping[str, NDArray[np.float32]]
Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class Recorder:
    """Pass calls on to a runner and keep copies of its inputs."""

    def __init__(self, model: LoadedModel) -> None:
        self.inner = model.runner
        self.calls: list[dict[str, NDArray[np.float32]]] = []

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        self.calls.append({name: array.copy() for name, array in inputs.items()})
        return self.inner.run(inputs)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def recorder(tiny_model: LoadedModel) -> Recorder:
    return Recorder(tiny_model)


@pytest.fixture
def segmenter(tiny_model: LoadedModel, recorder: Recorder) -> Segmenter:
    return Segmenter(replace(tiny_model, runner=recorder), zoom=False)


@pytest.fixture
def followed(segmenter: Segmenter, scene: Scene) -> Segmenter:
    """One that was shown an object and stepped once."""
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    segmenter.step(frame)
    return segmenter


def _ids(call: Arrays, name: str) -> list[int]:
    return [int(i) for i in np.flatnonzero(call[name])]


def test_objects_are_followed(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((0, 0), (128, 64))
    assert segmenter.prompt(mask) == (1, 2)
    for step in range(12):
        frame, truth = scene((4 * step, 0), (128, 64 - 4 * step))
        result = segmenter.step(frame)
        assert result.frame_index == step
        assert (result.mask.shape, result.mask.dtype) == (frame.shape[:2], np.uint8)
        for state in result.objects:
            assert jaccard(result.mask == state.id, truth == state.id) > 0.85
            assert state.area_px == (result.mask == state.id).sum()
            assert not state.lost
    assert list(result.timings_ms) == ["pre", "infer", "post", "memory"]
    assert result.probability.shape == (5, 16, 24)


def test_the_loop_is_the_same_with_an_engine(
    segmenter: Segmenter, tiny_bundle: Bundle, scene: Scene
) -> None:
    pytest.importorskip("onnxruntime")
    with_engine = Segmenter(open_bundle(tiny_bundle.path, threads=1))
    for step in range(10):
        frame, mask = scene((4 * step, 0), (128, 64))
        if step in (0, 5):
            segmenter.prompt(mask)
            with_engine.prompt(mask)
        one, other = segmenter.step(frame), with_engine.step(frame)
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-4)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_inputs_of_a_first_frame_a_later_one_and_an_object_added(
    segmenter: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    frame, mask = scene((0, 0), (128, 64))
    segmenter.prompt(np.where(mask == 1, mask, 0).astype(np.uint8))
    segmenter.step(frame)
    segmenter.step(frame)
    segmenter.prompt(np.where(mask == 2, mask, 0).astype(np.uint8))
    segmenter.step(frame)
    first, later, added = recorder.calls
    assert (_ids(first, "prompted"), _ids(first, "active")) == ([0, 1], [0, 1])
    assert not first["memory_valid"].any()
    np.testing.assert_allclose(first["prompt"].sum(axis=1), 1.0)
    assert first["prompt"][0, 1].sum() * 16 == pytest.approx((mask == 1).sum() / 4)
    assert (_ids(later, "prompted"), _ids(later, "active")) == ([], [0, 1])
    assert not later["prompt"].any()
    assert _ids(later, "memory_valid") == [0, 1]
    assert (_ids(added, "prompted"), _ids(added, "active")) == ([2], [0, 1, 2])
    assert added["prompt"][0, 2].any()
    assert not added["prompt"][0, 1].any()


def test_the_background_is_not_given_in_a_correction(
    segmenter: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    frame, mask = scene((32, 32))
    for _ in range(2):
        segmenter.prompt(mask)
        segmenter.step(frame)
    assert _ids(recorder.calls[1], "prompted") == [1]


def test_results_are_not_changed_by_later_steps(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    first = segmenter.step(frame)
    kept, kept_probability = first.mask.copy(), first.probability.copy()
    segmenter.step(scene((80, 60))[0])
    np.testing.assert_array_equal(first.mask, kept)
    np.testing.assert_array_equal(first.probability, kept_probability)


def test_the_callers_arrays_are_neither_kept_nor_changed(
    segmenter: Segmenter, scene: Scene
) -> None:
    frame, mask = scene((32, 32))
    kept = frame.copy()
    segmenter.prompt(mask)
    mask[:] = 0
    assert segmenter.step(frame).objects[0].area_px > 0
    np.testing.assert_array_equal(frame, kept)


def test_being_lost_and_found_is_an_event_of_one_frame(
    tiny_model: LoadedModel, scene: Scene
) -> None:
    segmenter = Segmenter(tiny_model)
    both, mask = scene((0, 0), (128, 64))
    only_first = scene((0, 0))[0]
    segmenter.prompt(mask)
    shown = [both, both, *[only_first] * 4, *[both] * 6, *[only_first] * 2]
    events = [segmenter.step(frame).objects for frame in shown]
    assert {state.event for state, _ in events} == {None}
    told = [(index, second.event) for index, (_, second) in enumerate(events) if second.event]
    assert [event for _, event in told] == ["lost", "found", "lost"]
    assert (told[0][0], told[2][0]) == (2, 12)
    for before, after in itertools.pairwise(second for _, second in events):
        assert (before.lost != after.lost) == (after.event is not None)
    segmenter.drop(2)
    segmenter.prompt(np.where(mask == 2, 2, 0).astype(np.uint8))
    assert segmenter.step(both).objects[1].event is None  # another object under the same id


def test_an_object_that_disappears_is_lost_and_found_again(
    segmenter: Segmenter, scene: Scene
) -> None:
    frame, mask = scene((0, 0), (128, 64))
    segmenter.prompt(mask)
    segmenter.step(frame)
    alone = frame.copy()
    alone[mask == 2] = alone[0, 0]
    one, two = segmenter.step(alone).objects
    assert (one.lost, two.lost, two.confidence, two.area_px) == (False, True, 0.0, 0)
    assert not segmenter.step(frame).objects[1].lost


def test_memory_takes_confident_frames_only(
    load_tiny: Callable[..., LoadedModel], scene: Scene
) -> None:
    _, mask = scene((32, 32))
    strict = Segmenter(load_tiny(), MemoryPolicy(mem_every=1, write_confidence=1.0))
    easy = Segmenter(load_tiny(memory=MemoryPolicy(mem_every=1, write_confidence=0.5)))
    for segmenter in (strict, easy):
        segmenter.prompt(mask)
        for step in range(5):
            segmenter.step(scene((32 + 4 * step, 32))[0])
    assert set(strict.memory.slots) == {0, 1, 2}  # the first frame twice: from close and from afar
    assert easy.memory.slots == {0: 0, 1: 4, 2: 0, 3: 4}


def test_the_frame_may_change_its_size(
    followed: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    tall, truth = scene((32, 64), size=(192, 128))
    result = followed.step(tall)
    assert result.mask.shape == (192, 128)
    assert jaccard(result.mask == 1, truth == 1) > 0.6
    assert (recorder.calls[1]["image"][..., :24] == 127).all()
    wide = followed.step(scene((32, 32), size=(256, 384))[0])
    assert wide.mask.shape == (256, 384)
    assert not (recorder.calls[2]["image"][..., :24] == 127).any()


def test_frames_need_not_be_contiguous(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    expected = segmenter.step(frame).mask
    other = Segmenter(segmenter.model, zoom=False)
    other.prompt(mask)
    flipped = np.ascontiguousarray(frame[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(other.step(flipped).mask, expected)


def test_a_box_and_a_point_become_masks_of_the_next_frame(
    segmenter: Segmenter, scene: Scene
) -> None:
    frame, truth = scene((16, 0), (128, 64))
    assert segmenter.prompt_box((10, 0, 76, 70)) == 1
    assert segmenter.prompt_point((160, 96)) == 2
    assert segmenter.object_ids == (1, 2)
    result = segmenter.step(frame)
    for object_id in (1, 2):
        assert jaccard(result.mask == object_id, truth == object_id) > 0.8


def test_a_later_prompt_lies_on_top_and_replaces_the_one_before(
    segmenter: Segmenter, recorder: Recorder
) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    left, right = np.zeros((2, 64, 96), np.uint8)
    left[:, :48], right[:, 32:] = 1, 2
    segmenter.prompt(left)
    segmenter.prompt(right)
    segmenter.step(frame)
    prompt = recorder.calls[0]["prompt"][0]
    assert (prompt[1].sum(), prompt[2].sum()) == (8 * 16, 16 * 16)
    segmenter.reset()
    segmenter.prompt(left)
    segmenter.prompt(np.minimum(right, 1))
    segmenter.step(frame)
    assert recorder.calls[1]["prompt"][0, 1].sum() == 16 * 16


def test_a_prompt_that_is_covered_is_refused(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    segmenter.prompt(mask * 2)
    with pytest.raises(PromptError, match="Object 1 is covered"):
        segmenter.step(frame)
    assert segmenter.object_ids == ()


def test_there_is_nothing_to_step_before_a_prompt(segmenter: Segmenter, scene: Scene) -> None:
    with pytest.raises(PromptError, match="Give a prompt first"):
        segmenter.step(scene((32, 32))[0])


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((128, 192), np.uint8),
        np.full((128, 192), 5, np.uint8),
        np.ones((128, 192, 3), np.uint8),
        np.ones((128, 192), np.int64),
    ],
)
def test_a_bad_mask_is_refused_at_once(segmenter: Segmenter, mask: NDArray[np.uint8]) -> None:
    with pytest.raises(PromptError):
        segmenter.prompt(mask)
    assert segmenter.object_ids == ()


def test_a_step_that_is_refused_changes_nothing(
    followed: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    frame, mask = scene((32, 32))
    slots = followed.memory.slots
    followed.prompt(mask[::2, ::2] * 2)
    with pytest.raises(PromptError, match=r"64x96.*128x192"):
        followed.step(frame)
    followed.prompt_box((500, 500, 10, 10))
    with pytest.raises(PromptError, match="500,500,10,10"):
        followed.step(frame)
    with pytest.raises(ShapeError):
        followed.step(frame[..., 0])
    assert (followed.object_ids, followed.memory.slots, len(recorder.calls)) == ((1,), slots, 1)
    assert followed.step(frame).frame_index == 1


def test_an_engine_that_fails_leaves_the_state_as_it_was(
    followed: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    frame, mask = scene((32, 32))
    recorder.close()
    followed.prompt(mask * 2)
    with pytest.raises(EngineError):
        followed.step(frame)
    assert followed.object_ids == (1,)
    assert followed.memory.slots == {0: 0, 1: 0}


def test_objects_are_dropped_and_their_ids_come_last(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((0, 0), (128, 64))
    segmenter.prompt(mask)
    segmenter.step(frame)
    segmenter.drop(1)
    result = segmenter.step(frame)
    assert segmenter.object_ids == (2,)
    assert [state.id for state in result.objects] == [2]
    assert set(np.unique(result.mask)) == {0, 2}
    with pytest.raises(PromptError, match=r"no object 1.*living object: 2"):
        segmenter.drop(1)
    assert [segmenter.prompt_point((30, 30)) for _ in range(3)] == [3, 4, 1]
    with pytest.raises(PromptError, match="All 4 objects"):
        segmenter.prompt_point((30, 30))
    with pytest.raises(PromptError, match="id from 1 to 4"):
        segmenter.prompt_box((0, 0, 9, 9), object_id=5)


def test_dropping_the_last_object_empties_the_memory(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    segmenter.step(frame)
    segmenter.drop(1)
    assert not segmenter.memory.valid.any()
    with pytest.raises(PromptError):
        segmenter.step(frame)
    segmenter.prompt(mask)
    segmenter.drop(1)
    assert segmenter.object_ids == ()


def test_reset_makes_it_new(segmenter: Segmenter, recorder: Recorder, scene: Scene) -> None:
    frame, mask = scene((32, 32))
    segmenter.prompt(mask)
    first = segmenter.step(frame)
    segmenter.step(frame)
    segmenter.reset()
    assert segmenter.object_ids == ()
    segmenter.prompt(mask)
    again = segmenter.step(frame)
    assert again.frame_index == 0
    np.testing.assert_array_equal(again.probability, first.probability)
    for name in ("image", "prompt", "prompted", "active", "memory_valid"):
        np.testing.assert_array_equal(recorder.calls[0][name], recorder.calls[2][name])


def _names(segmenter: Segmenter, frame: NDArray[np.uint8]) -> dict[int, str]:
    return {state.id: state.name for state in segmenter.step(frame).objects}


def test_objects_are_called_what_the_user_calls_them(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((16, 0), (128, 64))
    assert segmenter.prompt_box((10, 0, 76, 70), name="cup") == 1
    assert segmenter.prompt_point((160, 96)) == 2
    segmenter.name(2, "Tässchen")
    assert _names(segmenter, frame) == {1: "cup", 2: "Tässchen"}
    segmenter.prompt(mask)  # a correction keeps them
    segmenter.prompt_box((10, 0, 76, 70), object_id=1)
    assert _names(segmenter, frame) == {1: "cup", 2: "Tässchen"}
    segmenter.prompt_point((160, 96), object_id=2, name="saucer")
    segmenter.name(1, "")
    assert _names(segmenter, frame) == {1: "", 2: "saucer"}


def test_names_go_with_their_objects(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((16, 0), (128, 64))
    segmenter.name_next(["cup", "saucer", "spoon"])
    segmenter.prompt(mask)
    assert _names(segmenter, frame) == {1: "cup", 2: "saucer"}
    segmenter.drop(1)
    segmenter.prompt(mask)
    assert _names(segmenter, frame) == {1: "spoon", 2: "saucer"}
    segmenter.name_next(["fork"])
    segmenter.reset()
    segmenter.prompt(mask)
    assert _names(segmenter, frame) == {1: "", 2: ""}


def test_a_refused_prompt_leaves_no_name(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((16, 0), (128, 64))
    segmenter.prompt_box((500, 500, 10, 10), name="cup")
    with pytest.raises(PromptError, match="500,500"):
        segmenter.step(frame)
    with pytest.raises(PromptError, match="no object 1"):
        segmenter.name(1, "cup")
    segmenter.prompt(mask)
    assert _names(segmenter, frame) == {1: "", 2: ""}


def test_objects_keep_the_ids_of_who_brought_them(segmenter: Segmenter, scene: Scene) -> None:
    frame, mask = scene((16, 0), (128, 64))
    segmenter.prompt(mask)
    segmenter.number(2, 300)
    result = segmenter.step(frame)
    assert [(state.id, state.number) for state in result.objects] == [(1, 1), (2, 300)]
    assert result.objects[1].colour == replace(result.objects[1], given_id=45).colour
    numbered = result.numbered_mask()
    assert numbered.dtype == np.uint16
    np.testing.assert_array_equal(numbered, np.array([0, 1, 300])[result.mask])
    for taken in (1, 0, -5):
        with pytest.raises(PromptError, match="an id of its own"):
            segmenter.number(2, taken)
    with pytest.raises(PromptError, match="no object 3"):
        segmenter.number(3, 9)
    segmenter.drop(2)
    segmenter.prompt(mask)
    result = segmenter.step(frame)
    assert [state.number for state in result.objects] == [1, 2]
    assert result.numbered_mask() is result.mask


def test_a_bad_name_is_refused_before_anything_is_done(segmenter: Segmenter) -> None:
    with pytest.raises(PromptError, match="one line"):
        segmenter.prompt_box((10, 0, 76, 70), name="a\nb")
    with pytest.raises(PromptError, match="41 characters"):
        segmenter.name_next(["cup", "x" * 41])
    assert segmenter.object_ids == ()


def test_a_reference_that_finds_no_slot_is_reported(
    segmenter: Segmenter, caplog: pytest.LogCaptureFixture
) -> None:
    colours = np.array([(0, 0, 230), (0, 230, 0), (230, 0, 0), (0, 230, 230)], np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 16:80] = 1
    for object_id, colour in enumerate(colours, start=1):  # each object is seen in one frame only
        frame = np.full((64, 96, 3), 60, np.uint8)
        frame[mask > 0] = colour
        segmenter.prompt(mask * np.uint8(object_id))
        with caplog.at_level(logging.WARNING):
            segmenter.step(frame)
        assert ("frame 3 is no reference" in caplog.text) == (object_id == 4)
    assert segmenter.memory.references == {0, 2, 3}


def test_an_endless_stream_keeps_its_memory(segmenter: Segmenter, scene: Scene) -> None:
    _, mask = scene((32, 32))
    segmenter.prompt(mask)
    arrays = [id(array) for array in (segmenter.memory.key, segmenter.memory.value)]
    for step in range(60):
        segmenter.step(scene((32 + step % 20, 32))[0])
    assert arrays == [id(array) for array in (segmenter.memory.key, segmenter.memory.value)]
    assert set(segmenter.memory.slots) == {0, 1, 2, 3}


def test_an_id_that_was_dropped_is_as_good_as_new(
    segmenter: Segmenter, recorder: Recorder, scene: Scene
) -> None:
    frame, mask = scene((0, 0), (128, 64))
    only = [(mask == i).astype(np.uint8) for i in (1, 2)]
    segmenter.prompt(mask)
    segmenter.step(frame)
    segmenter.drop(1)
    segmenter.step(frame)
    blanked = recorder.calls[-1]["memory_value"]
    other = Segmenter(segmenter.model, zoom=False)
    other.prompt(only[1] * 2)
    other.step(frame)
    other.step(frame)
    # Memory holds of it what it holds of an object that never was there.
    np.testing.assert_array_equal(blanked[:, 1], recorder.calls[-1]["memory_value"][:, 1])
    np.testing.assert_array_equal(blanked[:2, 2], recorder.calls[-1]["memory_value"][:2, 2])
    moved, truth = scene((64, 0), (128, 64))
    segmenter.prompt((truth == 1).astype(np.uint8) * 1)
    segmenter.step(moved)
    result = segmenter.step(moved)
    assert jaccard(result.mask == 1, truth == 1) > 0.8


def test_where_no_id_is_free_the_dropped_one_is_blanked_later(
    segmenter: Segmenter, scene: Scene
) -> None:
    frame, mask = scene((0, 0), (64, 0), (0, 64), (64, 64))
    segmenter.prompt(mask)
    segmenter.step(frame)
    segmenter.drop(3)
    assert segmenter.memory.value[:2, 3].any()
    segmenter.step(frame)
    assert not segmenter.memory.value[:2, 3].any()


def test_a_sources_frame_is_stepped_like_its_image(segmenter: Segmenter, scene: Scene) -> None:
    image, mask = scene((32, 32))
    segmenter.prompt(mask)
    result = segmenter.step(Frame(image, 0, 0.0, 0.0, 0.0))
    assert jaccard(result.mask == 1, mask == 1) > 0.95


@pytest.mark.parametrize(
    "xy", [(10**20, 5), (5, -(10**20)), [(3, 4), (10**30, 1)], (float("nan"), 1), [(1, 2, 3)]]
)
def test_points_that_no_picture_has_are_refused(segmenter: Segmenter, xy: object) -> None:
    with pytest.raises(PromptError, match=r"The point .*x,y in pixels"):
        segmenter.prompt_point(xy)  # type: ignore[arg-type]
    assert segmenter.object_ids == ()
