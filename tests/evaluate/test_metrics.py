"""J, F and their statistics, against vos-benchmark and worked examples."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from vos_benchmark.evaluator import Evaluator

from edge_vos.errors import ShapeError
from edge_vos.evaluate.metrics import (
    boundary_accuracy,
    mask_boundary,
    region_similarity,
    statistics,
)

DAVIS = Path(__file__).parents[3] / "shared" / "data" / "davis2016-train"
TOLERANCE = 1e-6
Mask = NDArray[np.bool_]


def _peer(predicted: Mask, truth: Mask) -> tuple[float, float]:
    """Return J and F as vos-benchmark measures them; it skips a pair of empty masks."""
    evaluator = Evaluator()
    evaluator.feed_frame(predicted.astype(np.uint8), truth.astype(np.uint8))
    return evaluator.object_iou[1][0], evaluator.boundary_f[1][0]


def _blobs(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    side = int(rng.integers(1, 12))
    noise = cv2.blur(rng.random(size), (side, side))
    return np.asarray(noise > rng.choice([0.0, 0.45, 0.5, 0.6, 0.95]), np.bool_)


@pytest.mark.parametrize("seed", range(100))
def test_agrees_with_vos_benchmark_on_random_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(2, 200, 2)
    predicted, truth = _blobs(rng, (height, width)), _blobs(rng, (height, width))
    predicted[0, 0] = True
    j, f = _peer(predicted, truth)
    assert region_similarity(predicted, truth) == pytest.approx(j, abs=TOLERANCE)
    assert boundary_accuracy(predicted, truth) == pytest.approx(f, abs=TOLERANCE)


@pytest.mark.skipif(not DAVIS.is_dir(), reason="needs ../shared/data/davis2016-train")
def test_agrees_with_vos_benchmark_on_real_masks() -> None:
    for folder in sorted((DAVIS / "Annotations" / "480p").iterdir()):
        first, later = (
            cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) > 0
            for name in ("00000.png", "00010.png")
        )
        j, f = _peer(first, later)
        assert region_similarity(first, later) == pytest.approx(j, abs=TOLERANCE), folder.name
        assert boundary_accuracy(first, later) == pytest.approx(f, abs=TOLERANCE), folder.name


@pytest.mark.parametrize(
    ("predicted", "truth", "j", "f"),
    [(0, 0, 1.0, 1.0), (0, 1, 0.0, 0.0), (1, 0, 0.0, 0.0), (1, 1, 1.0, 1.0)],
    ids=["both empty", "missed", "invented", "equal"],
)
def test_empty_masks(predicted: int, truth: int, j: float, f: float) -> None:
    square = np.zeros((40, 60), np.bool_)
    square[10:20, 10:20] = True
    empty = np.zeros_like(square)
    pair = (square if predicted else empty), (square if truth else empty)
    assert (region_similarity(*pair), boundary_accuracy(*pair)) == (j, f)


def test_a_mask_of_the_whole_frame_has_no_boundary() -> None:
    full = np.ones((20, 30), np.bool_)
    assert not mask_boundary(full).any()
    assert boundary_accuracy(full, full) == 1.0


def test_boundary_lies_towards_the_origin_and_spares_the_last_corner() -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[2:, 2:] = True
    expected = [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert mask_boundary(mask).tolist() == expected


@pytest.mark.parametrize(("shift_px", "f"), [(8, 1.0), (9, 0.0)])
def test_boundaries_match_within_the_tolerance_and_not_beyond(shift_px: int, f: float) -> None:
    # ceil(0.008 * hypot(480, 854)) is 8; two edges across the frame have no other boundary.
    left, right = np.zeros((2, 480, 854), np.bool_)
    left[:, :400] = right[:, : 400 + shift_px] = True
    assert boundary_accuracy(left, right) == f


def test_masks_of_different_size_are_refused() -> None:
    small, large = np.zeros((4, 4), np.bool_), np.zeros((4, 5), np.bool_)
    for measure in (region_similarity, boundary_accuracy):
        with pytest.raises(ShapeError, match="same height and width"):
            measure(small, large)


def _official_statistics(per_frame: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return db_statistics of davis2017-evaluation, to the letter."""
    bins = 4
    ids = np.round(np.linspace(1, len(per_frame), bins + 1) + 1e-10) - 1
    ids = ids.astype(np.uint8)
    quarters = [per_frame[ids[i] : ids[i + 1] + 1] for i in range(bins)]
    decay = np.nanmean(quarters[0]) - np.nanmean(quarters[3])
    return np.nanmean(per_frame), np.nanmean(per_frame > 0.5), decay


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 23, 48, 102, 255])
def test_statistics_are_the_official_ones(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    found = statistics(values)
    assert (found.mean, found.recall, found.decay) == pytest.approx(_official_statistics(values))


def test_statistics_of_a_long_sequence() -> None:
    # The official code counts frames in uint8 and fails beyond 256.
    found = statistics(np.linspace(1, 0, 1001))
    assert found.decay == pytest.approx(0.75)
    assert found.recall == pytest.approx(500 / 1001)
