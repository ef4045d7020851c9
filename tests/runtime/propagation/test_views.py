"""Views that are planned for a stretch whose objects are known."""

import numpy as np

from edge_vos.runtime.objects.view import Box, View
from edge_vos.runtime.propagation.views import FILL, plan_views

FRAME, IMAGE = (720, 1280), (360, 640)


def test_views_go_with_the_objects_smoothly() -> None:
    noise = np.random.default_rng(0).normal(0, 4, 60)
    boxes: list[Box | None] = [(100 + 10 * i + round(noise[i]), 200, 120, 270) for i in range(60)]
    views = plan_views(boxes, FRAME, IMAGE)
    assert {view.size for view in views} == {(round(270 / FILL), round(270 / FILL * 16 / 9))}
    middles = np.array([(view.left + view.right) / 2 for view in views])
    moving = middles > middles.min()  # not where the frame ends
    moving[-3:] = False
    np.testing.assert_allclose(middles[moving], 160 + 10 * np.flatnonzero(moving), atol=6)
    assert np.abs(np.diff(middles[moving]) - 10).max() < 5  # the noise between two is up to 15


def test_they_make_room_before_it_is_needed() -> None:
    boxes: list[Box | None] = [(600, 300, 80, 100 if i < 30 else 400) for i in range(60)]
    heights = [view.size[0] for view in plan_views(boxes, FRAME, IMAGE)]
    assert heights[30] > 0.9 * 400 / FILL
    assert heights[0] == 216
    assert np.abs(np.diff(heights)).max() < 40


def test_the_whole_frame_is_searched_where_one_is_not_seen() -> None:
    boxes: list[Box | None] = [(600, 300, 80, 100)] * 60
    boxes[30] = None
    views = plan_views(boxes, FRAME, IMAGE)
    assert views[30] == View.whole(FRAME)
    assert views[0].size[0] == 216


def test_one_frame_is_enough() -> None:
    (view,) = plan_views([(600, 300, 80, 270)], FRAME, IMAGE)
    assert view.size == (300, 533)
