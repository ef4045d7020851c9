"""Drafts while masks are being found: previews, what comes too late, what fails."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.drafting import Change, Drafting
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.prompt_draft import PromptDraft, Stroke
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.sources.frame import Frame

WAIT_S = 30.0
SIZE = (60, 80)
Mask = NDArray[np.uint8]


class Boxes(ObjectFinder):
    """Find what a box holds, and 5x5 pixels at a click; a box at the left edge holds nothing."""

    def find(self, frame: NDArray[np.uint8], prompt: Prompt, current: Mask | None = None) -> Mask:
        found = np.zeros(frame.shape[:2], np.uint8) if current is None else current.copy()
        for x, y, width, height in prompt.boxes_xywh:
            if not x:
                raise PromptError("Nothing was found", "a box around an object")
            found[y : y + height, x : x + width] = 1
        for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
            found[y - 2 : y + 3, x - 2 : x + 3] = sign
        return found


class Held:
    """Make a change, but not before it is let go."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, draft: PromptDraft) -> PromptDraft:
        self.reached.set()
        assert self.open.wait(WAIT_S)
        return self._change(draft)


def _box(x: int) -> Change:
    return lambda draft: draft.with_box((x, 10, 20, 20))


def _area(draft: PromptDraft | None) -> int:
    assert draft is not None
    return int(np.count_nonzero(draft.mask))


@pytest.fixture
def seen() -> tuple[Frame, FrameResult]:
    """A frame in which nothing is followed."""
    result = FrameResult(np.zeros(SIZE, np.uint8), np.zeros((5, 15, 20), np.float32), (), {}, 0)
    return Frame(np.full((*SIZE, 3), 90, np.uint8), 0, 0.0, 0.0, 0.0), result


@pytest.fixture
def start(seen: tuple[Frame, FrameResult]) -> PromptDraft:
    return PromptDraft.begin(*seen, 1, Boxes())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def drafting(said: list[str]) -> Drafting:
    return Drafting(said.append)


def test_a_preview_is_shown_and_left_again(drafting: Drafting, start: PromptDraft) -> None:
    drafting.begin(start)
    drafting.preview(_box(10))
    assert drafting.settle(WAIT_S)
    assert _area(drafting.draft) == 400
    assert drafting.begun is start
    assert drafting.take() is None  # it is no step yet
    drafting.stop_preview()
    assert drafting.draft is None
    assert drafting.begun is None


def test_a_preview_goes_on_from_the_steps_and_a_change_takes_its_place(
    drafting: Drafting, start: PromptDraft, said: list[str]
) -> None:
    drafting.begin(start)
    drafting.change(_box(10))
    drafting.preview(lambda draft: draft.with_stroke(Stroke(((60, 50),), 0)))
    assert drafting.settle(WAIT_S)
    assert _area(drafting.draft) == 401
    drafting.stop_preview()
    assert _area(drafting.draft) == 400
    drafting.preview(lambda draft: draft.with_stroke(Stroke(((60, 50),), 0)))
    drafting.change(lambda draft: draft.with_click((70, 50), 1))
    assert drafting.settle(WAIT_S)
    assert _area(drafting.draft) == 425
    assert said == ["", ""]
    assert drafting.undo()
    assert _area(drafting.draft) == 400
    assert drafting.undo()
    assert not drafting.undo()


def test_a_preview_that_comes_after_the_mouse_is_up_is_not_shown(
    drafting: Drafting, start: PromptDraft
) -> None:
    drafting.begin(start)
    held = Held(_box(10))
    drafting.preview(held)
    assert held.reached.wait(WAIT_S)
    drafting.stop_preview()
    held.open.set()
    assert drafting.settle(WAIT_S)
    assert drafting.draft is None


@pytest.mark.parametrize("again", [False, True])
def test_what_is_found_for_a_draft_that_was_left_is_dropped(
    drafting: Drafting, start: PromptDraft, said: list[str], again: bool
) -> None:
    drafting.begin(start)
    held = Held(_box(10))
    drafting.change(held)
    drafting.change(_box(30))
    assert held.reached.wait(WAIT_S)
    drafting.cancel()
    if again:
        drafting.begin(start.with_click((40, 40), 1))
    held.open.set()
    assert drafting.settle(WAIT_S)
    assert drafting.draft is None
    assert drafting.take() is None
    assert said == []


def test_a_change_that_fails_is_told_and_a_preview_that_fails_is_not(
    drafting: Drafting, start: PromptDraft, said: list[str]
) -> None:
    drafting.begin(start)
    drafting.preview(_box(0))
    assert drafting.settle(WAIT_S)
    assert said == []
    drafting.change(_box(10))
    drafting.change(_box(0))
    assert drafting.settle(WAIT_S)
    assert said == ["", str(PromptError("Nothing was found", "a box around an object"))]
    assert _area(drafting.draft) == 400


def test_without_a_draft_nothing_is_changed_or_shown(drafting: Drafting) -> None:
    def fail(draft: PromptDraft) -> PromptDraft:
        raise AssertionError("there is nothing to change")

    drafting.change(fail)
    drafting.preview(fail)
    assert drafting.settle(WAIT_S)
    assert drafting.draft is None


