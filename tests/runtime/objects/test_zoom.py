"""The view follows the objects."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import shipped_bundle_path
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.objects.view import Box, View
from edge_vos.runtime.objects.zoom import FILL, GROW, SHRINK, SMALLEST, Zoom
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.opening import open_source

FRAME, IMAGE = (720, 1280), (360, 640)
WHOLE = View.whole(FRAME)


def seen(*boxes: Box) -> list[ObjectState]:
    return [ObjectState(i, 1, box, 0.9, lost=False) for i, box in enumerate(boxes, start=1)]


@pytest.fixture
def zoom() -> Zoom:
    return Zoom(IMAGE)


def shown(zoom: Zoom, box: Box) -> View:
    """Show an object in a first frame and find it there."""
    view = zoom.view(FRAME, [box], anew=True)
    zoom.update(view, seen(box), FRAME)
    return view


def test_the_first_view_is_filled_by_what_was_shown(zoom: Zoom) -> None:
    view = shown(zoom, (500, 300, 100, 210))
    assert view.size == pytest.approx((210 / FILL, 210 / FILL * 16 / 9), abs=1)
    assert (view.left + view.right) / 2 == pytest.approx(550, abs=1)
    assert (view.top + view.bottom) / 2 == pytest.approx(405, abs=1)


def test_it_is_not_enlarged_to_blur(zoom: Zoom) -> None:
    assert shown(zoom, (500, 300, 4, 4)).size[0] == SMALLEST * IMAGE[0]


@pytest.mark.parametrize("box", [(0, 0, 1280, 100), (0, 0, 100, 720), (10, 10, 1000, 600)])
def test_what_is_large_is_looked_at_in_the_whole_frame(zoom: Zoom, box: Box) -> None:
    assert shown(zoom, box) == WHOLE


def test_it_moves_on_as_the_object_did(zoom: Zoom) -> None:
    shown(zoom, (500, 300, 100, 210))
    lefts = []
    for step in range(1, 20):
        view = zoom.view(FRAME)
        lefts.append(view.left - 10 * step)
        zoom.update(view, seen((500 + 10 * step, 300, 100, 210)), FRAME)
    assert lefts[-1] == pytest.approx(lefts[-5], abs=1)  # at the object's own speed
    assert lefts[-1] - (550 - 267) == pytest.approx(0, abs=2)  # and around it, not behind


def test_its_size_changes_slowly(zoom: Zoom) -> None:
    before = shown(zoom, (500, 300, 100, 210)).size[0]
    zoom.update(zoom.view(FRAME), seen((400, 200, 400, 400)), FRAME)
    larger = zoom.view(FRAME).size[0]
    assert larger == pytest.approx(before * GROW, abs=1)
    zoom.update(zoom.view(FRAME), seen((500, 300, 20, 20)), FRAME)
    assert zoom.view(FRAME).size[0] == pytest.approx(larger * SHRINK, abs=1)


def test_what_the_view_cuts_makes_it_larger(zoom: Zoom) -> None:
    view = shown(zoom, (500, 300, 100, 210))
    zoom.update(view, seen((view.left, 300, 100, 210)), FRAME)
    assert zoom.view(FRAME).size[0] == pytest.approx(view.size[0] * GROW, abs=1)


def test_the_whole_frame_is_searched_while_an_object_is_lost(zoom: Zoom) -> None:
    shown(zoom, (500, 300, 100, 210))
    gone = ObjectState(2, 0, (0, 0, 0, 0), 0.0, lost=True)
    zoom.update(zoom.view(FRAME), [*seen((500, 300, 100, 210)), gone], FRAME)
    assert zoom.view(FRAME) == WHOLE
    for _ in range(100):
        zoom.update(zoom.view(FRAME), seen((500, 300, 100, 210)), FRAME)
    assert zoom.view(FRAME).size[0] == pytest.approx(300, abs=1)


def test_all_objects_are_in_it(zoom: Zoom) -> None:
    shown(zoom, (500, 300, 100, 100))
    view = zoom.view(FRAME, [(700, 320, 60, 60)])
    assert view.left < 500
    assert view.right > 760
    assert view != WHOLE
    zoom.update(view, seen((500, 300, 100, 100), (700, 320, 60, 60)), FRAME)
    assert zoom.view(FRAME).size == view.size


def test_what_is_shown_far_away_is_looked_at_from_then_on(zoom: Zoom) -> None:
    shown(zoom, (100, 100, 60, 60))
    far = (1100, 600, 60, 60)
    view = zoom.view(FRAME, [far], anew=True)
    zoom.update(view, seen(far), FRAME, shown=True)
    assert zoom.view(FRAME) == view


def test_when_one_of_two_is_dropped_the_other_one_is_looked_at(zoom: Zoom) -> None:
    boxes = (100, 100, 60, 60), (700, 400, 60, 60)
    zoom.update(zoom.view(FRAME, boxes, anew=True), seen(*boxes), FRAME, shown=True)
    zoom.update(zoom.view(FRAME), seen(*boxes)[1:], FRAME)
    view = zoom.view(FRAME)
    assert view != WHOLE
    assert (view.left + view.right) / 2 == pytest.approx(730, abs=1)
    assert (view.top + view.bottom) / 2 == pytest.approx(430, abs=1)


def test_frames_of_another_size_are_looked_at_whole(zoom: Zoom) -> None:
    shown(zoom, (500, 300, 100, 210))
    assert zoom.view((480, 640)) == View.whole((480, 640))


def test_an_upright_frame_is_looked_at_in_parts_that_fill_the_image(zoom: Zoom) -> None:
    view = zoom.view((1280, 720), [(300, 600, 100, 210)], anew=True)
    assert view.size == pytest.approx((300, 533), abs=1)


def _frame(x: int, y: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image = np.full((288, 432, 3), 40, np.uint8)
    mask = np.zeros(image.shape[:2], np.uint8)
    for picture, colour in ((image, (40, 200, 240)), (mask, 1)):
        cv2.rectangle(picture, (x, y), (x + 23, y + 23), colour, -1)
    return image, mask


def test_a_small_object_is_followed_across_a_large_frame(tiny_model: LoadedModel) -> None:
    close, far = Segmenter(tiny_model), Segmenter(tiny_model, zoom=False)
    overlaps = []
    for step in range(30):
        frame, truth = _frame(20 + 12 * step, 30 + 6 * step)
        if not step:
            close.prompt(truth)
            far.prompt(truth)
        results = close.step(frame), far.step(frame)
        overlaps.append([jaccard(result.mask == 1, truth == 1) for result in results])
        assert results[0].view != View.whole(frame.shape[:2])
        assert results[1].view == View.whole(frame.shape[:2])
        left, top, width, height = results[0].objects[0].box_xywh
        assert (left, top) == pytest.approx((20 + 12 * step, 30 + 6 * step), abs=6)
        assert (width, height) == pytest.approx((24, 24), abs=10)
    ours, theirs = np.mean(overlaps, axis=0)
    assert ours > 0.9
    assert ours > theirs


def test_what_was_hidden_is_found_again() -> None:
    """Something passes in front of it three times, each for 30 frames."""
    segmenter = Segmenter(open_bundle(shipped_bundle_path("fast"), threads=1))
    overlaps = []
    with open_source("synthetic://?objects=1&frames=360&seed=3&occlude=30") as source:
        for frame in source:
            assert frame.truth is not None
            if not frame.index:
                segmenter.prompt(frame.truth)
            result = segmenter.step(frame)
            if (frame.truth == 1).any():
                overlaps.append(jaccard(result.mask == 1, frame.truth == 1))
    assert np.mean(overlaps) > 0.8


def test_undo_goes_back_to_the_view_of_before(tiny_model: LoadedModel) -> None:
    segmenter = Segmenter(tiny_model)
    frame, truth = _frame(100, 100)
    segmenter.prompt(truth)
    segmenter.step(frame)
    before = segmenter.step(frame).view
    segmenter.prompt(2 * _frame(360, 240)[1])
    assert segmenter.step(frame).view != before
    segmenter.undo()
    assert segmenter.step(frame).view == before


def test_a_view_may_be_given(tiny_model: LoadedModel) -> None:
    segmenter = Segmenter(tiny_model)
    frame, truth = _frame(100, 100)
    segmenter.prompt(truth)
    view = View(90, 154, 80, 176)
    result = segmenter.step(frame, view)
    assert result.view == view
    assert not view.of(truth).all()
    np.testing.assert_array_equal(view.placed(view.of(result.mask), truth.shape), result.mask)
