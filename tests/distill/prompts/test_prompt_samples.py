"""What of a picture is the object that is shown: a whole thing, a part, what was pasted on it."""

import cv2
import numpy as np
import pytest

from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.prompts import samples
from edge_vos.distill.prompts.samples import _earlier_clicks, add_clicks, make_prompts
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


def test_of_parts_that_touch_the_object_is_all_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upper part is 30 of 90 lines, so that shares of the box tell which it was."""
    monkeypatch.setattr(samples, "_PART_VIEW_SHARE", 0.0)
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


def test_parts_of_an_object_are_looked_at_with_a_mask_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples, "_PART_VIEW_SHARE", 1.0)
    monkeypatch.setattr(samples, "_PASTE_SHARE", 0.0)
    batch = make_prompts(Footage([], [_still((30, 20, 120, 80))]), (64, 64), 60, 0, 0)
    share = (batch.truth > 0.5).mean(axis=(1, 2))
    assert ((share > 0) & (share < 1)).mean() > 0.9  # the outline is seen
    assert np.median(share) < 0.8
    assert not batch.prompts[:, BOX].any()
    wrong = (batch.prompts[:, MASK] > 0.5) != (batch.truth > 0.5)
    assert wrong.any(axis=(1, 2)).mean() > 0.8


def test_clicks_made_before_lie_where_the_mask_is_right() -> None:
    truth = np.zeros((24, 36), np.uint8)
    truth[6:18, 8:28] = 1
    found = truth.copy()
    found[6:18, 20:28] = 0
    counts = []
    for seed in range(40):
        maps = np.zeros((4, 24, 36), np.float32)
        _earlier_clicks(maps, truth, found, np.random.default_rng(seed))
        on, beside = (maps[channel] == 1 for channel in (ON, BESIDE))
        assert (truth[on] & found[on]).all()
        assert not (truth[beside] | found[beside]).any()
        counts.append(np.count_nonzero(on | beside))
    assert min(counts) == 0
    assert 8 < max(counts) <= 12


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
