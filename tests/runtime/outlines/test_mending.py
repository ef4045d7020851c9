"""Outlines are learnt from given masks, and applied to those objects alone."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.outlines import learning, outline
from edge_vos.runtime.outlines.learning import MADE_FRAMES, make_frames
from edge_vos.runtime.outlines.mending import mend
from edge_vos.runtime.outlines.seen import Seen
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult, Segmenter

Picture = NDArray[np.uint8]
Scene = Callable[..., tuple[Picture, Picture]]
SIZE = (128, 192)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_STEPS", 100)


def _look(image: Picture, view: View) -> Seen:
    nothing = np.zeros((2, 16, 24), np.float32)
    letterbox = Letterbox.fit(view.size, (64, 96))
    return Seen(view, letterbox, nothing, nothing, np.zeros(view.size, np.uint8))


def test_made_frames_move_the_object_and_sometimes_what_is_behind_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    frame, mask = scene((64, 32), side=40)
    frame = np.where(mask[..., np.newaxis] > 0, frame, rng.integers(0, 99, frame.shape))
    frame = frame.astype(np.uint8)
    made = list(make_frames([_look], frame, mask, (64, 96)))
    assert len(made) == MADE_FRAMES
    for known in made:
        assert 0.5 < np.count_nonzero(known.truth) / np.count_nonzero(mask) < 2.0
        inside = known.image[known.truth > 0]
        outside = known.image[known.truth == 0]
        assert np.median(inside[:, 2]) > 200 > 110 > np.median(outside[:, 2])
    assert len({known.image.tobytes() for known in made}) == MADE_FRAMES
    again = list(make_frames([_look], frame, mask, (64, 96)))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(made, again, strict=True))
    first = learning.APART - 1
    monkeypatch.setattr(learning, "APART", MADE_FRAMES + 1)
    together = list(make_frames([_look], frame, mask, (64, 96)))
    for one, other in zip(made[:first], together[:first], strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    apart, plain = made[first], together[first]
    np.testing.assert_array_equal(apart.truth, plain.truth)
    inside = cv2.erode(apart.truth, np.ones((9, 9), np.uint8)) > 0
    outside = cv2.dilate(apart.truth, np.ones((9, 9), np.uint8)) == 0
    np.testing.assert_allclose(apart.image[inside], plain.image[inside], atol=1)
    assert (apart.image[outside] != plain.image[outside]).mean() > 0.5


def _run(model: LoadedModel, scene: Scene, *, learn: bool) -> list[FrameResult]:
    segmenter = Segmenter(model, learn_outlines=learn)
    results = []
    for index in range(4):
        frame, mask = scene((16 + 4 * index, 16))
        if not index:
            segmenter.prompt(mask)
        results.append(segmenter.step(frame))
    return results


def test_a_segmenter_learns_and_repeats_it(tiny_model: LoadedModel, scene: Scene) -> None:
    plain = _run(tiny_model, scene, learn=False)
    learnt, again = (_run(tiny_model, scene, learn=True) for _ in range(2))
    np.testing.assert_array_equal(learnt[0].mask, plain[0].mask)
    assert any((a.mask != b.mask).any() for a, b in zip(learnt, plain, strict=True))
    for index, (one, other) in enumerate(zip(learnt, again, strict=True)):
        np.testing.assert_array_equal(one.mask, other.mask)
        truth = scene((16 + 4 * index, 16))[1]
        assert jaccard(one.mask > 0, truth > 0) > 0.8
        (state,) = one.objects
        assert state.area_px == np.count_nonzero(one.mask)
        left, top, width, height = state.box_xywh
        assert np.count_nonzero(one.mask[top : top + height, left : left + width]) == state.area_px


def test_an_object_that_a_box_showed_keeps_its_pixels(
    tiny_model: LoadedModel, scene: Scene
) -> None:
    frame, mask = scene((0, 32), (128, 32))
    both = [Segmenter(tiny_model, learn_outlines=learn) for learn in (False, True)]
    found = []
    for segmenter in both:
        segmenter.prompt(np.where(mask == 1, mask, np.uint8(0)))
        segmenter.prompt_box((128, 32, 64, 64), 2)
        segmenter.step(frame)
        found.append(segmenter.step(frame).mask)
    np.testing.assert_array_equal(found[0] == 2, found[1] == 2)


def test_what_was_learnt_goes_with_the_object(tiny_model: LoadedModel, scene: Scene) -> None:
    frame, mask = scene((0, 32), (128, 32))
    segmenter, plain = (Segmenter(tiny_model, learn_outlines=learn) for learn in (True, False))

    def differ() -> bool:
        return bool((segmenter.step(frame).mask != plain.step(frame).mask).any())

    for each in (segmenter, plain):
        each.prompt(mask)
        each.step(frame)
    assert differ()
    for each in (segmenter, plain):
        each.drop(1)
        each.drop(2)
        each.prompt_box((0, 32, 64, 64), 1)
    assert not differ()
    assert not differ()


def test_without_outlines_nothing_changes() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    seen = _look(image, View.whole(SIZE))
    seen.mask[10:20, 10:20] = 3
    np.testing.assert_array_equal(mend(image, seen, {}), seen.mask)
