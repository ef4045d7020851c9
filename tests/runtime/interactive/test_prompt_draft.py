"""Strokes of a brush, by themselves and with clicks before and after them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.interactive.prompt_draft import PromptDraft, Stroke
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.sources.frame import Frame

SIZE = (60, 80)
Mask = NDArray[np.uint8]


class Spots(ObjectFinder):
    """Keep the mask so far, and add or take away 5x5 pixels at the last click."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Prompt] = []

    def find(self, frame: NDArray[np.uint8], prompt: Prompt, current: Mask | None = None) -> Mask:
        self.asked.append(prompt)
        found = np.zeros(frame.shape[:2], np.uint8) if current is None else current.copy()
        for x, y, width, height in prompt.boxes_xywh:
            found[y : y + height, x : x + width] = 1
        for (x, y), sign in list(zip(prompt.points, prompt.signs, strict=True))[-1:]:
            found[y - 2 : y + 3, x - 2 : x + 3] = sign
        return found


@pytest.fixture
def finder() -> Spots:
    return Spots()


@pytest.fixture
def draft(finder: Spots) -> PromptDraft:
    """A draft for object 2, of which a square was found, beside object 1."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:14, 4:14], mask[20:40, 20:40] = 1, 2
    frame = Frame(np.full((*SIZE, 3), 90, np.uint8), 3, 0.1, 0.0, 0.0)
    result = FrameResult(mask, np.zeros((5, 15, 20), np.float32), (), {}, 3)
    return PromptDraft.begin(frame, result, 2, finder)


def test_a_dot_is_a_disc_and_a_line_is_as_wide_as_the_brush() -> None:
    dot = Stroke(((30, 20),), 5).paint(np.zeros(SIZE, np.uint8))
    assert abs(int(dot.sum()) - np.pi * 5.5**2) < 20
    assert (dot[20, 25], dot[20, 36], dot[15, 30]) == (1, 0, 1)
    line = Stroke(((10, 30), (60, 30)), 3).paint(np.zeros(SIZE, np.uint8))
    across, along = np.flatnonzero(line[:, 35]), np.flatnonzero(line[30])
    assert abs(across[0] - 27) <= 1  # OpenCV draws thick lines a pixel wider
    assert abs(across[-1] - 33) <= 1
    assert abs(along[0] - 7) <= 1
    assert abs(along[-1] - 63) <= 1
    assert line[across[0] : across[-1] + 1, 35].all()
    assert line[30, along[0] : along[-1] + 1].all()


def test_a_stroke_adds_to_the_object_and_its_mask_stays_below_later_clicks(
    draft: PromptDraft, finder: Spots
) -> None:
    before = draft.mask.copy()
    painted = draft.with_stroke(Stroke(((30, 30), (60, 30)), 2))
    assert finder.asked == []
    assert np.array_equal(draft.mask, before)
    assert painted.mask[30, 60] == 1
    assert (painted.mask[before > 0] == 1).all()
    assert painted.prompt is not None
    assert painted.prompt.mask is not None
    assert np.array_equal(painted.prompt.mask, painted.mask)
    assert (painted.picture[30, 55] != draft.frame.image[30, 55]).any()
    clicked = painted.with_click((70, 50), 1)
    assert clicked.mask[50, 70] == clicked.mask[30, 60] == 1
    assert finder.asked[-1].points == ((70, 50),)
    assert finder.asked[-1].mask is not None
    assert np.array_equal(finder.asked[-1].mask, painted.mask)
    again = clicked.with_click((30, 30), 0)
    assert finder.asked[-1].mask is not None
    assert np.array_equal(finder.asked[-1].mask, clicked.mask)
    assert (finder.asked[-1].points, finder.asked[-1].signs) == (((70, 50), (30, 30)), (1, 0))
    assert again.mask[30, 30] == 0


def test_a_stroke_keeps_the_clicks_before_it(draft: PromptDraft) -> None:
    clicked = draft.with_click((60, 20), 1).with_click((25, 25), 0)
    taken = clicked.with_stroke(Stroke(((60, 20),), 4, positive=False))
    assert taken.prompt is not None
    assert (taken.prompt.points, taken.prompt.signs) == (((60, 20), (25, 25)), (1, 0))
    assert taken.mask[20, 60] == 0
    assert taken.mask[30, 30] == 1


def test_a_stroke_over_a_box_is_a_mask_and_no_box(draft: PromptDraft) -> None:
    boxed = draft.with_box((44, 10, 20, 20))
    painted = boxed.with_stroke(Stroke(((50, 40),), 3))
    assert painted.prompt is not None
    assert painted.prompt.boxes_xywh == ()
    assert painted.mask[15, 50] == painted.mask[40, 50] == 1
    assert painted.mask[30, 30] == 0  # the box began anew


def test_painting_all_of_the_object_away_is_refused(draft: PromptDraft) -> None:
    with pytest.raises(PromptError, match=r"Nothing .* is left.*Drop the object instead"):
        draft.with_stroke(Stroke(((30, 30),), 40, positive=False))
