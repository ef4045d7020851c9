"""Clicks and boxes as a person who knows the answer would give them, and what they measure."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import PromptError, UsageError
from edge_vos.evaluate.clicks import box_of, next_click
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.prompts import (
    FirstMasks,
    PromptedSegmenter,
    parse_prompt,
    prompted_mask,
    score_prompts,
)
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.segmenter import Segmenter

Mask = NDArray[np.uint8]


def _square(top: int, left: int, side: int) -> Mask:
    mask = np.zeros((40, 60), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


class Growing(ObjectFinder):
    """Find a little more of what was clicked each time: the box's inside, or a square."""

    def find(self, frame: NDArray[np.uint8], prompt: Prompt, current: Mask | None = None) -> Mask:
        found = np.zeros(frame.shape[:2], np.uint8) if current is None else current.copy()
        for x, y, width, height in prompt.boxes_xywh:
            found[y : y + height, x : x + width] = 1
        for (x, y), label in zip(prompt.points, prompt.signs, strict=True):
            found[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = label
        return found


class Blind(ObjectFinder):
    """Find nothing."""

    def find(self, frame: NDArray[np.uint8], prompt: Prompt, current: Mask | None = None) -> Mask:
        raise PromptError("Nothing was found", "an object")


def test_the_first_click_falls_into_the_middle_of_the_object() -> None:
    assert next_click(_square(10, 20, 11), np.zeros((40, 60), np.uint8)) == ((25, 15), 1)


def test_the_larger_error_is_clicked() -> None:
    truth, found = _square(10, 10, 20), _square(10, 10, 20)
    found[10:13, 10:13] = 0
    found[5:16, 40:51] = 1
    assert next_click(truth, found) == ((45, 10), 0)


def test_nothing_is_clicked_where_nothing_is_wrong() -> None:
    assert next_click(_square(3, 3, 9), _square(3, 3, 9)) is None


def test_a_random_click_lies_in_the_error() -> None:
    truth, rng = _square(10, 20, 15), np.random.default_rng(0)
    clicks = {next_click(truth, np.zeros_like(truth), rng) for _ in range(30)}
    assert len(clicks) > 5
    assert all(click is not None and truth[click[0][1], click[0][0]] for click in clicks)


def test_a_loose_box_holds_most_of_the_object_and_stays_in_the_picture() -> None:
    mask, rng = _square(25, 45, 15), np.random.default_rng(0)
    assert box_of(mask) == (45, 25, 15, 15)
    boxes = {box_of(mask, 0.15, rng) for _ in range(30)}
    assert len(boxes) > 5
    for left, top, width, height in boxes:
        assert 42 <= left <= 46
        assert 22 <= top <= 26
        assert 59 <= left + width <= 60
        assert 39 <= top + height <= 40


@pytest.mark.parametrize(("text", "clicks"), [("box", 0), ("click", 1), ("clicks:3", 3)])
def test_prompts_are_named(text: str, clicks: int) -> None:
    assert parse_prompt(text) == clicks


@pytest.mark.parametrize("text", ["", "boxes", "clicks", "clicks:0", "clicks:x", "clicks:21"])
def test_other_prompts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="box, click or clicks:N"):
        parse_prompt(text)


def test_clicks_go_on_from_the_mask_that_is_there() -> None:
    truth, frame = _square(8, 20, 25), np.zeros((40, 60, 3), np.uint8)
    covered = [prompted_mask(Growing(), frame, truth, count).sum() for count in (1, 2, 5)]
    assert covered[0] < covered[1] < covered[2]
    assert np.array_equal(prompted_mask(Growing(), frame, truth, 0), truth)


def test_every_nth_frame_is_tried(make_davis: object) -> None:
    root: Path = make_davis({"swing": 5, "bus": 3})  # type: ignore[operator]
    found = read_davis(root)
    scores = score_prompts(found, Growing(), step=2)
    assert scores.frames == sum(-(-len(sequence) // 2) for sequence in found.sequences)
    assert 50 < scores.box <= 100
    assert scores.after[1] <= scores.after[3] + 1e-9
    assert 1 <= scores.clicks85 <= scores.clicks90 <= 20


class Following:
    """Stand for a segmenter that returns what it was given."""

    def __init__(self, finder: ObjectFinder) -> None:
        self.finder = finder

    def prompt(self, mask: Mask) -> None:
        self.mask = mask

    def step(self, frame: NDArray[np.uint8]) -> "Following":
        return self


@pytest.mark.parametrize(("finder", "j"), [(Growing(), 1.0), (Blind(), 0.0)])
def test_objects_are_followed_from_the_masks_that_prompts_give(
    finder: ObjectFinder, j: float
) -> None:
    truth = np.where(_square(2, 2, 9), 1, np.where(_square(20, 30, 9), 2, 0)).astype(np.uint8)
    scores: list[float] = []
    follower = PromptedSegmenter(Following(finder), 0, scores)  # type: ignore[arg-type]
    follower.prompt(truth)
    result = follower.step(np.zeros((40, 60, 3), np.uint8))
    assert scores == [j, j]
    assert set(np.unique(result.mask)) == {0, 1, 2}
    assert np.array_equal(result.mask, truth) == (j == 1.0)


def test_nothing_found_counts_as_nothing(make_davis: object) -> None:
    root: Path = make_davis({"swing": 5})  # type: ignore[operator]
    scores = score_prompts(read_davis(root), Blind(), step=2)
    assert (scores.box, scores.after[5], scores.clicks85) == (0.0, 0.0, 20.0)


def test_first_masks_are_measured_while_a_model_follows_them(
    make_davis: object, tiny_model: LoadedModel
) -> None:
    root: Path = make_davis({"swing": 5})  # type: ignore[operator]
    found = read_davis(root)
    first = FirstMasks("click", 1)
    assert (first.first_j, first.lines()) == (0.0, ["first masks from click: mean J 0.0"])
    assert first.as_dict() == {"prompt": "click", "first_j": 0.0, "frames": None}
    frame, truth = found.sequences[0].read(0)
    assert truth is not None
    truth = (truth > 0).astype(np.uint8)
    follower = first.start(tiny_model)
    follower.prompt(truth)
    result = follower.step(frame)
    shown = prompted_mask(Segmenter(tiny_model).finder, frame, truth, 1)
    overlap = (shown & truth).sum() / (shown | truth).sum()
    assert first.first_j == pytest.approx(100 * overlap)
    assert first.first_j > 50
    assert [state.id for state in result.objects] == [1]
    assert follower.step(frame).frame_index == 1
    assert len(first.lines()) == 1


def test_single_frames_are_tried_beside_and_told_in_two_lines(
    make_davis: object, tiny_model: LoadedModel
) -> None:
    root: Path = make_davis({"swing": 5}, frames=2)  # type: ignore[operator]
    first = FirstMasks("box", 0)
    first.try_frames(read_davis(root), tiny_model)
    document = first.as_dict()
    assert document["prompt"] == "box"
    frames = document["frames"]
    assert frames["frames"] == 1
    assert frames["box"] > 90
    assert set(frames["after"]) == {1, 2, 3, 5}
    lines = first.lines()
    assert lines[0] == "first masks from box: mean J 0.0"
    assert lines[1].startswith(f"one frame in 10 (1 masks): J from a box {frames['box']:.1f}, ")
    assert f"1: {frames['after'][1]:.1f}, 2: " in lines[1]
    to85, to90 = frames["clicks85"], frames["clicks90"]
    assert lines[2] == f"clicks to J 85: {to85:.2f}, to 90: {to90:.2f}"