def test_what_waits_for_masks_is_done_after_them(drafting: Drafting, start: PromptDraft) -> None:
    order: list[str] = []
    drafting.when_found(lambda: order.append("at once"))
    drafting.begin(start)
    held = Held(_box(10))
    drafting.change(held)
    assert held.reached.wait(WAIT_S)
    drafting.when_found(lambda: order.append(f"{_area(drafting.draft)} pixels"))
    assert order == ["at once"]
    held.open.set()
    assert drafting.settle(WAIT_S)
    assert order == ["at once", "400 pixels"]
    drafting.when_found(lambda: order.append("nothing is found now"))
    assert order[2:] == ["nothing is found now"]


def test_frames_that_go_by_are_taken_with_the_draft(
    drafting: Drafting, start: PromptDraft, seen: tuple[Frame, FrameResult]
) -> None:
    later = Frame(np.full((*SIZE, 3), 120, np.uint8), 1, 0.1, 0.0, 0.0)
    drafting.pass_by(later)  # before it begins
    drafting.begin(start)
    drafting.change(_box(10))
    drafting.pass_by(later)
    assert drafting.settle(WAIT_S)
    taken = drafting.take()
    assert taken is not None
    draft, history = taken
    assert draft.frame is seen[0]
    assert (history.first.index, history.newest.index) == (0, 1)
    assert [int(image[0, 0, 0]) for image in history.after_first()] == [120]
    assert drafting.draft is None


@pytest.fixture
def interaction(seen: tuple[Frame, FrameResult], tmp_path: Path) -> Interaction:
    made = Interaction(Controls(objects=2), tmp_path)
    made.controls.finder = Boxes()
    made.see(*seen)
    return made


def test_a_dragged_box_is_previewed_and_followed_only_when_it_is_given(
    interaction: Interaction,
) -> None:
    interaction.drag((10, 10, 20, 20))
    assert interaction.settle(WAIT_S)
    assert _area(interaction.draft) == 400
    interaction.drag((10, 10, 30, 20))
    assert interaction.settle(WAIT_S)
    assert _area(interaction.draft) == 600
    interaction.accept()
    assert (interaction.living, interaction.controls.requests.empty()) == ((), True)
    interaction.drag(None)
    assert interaction.draft is None
    interaction.box((10, 10, 30, 20))
    interaction.accept()
    assert interaction.settle(WAIT_S)
    assert interaction.living == (1,)
    assert not interaction.controls.requests.empty()


def test_a_stroke_is_previewed_and_painted(interaction: Interaction) -> None:
    stroke = Stroke(((30, 30), (50, 30)), 3)
    interaction.drag(stroke)
    assert interaction.settle(WAIT_S)
    previewed = _area(interaction.draft)
    assert previewed > 20 * 7
    interaction.drag(None)
    interaction.paint(stroke)
    assert interaction.settle(WAIT_S)
    assert _area(interaction.draft) == previewed
    interaction.paint(Stroke(((50, 30),), 3, positive=False))
    assert interaction.settle(WAIT_S)
    assert 0 < _area(interaction.draft) < previewed
    interaction.undo()
    assert interaction.settle(WAIT_S)
    assert _area(interaction.draft) == previewed


def test_a_stroke_outside_the_picture_or_beside_any_object_is_told(
    interaction: Interaction,
) -> None:
    interaction.paint(Stroke(((300, 30),), 3))
    assert "300" in interaction.controls.message
    interaction.controls.say("")
    interaction.drag(Stroke(((30, 30),), 3, positive=False))
    assert "Give a point on the object first" in interaction.controls.message
    interaction.controls.say("")
    interaction.paint(Stroke(((30, 30),), 3, positive=False))
    assert "Give a point on the object first" in interaction.controls.message
    assert interaction.draft is None


def test_a_snapshot_shows_the_draft_and_without_a_picture_there_is_none(
    interaction: Interaction, tmp_path: Path
) -> None:
    interaction.box((10, 10, 30, 20))
    assert interaction.settle(WAIT_S)
    interaction.snapshot()
    path = tmp_path / "edge-vos-000.png"
    assert interaction.controls.message == f"saved {path}"
    assert interaction.draft is not None
    assert np.array_equal(cv2.imread(str(path)), interaction.draft.picture)
    Interaction(Controls(objects=2), tmp_path).snapshot()
    assert [file.name for file in tmp_path.iterdir()] == ["edge-vos-000.png"]


def test_before_the_first_frame_nothing_is_drawn_or_accepted() -> None:
    interaction = Interaction(Controls(objects=2))
    interaction.click((10, 10))
    interaction.drag((10, 10, 20, 20))
    interaction.accept()
    assert interaction.settle(WAIT_S)
    assert (interaction.draft, interaction.living) == (None, ())
    interaction.drop_under((10, 10))
    assert interaction.controls.message == "There is no object under the pointer"
    assert interaction.controls.requests.empty()
