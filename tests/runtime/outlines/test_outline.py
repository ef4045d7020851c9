"""Outlines learn where the network errs, and move it there."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.outlines.key_axes import AXES, KeyAxes
from edge_vos.runtime.outlines.outline import Clues, Outline, make_lesson

AXES_OF_NOTHING = KeyAxes(np.zeros(1, np.float32), np.zeros((2, 1), np.float32))


def _clues(image: NDArray[np.uint8], chance: NDArray[np.float32], scale: float = 1.0) -> Clues:
    keys = np.zeros((2, *chance.shape), np.float32)
    return Clues(image, chance, chance > 0.5, keys, scale)


def test_an_outline_learns_where_the_network_errs() -> None:
    """A square of its own colour that the network finds two pixels too small on every side."""
    rng = np.random.default_rng(0)

    def scene(left: int) -> tuple[Clues, NDArray[np.bool_]]:
        truth = np.zeros((100, 140), np.bool_)
        truth[30:70, left : left + 40] = True
        image = np.where(truth[..., np.newaxis], (40, 160, 220), (90, 90, 60)).astype(np.int64)
        image = np.clip(image + rng.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)
        shrunk = cv2.erode(truth.view(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
        return _clues(image, np.asarray(cv2.GaussianBlur(shrunk, (0, 0), 2), np.float32)), truth

    outline = Outline.learn([make_lesson(*scene(left)) for left in (20, 60)], AXES_OF_NOTHING)
    clues, truth = scene(45)
    assert jaccard(clues.mask, truth) < 0.85
    assert jaccard(outline.mend(clues) > 0, truth) > 0.95


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
