"""What of a picture is the object that is shown: a whole thing, a part, what was pasted on it."""

import cv2
import numpy as np
import pytest

from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.prompts.samples import add_clicks, make_prompts
from edge_vos.errors import TrainingError
from edge_vos.runtime.prompts.prompt_head import BESIDE, BOX, MASK, ON

SIZE = (96, 144)


def _still(*boxes: tuple[int, int, int, int]) -> Still:
    """Draw a photograph of rectangles, each a part: left, top, width, height."""
    frame = np.random.default_rng(0).integers(0, 60, (120, 180, 3)).astype(np.uint8)
    labels = np.zeros((120, 180), np.uint8)
    for part, (left, top, width, height) in enumerate(boxes, start=1):
        labels[top : top + height, left : left + width] = part
        frame[labels == part] = (40 * part, 255 - 30 * part, 200)
    return Still(frame, labels, tuple(range(1, len(boxes) + 1)))


def _components(truth: np.ndarray) -> int:
    return cv2.connectedComponents((truth > 0.5).astype(np.uint8))[0] - 1


def test_of_parts_that_touch_the_object_is_all_or_one() -> None:
    """The upper part is 30 of 90 lines, so that shares of the box tell which it was."""
    footage = Footage([], [_still((60, 10, 60, 30), (60, 40, 60, 60))])
    batch = make_prompts(footage, SIZE, 60, 0, 0)
    heights, widths = (np.count_nonzero((batch.truth > 0.5).any(axis=a), axis=1) for a in (2, 1))
    ratios = heights / widths
    assert (np.abs(ratios[:, None] - [0.5, 1.0, 1.5]).min(axis=1) < 0.45).all()
    kinds = {int(np.abs(ratio - np.array([0.5, 1.0, 1.5])).argmin()) for ratio in ratios}
    assert kinds == {0, 1, 2}


def test_of_things_that_lie_apart_the_object_is_one() -> None:
    footage = Footage([], [_still((20, 20, 40, 40), (110, 50, 40, 40))])
    batch = make_prompts(footage, SIZE, 40, 0, 0)
    assert [_components(truth) for truth in batch.truth] == [1] * 40


def test_many_parts_are_taken_for_one_thing_mostly() -> None:
    boxes = [(50, 10 + 16 * row, 80, 16) for row in range(6)]
    batch = make_prompts(Footage([], [_still(*boxes)]), SIZE, 60, 0, 0)
    heights, widths = (np.count_nonzero((batch.truth > 0.5).any(axis=a), axis=1) for a in (2, 1))
    assert np.median(heights / widths) > 0.9  # one part alone is five times as wide as high
    assert (heights / widths).min() < 0.5


def test_frames_of_a_video_in_which_the_object_is_gone_are_left_out() -> None:
    still = _still((60, 30, 50, 50))
    gone = np.zeros_like(still.labels)
    video = Video("seldom", [still.frame] * 6, [gone, still.labels, gone] * 2)
    batch = make_prompts(Footage([video], []), SIZE, 12, 0, 0)
    assert (batch.truth.max(axis=(1, 2)) > 0.9).all()
    assert batch.prompts[:, [ON, BESIDE, BOX, MASK]].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_object_that_is_covered_hands_over_to_what_covers_it(seed: int) -> None:
    """Things that are pasted over it are objects too: some sample is of another size."""
    small, large = _still((80, 50, 16, 16)), _still((30, 20, 120, 80))
    footage = Footage([], [small, large])
    batch = make_prompts(footage, SIZE, 80, seed, 0)
    assert batch.truth.shape == (80, SIZE[0] // 4, SIZE[1] // 4)
    assert (np.count_nonzero(batch.truth > 0.5, axis=(1, 2)) >= 6).all()
    shown = batch.prompts[:, [ON, BOX]].max(axis=1) * batch.truth
    on_it = shown.any(axis=(1, 2)) | batch.prompts[:, [BESIDE, MASK]].any(axis=(1, 2, 3))
    assert on_it.all()


def test_footage_whose_masks_are_all_empty_is_refused() -> None:
    still = _still((60, 30, 50, 50))
    empty = np.zeros_like(still.labels)
    video = Video("empty", [still.frame] * 2, [empty, empty])
    with pytest.raises(TrainingError, match="no object large enough"):
        make_prompts(Footage([video], []), SIZE, 1, 0, 0)


def test_looks_without_a_click_get_the_mask_as_found_or_as_from_further_away() -> None:
    found = np.zeros((200, 24, 36), np.float32)
    found[:, 6:18, 8:28] = 0.9
    found[:, 2, 2] = 0.9  # one cell, which is not seen from far away
    prompts = np.zeros((200, 4, 24, 36), np.float32)
    add_clicks(prompts, np.zeros_like(found), found, np.random.default_rng(0))
    clicked = prompts[:, [ON, BESIDE]].any(axis=(1, 2, 3))
    looks = prompts[~clicked, MASK]
    same = (looks == found[0]).all(axis=(1, 2))
    assert 0.2 < len(looks) / 200 < 0.4
    assert 0.2 < same.mean() < 0.6
    assert set(np.unique(looks[~same])) == {0.0, 1.0}
    assert (looks[~same, 12, 18] == 1).all()
    assert 0 < looks[~same, 2, 2].mean() < 1
