"""Prompting as a person does it: sketches, undo, objects that come and go, recordings."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.interactive import interaction as module
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.interaction import Prompting
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.recorder import Recorder
from edge_vos.runtime.sinks.video.matroska import MatroskaWriter
from edge_vos.runtime.sources.frame import Frame

Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
SIZE = (128, 192)


@pytest.fixture
def truth(scene: Draw) -> NDArray[np.uint8]:
    return scene((32, 32), (112, 32))[1]


@pytest.fixture
def frame(scene: Draw) -> Frame:
    """Two squares, red and green, with a little noise: GrabCut wants colours that vary."""
    image = scene((32, 32), (112, 32))[0]
    noise = np.random.default_rng(0).integers(0, 12, image.shape, np.uint8)
    return Frame(cv2.add(image, noise), 7, 0.2, 0.0, 0.0)


def _result(mask: NDArray[np.uint8]) -> FrameResult:
    objects = tuple(
        ObjectState(i, 4096, cv2.boundingRect((mask == i).astype(np.uint8)), 0.9, lost=False)
        for i in range(1, 3)
        if (mask == i).any()
    )
    return FrameResult(mask, np.zeros((5, 16, 24), np.float32), objects, {}, 0)


@pytest.fixture
def prompting(frame: Frame, tmp_path: Path) -> Prompting:
    prompting = Prompting(Controls(objects=3), tmp_path)
    prompting.see(frame, _result(np.zeros(SIZE, np.uint8)))
    return prompting


def test_a_box_is_shown_before_it_is_followed(
    prompting: Prompting, frame: Frame, truth: NDArray[np.uint8], tiny_model: LoadedModel
) -> None:
    prompting.box((26, 26, 76, 76))
    sketch = prompting.sketch
    assert sketch is not None
    assert jaccard(sketch.mask == 1, truth == 1) > 0.9
    assert (sketch.picture[60, 60] != frame.image[60, 60]).any()
    assert prompting.controls.requests.empty()
    prompting.accept()
    assert prompting.sketch is None
    segmenter = Segmenter(tiny_model)
    prompting.controls.apply(segmenter)
    result = segmenter.step(frame.image)
    assert [state.id for state in result.objects] == [1]
    assert result.frame_index == 1  # the frame that was drawn on went before
    assert jaccard(result.mask == 1, truth == 1) > 0.8


def test_what_is_shown_in_turn_takes_the_names_that_wait(
    prompting: Prompting, frame: Frame, tiny_model: LoadedModel
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.name_next(["cup"])
    for box in ((26, 26, 76, 76), (106, 26, 76, 76)):
        prompting.box(box)
        prompting.accept()
        prompting.controls.apply(segmenter)
        result = segmenter.step(frame.image)
        prompting.see(frame, result)
    assert [(state.id, state.name) for state in result.objects] == [(1, "cup"), (2, "")]
    prompting.click((60, 60))  # on the cup, to correct it
    assert prompting.sketch is not None
    drawn = prompting.sketch.picture.copy()
    unnamed = tuple(replace(state, name="") for state in result.objects)
    prompting.cancel()
    prompting.see(frame, replace(result, objects=unnamed))
    prompting.click((60, 60))
    assert (prompting.sketch.picture[:40] != drawn[:40]).any()


def test_where_the_run_stays_at_the_frame_it_is_stepped_once(
    prompting: Prompting, frame: Frame, tiny_model: LoadedModel
) -> None:
    prompting.box((26, 26, 76, 76))
    prompting.accept()
    segmenter = Segmenter(tiny_model)
    prompting.controls.apply(segmenter, frame)
    assert segmenter.step(frame.image).frame_index == 0


def test_clicks_add_and_take_away_and_are_undone(
    prompting: Prompting, truth: NDArray[np.uint8]
) -> None:
    areas = []
    for act in (
        lambda: prompting.box((24, 24, 162, 80)),  # both squares
        lambda: prompting.click((144, 64), positive=False),
        prompting.undo,
        prompting.undo,
    ):
        act()
        areas.append(np.count_nonzero(prompting.sketch.mask) if prompting.sketch else None)
        if len(areas) == 2 and prompting.sketch is not None:
            assert not prompting.sketch.mask[truth == 2][::7].all()
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[1] < areas[0]
    assert areas[2:] == [areas[0], None]


def test_a_click_begins_with_a_point(prompting: Prompting, truth: NDArray[np.uint8]) -> None:
    prompting.click((64, 64))
    assert prompting.sketch is not None
    assert jaccard(prompting.sketch.mask == 1, truth == 1) > 0.6
    prompting.cancel()
    assert prompting.sketch is None


def test_a_click_on_an_object_corrects_that_object(
    prompting: Prompting, frame: Frame, truth: NDArray[np.uint8]
) -> None:
    found = truth.copy()
    found[:, 144:] = 0
    prompting.see(frame, _result(found))
    prompting.click((120, 64))
    assert prompting.sketch is not None
    assert prompting.sketch.object_id == 2
    prompting.accept()
    assert prompting.living == (1, 2)


def test_a_correction_is_taken_back_and_drops_nothing(
    prompting: Prompting,
    frame: Frame,
    truth: NDArray[np.uint8],
    tiny_model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.prompt(truth)
    found = segmenter.step(frame.image)
    prompting.see(frame, found)
    given: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(segmenter, "prompt", given.append)
    prompting.click((140, 60))
    prompting.accept()
    prompting.controls.apply(segmenter, frame)
    prompting.undo()
    prompting.controls.apply(segmenter, frame)
    assert len(given) == 2
    np.testing.assert_array_equal(given[1], (found.mask == 2) * np.uint8(2))
    assert segmenter.object_ids == prompting.living == (1, 2)
    prompting.undo()
    assert "nothing to undo" in prompting.controls.message


def test_an_object_is_dropped_and_comes_back_with_its_name(
    prompting: Prompting, frame: Frame, truth: NDArray[np.uint8], tiny_model: LoadedModel
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.prompt(truth)
    segmenter.name(2, "cup")
    prompting.see(frame, segmenter.step(frame.image))
    for miss in (lambda: prompting.drop_under((4, 4)), lambda: prompting.drop(0)):
        miss()
        assert prompting.controls.message.startswith("There is no object ")
        assert prompting.living == (1, 2)
    prompting.drop_under((144, 64))
    prompting.controls.apply(segmenter)
    assert segmenter.object_ids == prompting.living == (1,)
    prompting.undo()
    prompting.controls.apply(segmenter, frame)
    result = segmenter.step(frame.image)
    assert [(state.id, state.name) for state in result.objects] == [(1, ""), (2, "cup")]
    assert jaccard(result.mask == 2, truth == 2) > 0.95


def test_only_the_last_deed_keeps_frames(prompting: Prompting, truth: NDArray[np.uint8]) -> None:
    prompting.see(prompting._seen[0], _result(truth))  # type: ignore[index]
    for xy in ((60, 60), (140, 60)):
        prompting.click(xy)
        prompting.accept()
    prompting.undo()
    assert "object 2 is taken back" in prompting.controls.message
    prompting.undo()
    assert "object 1 cannot be taken back: too long ago" in prompting.controls.message


def test_an_object_is_followed_from_the_frame_it_was_drawn_on_to_now(
    prompting: Prompting,
    frame: Frame,
    scene: Draw,
    tiny_model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others' memory sees one frame; the way there is bounded, however long it took."""
    nothing = _result(np.zeros(SIZE, np.uint8))
    prompting.see(frame, nothing)
    prompting.box((26, 26, 76, 76))
    for step in range(1, 101):
        image, truth = scene((32, 32 + 32 * step // 100))
        image[0, 0, 0] = step
        prompting.see(replace(frame, image=image, index=frame.index + step), nothing)
    stepped: list[tuple[Segmenter, int]] = []
    find = Segmenter.step

    def step_and_tell(segmenter: Segmenter, image: NDArray[np.uint8]) -> FrameResult:
        stepped.append((segmenter, int(image[0, 0, 0])))
        return find(segmenter, image)

    monkeypatch.setattr(Segmenter, "step", step_and_tell)
    segmenter = Segmenter(tiny_model)
    prompting.accept()
    prompting.controls.apply(segmenter)
    assert [mark for _, mark in stepped[1:]] == [*range(8, 97, 8), 100, 100]
    assert [one is segmenter for one, _ in stepped] == [False] * 14 + [True]
    result = segmenter.step(image)
    assert jaccard(result.mask == 1, truth == 1) > 0.8
    assert prompting.object_id == 2
    prompting.see(replace(frame, index=108), nothing)  # it was on its way before the object came
    assert prompting.object_id == 2


def test_a_right_click_needs_an_object(prompting: Prompting) -> None:
    prompting.click((64, 64), positive=False)
    assert prompting.sketch is None
    assert "begin on one" in prompting.controls.message


def test_a_box_without_an_object_is_told(prompting: Prompting) -> None:
    prompting.box((500, 500, 10, 10))
    assert prompting.sketch is None
    assert "The box 500" in prompting.controls.message


def test_ids_are_given_in_turn_until_there_are_none(
    prompting: Prompting, frame: Frame, truth: NDArray[np.uint8]
) -> None:
    given = []
    for _ in range(3):
        prompting.box((26, 26, 76, 76))
        given.append(prompting.object_id)
        prompting.accept()
    assert given == [1, 2, 3]
    prompting.box((26, 26, 76, 76))
    assert prompting.sketch is None
    assert "All 3 objects are in use" in prompting.controls.message
    prompting.drop(2)
    assert prompting.object_id == 2
    prompting.choose_next()
    assert prompting.object_id == 3
    prompting.box((106, 26, 76, 76))
    assert prompting.sketch is not None
    assert prompting.sketch.object_id == 3


def test_undo_drops_the_last_new_object(
    prompting: Prompting, frame: Frame, tiny_model: LoadedModel
) -> None:
    for box in ((26, 26, 76, 76), (106, 26, 76, 76)):
        prompting.box(box)
        prompting.accept()
    prompting.undo()
    segmenter = Segmenter(tiny_model)
    prompting.controls.apply(segmenter)
    assert segmenter.object_ids == prompting.living == (1,)
    prompting.drop()
    prompting.drop()
    assert "no object to drop" in prompting.controls.message
    prompting.controls.apply(segmenter)
    assert segmenter.object_ids == ()


def test_a_reset_forgets_everything(prompting: Prompting, tiny_model: LoadedModel) -> None:
    prompting.box((26, 26, 76, 76))
    prompting.accept()
    prompting.reset()
    segmenter = Segmenter(tiny_model)
    prompting.controls.apply(segmenter)
    assert (segmenter.object_ids, prompting.object_id) == ((), 1)


def test_a_sketch_that_nobody_touches_is_let_go(
    prompting: Prompting, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompting.box((26, 26, 76, 76))
    begun_s = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: begun_s + 1000)
    assert prompting.sketch is None


def test_snapshots_are_numbered(prompting: Prompting, tmp_path: Path) -> None:
    prompting.snapshot()
    prompting.snapshot()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "edge-vos-000.png", "edge-vos-001.png",
    ]  # fmt: skip
    prompting._snapshots = tmp_path / "missing"
    prompting.snapshot()
    assert "cannot write" in prompting.controls.message


def test_recordings_are_switched_on_and_off(
    prompting: Prompting, frame: Frame, tmp_path: Path
) -> None:
    recorder = Recorder(prompting, 25.0, SIZE, Painter().paint, tmp_path)
    result = _result(np.zeros(SIZE, np.uint8))
    for index in range(30):
        if index in (5, 10, 20):
            prompting.record()
        recorder.write(replace(frame, index=index, timestamp_s=index / 25), result)
    recorder.close()
    assert recorder.files == (f"{tmp_path}/edge-vos-000.mkv", f"{tmp_path}/edge-vos-001.mkv")
    counts = []
    for path in recorder.files:
        capture = cv2.VideoCapture(path)
        counts.append(sum(1 for _ in iter(lambda c=capture: c.read()[0], False)))
        capture.release()
    assert counts == [5, 10]


def test_a_recording_that_was_cut_short_keeps_its_number(
    prompting: Prompting, frame: Frame, tmp_path: Path
) -> None:
    (tmp_path / "edge-vos-000.partial.mkv").write_text("precious")
    recorder = Recorder(prompting, 25.0, SIZE, Painter().paint, tmp_path)
    prompting.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    recorder.close()
    assert recorder.files == (f"{tmp_path}/edge-vos-001.mkv",)
    assert (tmp_path / "edge-vos-000.partial.mkv").read_text() == "precious"


@pytest.mark.parametrize("how", ["removed", "taken"])
@pytest.mark.parametrize("at", ["key", "end"])
def test_a_recording_that_cannot_be_completed_is_told(
    prompting: Prompting, frame: Frame, tmp_path: Path, how: str, at: str
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    recorder = Recorder(prompting, 25.0, SIZE, Painter().paint, folder)
    prompting.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    if how == "removed":
        shutil.rmtree(folder)
    else:
        (folder / "edge-vos-000.mkv").mkdir()
    if at == "key":
        prompting.record()
        recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    recorder.close()
    assert recorder.files == ()
    assert len(recorder.failures) == 1
    assert "edge-vos-000" in prompting.controls.message


@pytest.mark.usefixtures("without_pyav")
def test_a_disk_that_is_full_does_not_end_the_run(
    prompting: Prompting, frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(prompting, 25.0, SIZE, Painter().paint, tmp_path)
    result = _result(np.zeros(SIZE, np.uint8))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MatroskaWriter, "write", full)
    prompting.record()
    recorder.write(frame, result)
    assert "No space left" in prompting.controls.message
    assert (recorder.files, list(tmp_path.iterdir())) == ((), [])
    monkeypatch.undo()
    prompting.record()
    recorder.write(frame, result)
    recorder.close()
    assert recorder.files == (f"{tmp_path}/edge-vos-000.mkv",)


def test_a_recording_that_fails_does_not_end_the_run(
    prompting: Prompting, frame: Frame, tmp_path: Path
) -> None:
    recorder = Recorder(prompting, 25.0, SIZE, Painter().paint, tmp_path / "missing")
    prompting.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    assert not prompting.recording.is_set()
    assert "cannot be written" in prompting.controls.message
    assert recorder.files == ()
