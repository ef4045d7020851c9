"""Outlines learn where the network errs, and move it there."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.outlines.key_axes import AXES, KeyAxes
from edge_vos.runtime.outlines.outline import Clues, Outline, make_lesson

AXES_OF_NOTHING = KeyAxes(np.zeros(1, np.float32), np.zeros((2, 1), np.float32))


def _clues(image: NDArray[np.uint8], chance: NDArray[np.float32], scale: float = 1.0) -> Clues:
    keys = np.zeros((2, *chance.shape), np.float32)
    return Clues(image, chance, chance > 0.5, keys, scale)


def _square(left: int, found: int) -> tuple[Clues, NDArray[np.bool_]]:
    """Return a square of its own colour that is found so many pixels too large on every side."""
    rng = np.random.default_rng(left)
    truth = np.zeros((100, 140), np.bool_)
    truth[30:70, left : left + 40] = True
    image = np.where(truth[..., np.newaxis], (40, 160, 220), (90, 90, 60)).astype(np.int64)
    image = np.clip(image + rng.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)
    taken = np.zeros(truth.shape, np.float32)
    taken[30 - found : 70 + found, left - found : left + 40 + found] = 1
    return _clues(image, np.asarray(cv2.GaussianBlur(taken, (0, 0), 2), np.float32)), truth


def test_an_outline_learns_where_the_network_errs() -> None:
    lessons = [make_lesson(*_square(left, found=2)) for left in (20, 60)]
    clues, truth = _square(45, found=2)
    assert jaccard(clues.mask, truth) < 0.85
    assert jaccard(Outline.learn(lessons, AXES_OF_NOTHING).mend(clues) > 0, truth) > 0.95


@pytest.mark.parametrize("loose", [2, 4])
def test_what_is_drawn_too_large_is_not_learnt(loose: int) -> None:
    kernel = np.ones((2 * loose + 1, 2 * loose + 1), np.uint8)
    lessons = []
    for left in (20, 60):
        clues, truth = _square(left, found=0)
        lessons.append(make_lesson(clues, cv2.dilate(truth.view(np.uint8), kernel) > 0))
    clues, truth = _square(45, found=0)
    assert jaccard(Outline.learn(lessons, AXES_OF_NOTHING).mend(clues) > 0, truth) > 0.95


def test_keys_tell_what_colours_cannot() -> None:
    """Two squares of one colour that the network takes for one; their keys differ."""

    def scene(left: int) -> tuple[Clues, NDArray[np.bool_]]:
        truth = np.zeros((100, 140), np.bool_)
        truth[30:60, left : left + 30] = True
        both = truth.copy()
        both[30:60, left + 30 : left + 45] = True
        image = np.where(both[..., np.newaxis], (40, 160, 220), (90, 90, 60)).astype(np.uint8)
        keys = np.stack([truth, both]).astype(np.float32)
        return Clues(image, both.astype(np.float32), both, keys), truth

    outline = Outline.learn([make_lesson(*scene(left)) for left in (20, 70)], AXES_OF_NOTHING)
    clues, truth = scene(45)
    assert jaccard(clues.mask, truth) < 0.7
    assert jaccard(outline.mend(clues) > 0, truth) > 0.85


def test_a_large_picture_is_looked_at_in_a_smaller_size() -> None:
    truth = np.zeros((1200, 1600), np.bool_)
    truth[400:800, 500:1000] = True
    image = np.where(truth[..., np.newaxis], (40, 160, 220), (90, 90, 60)).astype(np.uint8)
    clues = _clues(image, truth.astype(np.float32), scale=0.5)
    lesson = make_lesson(clues, truth)
    assert len(lesson.features) < 200_000
    odds = Outline.learn([lesson], AXES_OF_NOTHING).mend(clues)
    assert odds.shape == truth.shape
    assert jaccard(odds > 0, truth) > 0.97


def test_axes_lie_where_keys_differ_the_most() -> None:
    rng = np.random.default_rng(0)
    key = rng.normal(0, 0.1, (32, 6, 8)).astype(np.float32)
    key[5, :, 4:] += 10.0
    axes = KeyAxes.of(key)
    assert axes.axes.shape == (AXES, 32)
    assert np.abs(axes.axes[0]).argmax() == 5
    maps = axes.maps(key, (24, 32))
    assert maps.shape == (AXES, 24, 32)
    left, right = maps[0, :, :8].mean(), maps[0, :, -8:].mean()
    assert abs(left - right) > 1.5
    assert np.abs(maps[1:]).max() < 0.5
    assert np.isfinite(KeyAxes.of(np.zeros_like(key)).maps(key, (6, 8))).all()
