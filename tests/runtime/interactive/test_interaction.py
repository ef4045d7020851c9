"""Interaction as a person does it: drafts, undo, objects that come and go, recordings."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.interactive import drafting
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.prompt_draft import PromptDraft
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


class Settled(Interaction):
    """Wait for masks before anything is looked at."""

    @property
    def draft(self) -> PromptDraft | None:
        assert self.settle(60)
        return super().draft

    def accept(self) -> None:
        assert self.settle(60)
        super().accept()

    def undo(self) -> None:
        assert self.settle(60)
        super().undo()


@pytest.fixture
def interaction(frame: Frame, tmp_path: Path) -> Interaction:
    interaction = Settled(Controls(objects=3), tmp_path)
    interaction.see(frame, _result(np.zeros(SIZE, np.uint8)))
    return interaction


def test_a_box_is_shown_before_it_is_followed(
    interaction: Interaction, frame: Frame, truth: NDArray[np.uint8], tiny_model: LoadedModel
) -> None:
    interaction.box((26, 26, 76, 76))
    draft = interaction.draft
    assert draft is not None
    assert jaccard(draft.mask == 1, truth == 1) > 0.9
    assert (draft.picture[60, 60] != frame.image[60, 60]).any()
    assert interaction.controls.requests.empty()
    interaction.accept()
    assert interaction.draft is None
    segmenter = Segmenter(tiny_model)
    interaction.controls.apply(segmenter)
    result = segmenter.step(frame.image)
    assert [state.id for state in result.objects] == [1]
    assert result.frame_index == 1  # the frame that was drawn on went before
    assert jaccard(result.mask == 1, truth == 1) > 0.8


def test_what_is_shown_in_turn_takes_the_names_that_wait(
    interaction: Interaction, frame: Frame, tiny_model: LoadedModel
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.name_next(["cup"])
    for box in ((26, 26, 76, 76), (106, 26, 76, 76)):
        interaction.box(box)
        interaction.accept()
        interaction.controls.apply(segmenter)
        result = segmenter.step(frame.image)
        interaction.see(frame, result)
    assert [(state.id, state.name) for state in result.objects] == [(1, "cup"), (2, "")]
    interaction.click((60, 60))  # on the cup, to correct it
    assert interaction.draft is not None
    drawn = interaction.draft.picture.copy()
    unnamed = tuple(replace(state, name="") for state in result.objects)
    interaction.cancel()
    interaction.see(frame, replace(result, objects=unnamed))
    interaction.click((60, 60))
    assert (interaction.draft.picture[:40] != drawn[:40]).any()


def test_where_the_run_stays_at_the_frame_it_is_stepped_once(
    interaction: Interaction, frame: Frame, tiny_model: LoadedModel
) -> None:
    interaction.box((26, 26, 76, 76))
    interaction.accept()
    segmenter = Segmenter(tiny_model)
    interaction.controls.apply(segmenter, frame)
    assert segmenter.step(frame.image).frame_index == 0


def test_clicks_add_and_take_away_and_are_undone(
    interaction: Interaction, truth: NDArray[np.uint8]
) -> None:
    areas = []
    for act in (
        lambda: interaction.box((24, 24, 162, 80)),  # both squares
        lambda: interaction.click((144, 64), positive=False),
        interaction.undo,
        interaction.undo,
    ):
        act()
        areas.append(np.count_nonzero(interaction.draft.mask) if interaction.draft else None)
        if len(areas) == 2 and interaction.draft is not None:
            assert not interaction.draft.mask[truth == 2][::7].all()
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[1] < areas[0]
    assert areas[2:] == [areas[0], None]


def test_a_click_begins_with_a_point(interaction: Interaction, truth: NDArray[np.uint8]) -> None:
    interaction.click((64, 64))
    assert interaction.draft is not None
    assert jaccard(interaction.draft.mask == 1, truth == 1) > 0.6
    interaction.cancel()
    assert interaction.draft is None


def test_a_click_on_an_object_corrects_that_object(
    interaction: Interaction, frame: Frame, truth: NDArray[np.uint8]
) -> None:
    found = truth.copy()
    found[:, 144:] = 0
    interaction.see(frame, _result(found))
    interaction.click((120, 64))
    assert interaction.draft is not None
    assert interaction.draft.object_id == 2
    interaction.accept()
    assert interaction.living == (1, 2)


def test_a_correction_is_taken_back_and_drops_nothing(
    interaction: Interaction,
    frame: Frame,
    truth: NDArray[np.uint8],
    tiny_model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.prompt(truth)
    found = segmenter.step(frame.image)
    interaction.see(frame, found)
    given: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(segmenter, "prompt", given.append)
    interaction.click((140, 60))
    interaction.accept()
    interaction.controls.apply(segmenter, frame)
    interaction.undo()
    interaction.controls.apply(segmenter, frame)
    assert len(given) == 2
    np.testing.assert_array_equal(given[1], (found.mask == 2) * np.uint8(2))
    assert segmenter.object_ids == interaction.living == (1, 2)
    interaction.undo()
    assert "nothing to undo" in interaction.controls.message


def test_an_object_is_dropped_and_comes_back_with_its_name(
    interaction: Interaction, frame: Frame, truth: NDArray[np.uint8], tiny_model: LoadedModel
) -> None:
    segmenter = Segmenter(tiny_model)
    segmenter.prompt(truth)
    segmenter.name(2, "cup")
    interaction.see(frame, segmenter.step(frame.image))
    for miss in (lambda: interaction.drop_under((4, 4)), lambda: interaction.drop(0)):
        miss()
        assert interaction.controls.message.startswith("There is no object ")
        assert interaction.living == (1, 2)
    interaction.drop_under((144, 64))
    interaction.controls.apply(segmenter)
    assert segmenter.object_ids == interaction.living == (1,)
    interaction.undo()
    interaction.controls.apply(segmenter, frame)
    result = segmenter.step(frame.image)
    assert [(state.id, state.name) for state in result.objects] == [(1, ""), (2, "cup")]
    assert jaccard(result.mask == 2, truth == 2) > 0.95


def test_only_the_last_deed_keeps_frames(
    interaction: Interaction, truth: NDArray[np.uint8]
) -> None:
    interaction.see(interaction._seen[0], _result(truth))  # type: ignore[index]
    for xy in ((60, 60), (140, 60)):
        interaction.click(xy)
        interaction.accept()
    interaction.undo()
    assert "object 2 is taken back" in interaction.controls.message
    interaction.undo()
    assert "object 1 cannot be taken back: too long ago" in interaction.controls.message


def test_an_object_is_followed_from_the_frame_it_was_drawn_on_to_now(
    interaction: Interaction,
    frame: Frame,
    scene: Draw,
    tiny_model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others' memory sees one frame; the way there is bounded, however long it took."""
    nothing = _result(np.zeros(SIZE, np.uint8))
    interaction.see(frame, nothing)
    interaction.box((26, 26, 76, 76))
    for step in range(1, 101):
        image, truth = scene((32, 32 + 32 * step // 100))
        image[0, 0, 0] = step
        interaction.see(replace(frame, image=image, index=frame.index + step), nothing)
    stepped: list[tuple[Segmenter, int]] = []
    find = Segmenter.step

    def step_and_tell(segmenter: Segmenter, image: NDArray[np.uint8]) -> FrameResult:
        stepped.append((segmenter, int(image[0, 0, 0])))
        return find(segmenter, image)

    monkeypatch.setattr(Segmenter, "step", step_and_tell)
    segmenter = Segmenter(tiny_model)
    interaction.accept()
    interaction.controls.apply(segmenter)
    assert [mark for _, mark in stepped[1:]] == [*range(8, 97, 8), 100, 100]
    assert [one is segmenter for one, _ in stepped] == [False] * 14 + [True]
    result = segmenter.step(image)
    assert jaccard(result.mask == 1, truth == 1) > 0.8
    assert interaction.object_id == 2
    interaction.see(replace(frame, index=108), nothing)  # it was on its way before the object came
    assert interaction.object_id == 2


def test_a_right_click_needs_an_object(interaction: Interaction) -> None:
    interaction.click((64, 64), positive=False)
    assert interaction.draft is None
    assert "Give a point on the object first" in interaction.controls.message


def test_a_box_without_an_object_is_told(interaction: Interaction) -> None:
    interaction.box((500, 500, 10, 10))
    assert interaction.draft is None
    assert "The box 500" in interaction.controls.message


def test_ids_are_given_in_turn_until_there_are_none(
    interaction: Interaction, frame: Frame, truth: NDArray[np.uint8]
) -> None:
    given = []
    for _ in range(3):
        interaction.box((26, 26, 76, 76))
        given.append(interaction.object_id)
        interaction.accept()
    assert given == [1, 2, 3]
    interaction.box((26, 26, 76, 76))
    assert interaction.draft is None
    assert "All 3 objects are in use" in interaction.controls.message
    interaction.drop(2)
    assert interaction.object_id == 2
    interaction.choose_next()
    assert interaction.object_id == 3
    for wanted, given_id in ((1, 1), (2, 2), (None, 2), (9, 2), (3, 3)):  # 2 is free, 9 is none
        interaction.choose(wanted)
        assert interaction.object_id == given_id
    interaction.box((106, 26, 76, 76))
    assert interaction.draft is not None
    assert interaction.draft.object_id == 3


def test_undo_drops_the_last_new_object(
    interaction: Interaction, frame: Frame, tiny_model: LoadedModel
) -> None:
    for box in ((26, 26, 76, 76), (106, 26, 76, 76)):
        interaction.box(box)
        interaction.accept()
    interaction.undo()
    segmenter = Segmenter(tiny_model)
    interaction.controls.apply(segmenter)
    assert segmenter.object_ids == interaction.living == (1,)
    interaction.drop()
    interaction.drop()
    assert "no object to drop" in interaction.controls.message
    interaction.controls.apply(segmenter)
    assert segmenter.object_ids == ()


def test_a_reset_forgets_everything(interaction: Interaction, tiny_model: LoadedModel) -> None:
    interaction.box((26, 26, 76, 76))
    interaction.accept()
    interaction.reset()
    segmenter = Segmenter(tiny_model)
    interaction.controls.apply(segmenter)
    assert (segmenter.object_ids, interaction.object_id) == ((), 1)


def test_a_draft_that_nobody_touches_is_let_go(
    interaction: Interaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    interaction.box((26, 26, 76, 76))
    assert interaction.draft is not None
    begun_s = drafting.time.monotonic()
    monkeypatch.setattr(drafting.time, "monotonic", lambda: begun_s + 1000)
    assert interaction.draft is None


def test_snapshots_are_numbered(interaction: Interaction, tmp_path: Path) -> None:
    interaction.snapshot()
    interaction.snapshot()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "edge-vos-000.png", "edge-vos-001.png",
    ]  # fmt: skip
    interaction._snapshots = tmp_path / "missing"
    interaction.snapshot()
    assert "cannot write" in interaction.controls.message


def test_recordings_are_switched_on_and_off(
    interaction: Interaction, frame: Frame, tmp_path: Path
) -> None:
    recorder = Recorder(interaction, 25.0, SIZE, Painter().paint, tmp_path)
    result = _result(np.zeros(SIZE, np.uint8))
    for index in range(30):
        if index in (5, 10, 20):
            interaction.record()
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
    interaction: Interaction, frame: Frame, tmp_path: Path
) -> None:
    (tmp_path / "edge-vos-000.partial.mkv").write_text("precious")
    recorder = Recorder(interaction, 25.0, SIZE, Painter().paint, tmp_path)
    interaction.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    recorder.close()
    assert recorder.files == (f"{tmp_path}/edge-vos-001.mkv",)
    assert (tmp_path / "edge-vos-000.partial.mkv").read_text() == "precious"


@pytest.mark.parametrize("how", ["removed", "taken"])
@pytest.mark.parametrize("at", ["key", "end"])
def test_a_recording_that_cannot_be_completed_is_told(
    interaction: Interaction, frame: Frame, tmp_path: Path, how: str, at: str
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    recorder = Recorder(interaction, 25.0, SIZE, Painter().paint, folder)
    interaction.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    if how == "removed":
        shutil.rmtree(folder)
    else:
        (folder / "edge-vos-000.mkv").mkdir()
    if at == "key":
        interaction.record()
        recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    recorder.close()
    assert recorder.files == ()
    assert len(recorder.failures) == 1
    assert "edge-vos-000" in interaction.controls.message


@pytest.mark.usefixtures("without_pyav")
def test_a_disk_that_is_full_does_not_end_the_run(
    interaction: Interaction, frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(interaction, 25.0, SIZE, Painter().paint, tmp_path)
    result = _result(np.zeros(SIZE, np.uint8))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MatroskaWriter, "write", full)
    interaction.record()
    recorder.write(frame, result)
    assert "No space left" in interaction.controls.message
    assert (recorder.files, list(tmp_path.iterdir())) == ((), [])
    monkeypatch.undo()
    interaction.record()
    recorder.write(frame, result)
    recorder.close()
    assert recorder.files == (f"{tmp_path}/edge-vos-000.mkv",)


def test_a_recording_that_fails_does_not_end_the_run(
    interaction: Interaction, frame: Frame, tmp_path: Path
) -> None:
    recorder = Recorder(interaction, 25.0, SIZE, Painter().paint, tmp_path / "missing")
    interaction.record()
    recorder.write(frame, _result(np.zeros(SIZE, np.uint8)))
    assert not interaction.recording.is_set()
    assert "cannot be written" in interaction.controls.message
    assert recorder.files == ()
