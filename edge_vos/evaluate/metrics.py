"""Region similarity J and boundary accuracy F, as the official DAVIS evaluation defines them.

Paper: https://openaccess.thecvf.com/content_cvpr_2016/papers/Perazzi_A_Benchmark_Dataset_CVPR_2016_paper.pdf
Original code: https://github.com/davisvideochallenge/davis2017-evaluation
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_vos.errors import ShapeError
from edge_vos.runtime.masks import jaccard

BOUNDARY_TOLERANCE = 0.008
"""How far a boundary pixel may lie from its match, as a fraction of the frame's diagonal."""

RECALL_THRESHOLD = 0.5
DECAY_BINS = 4


def region_similarity(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return J, the intersection over union of two masks of one object.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool.

    Returns:
        J in [0, 1]; 1 where both masks are empty.

    Raises:
        ShapeError: if the masks differ in size.
    """
    _require_same_size(predicted, truth)
    return float(jaccard(predicted, truth))


def boundary_accuracy(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return F, the harmonic mean of the precision and recall of a mask's boundary.

    A boundary pixel is matched when the other boundary comes within 0.008 of the diagonal, in
    whole pixels rounded up. The official code dilates by a disk; so does this.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool.

    Returns:
        F in [0, 1]; 1 where neither mask has a boundary, 0 where only one has.

    Raises:
        ShapeError: if the masks differ in size.
    """
    _require_same_size(predicted, truth)
    predicted_boundary, truth_boundary = mask_boundary(predicted), mask_boundary(truth)
    if not (predicted_boundary.any() and truth_boundary.any()):
        return float(predicted_boundary.any() == truth_boundary.any())
    # Matches are counted on boundary pixels alone, so nothing outside their box matters.
    x, y, width, height = cv2.boundingRect(predicted_boundary | truth_boundary)
    box = slice(y, y + height), slice(x, x + width)
    predicted_boundary, truth_boundary = predicted_boundary[box], truth_boundary[box]
    disk = _disk(math.ceil(BOUNDARY_TOLERANCE * math.hypot(*truth.shape)))
    precision = _matched_fraction(predicted_boundary, truth_boundary, disk)
    recall = _matched_fraction(truth_boundary, predicted_boundary, disk)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def region_and_boundary(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return J&F of one object in one frame, in [0, 1].

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        ShapeError: if the masks differ in size.
    """
    return (region_similarity(predicted, truth) + boundary_accuracy(predicted, truth)) / 2


def mask_boundary(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the pixels that differ from their right, lower or lower right neighbour.

    This is ``seg2bmap`` of the Berkeley segmentation benchmark at the mask's own size.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) uint8, 1 on the boundary and 0 elsewhere.
    """
    boundary = np.zeros(mask.shape, np.bool_)
    corner = mask[:-1, :-1]
    boundary[:-1, :-1] = (corner ^ mask[:-1, 1:]) | (corner ^ mask[1:, :-1])
    boundary[:-1, :-1] |= corner ^ mask[1:, 1:]
    boundary[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    boundary[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return boundary.view(np.uint8)


@dataclass(frozen=True)
class Statistics:
    """Sum up one object's measure over the scored frames of a sequence.

    Attributes:
        mean: the mean over frames, in [0, 1].
        recall: the fraction of frames above 0.5.
        decay: the mean of the first quarter less that of the last.
    """

    mean: float
    recall: float
    decay: float


def statistics(per_frame: ArrayLike) -> Statistics:
    """Sum up a measure over frames with the official mean, recall and decay.

    Neighbouring quarters share one frame, as in the official ``db_statistics``.

    Args:
        per_frame: (T,) floats in [0, 1], T at least 1.
    """
    values = np.asarray(per_frame, np.float64)
    edges = np.round(np.linspace(1, len(values), DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first, last = values[: edges[1] + 1], values[edges[-2] :]
    return Statistics(
        mean=float(values.mean()),
        recall=float((values > RECALL_THRESHOLD).mean()),
        decay=float(first.mean() - last.mean()),
    )


@lru_cache(maxsize=8)
def _disk(radius: int) -> NDArray[np.uint8]:
    offsets = np.arange(-radius, radius + 1) ** 2
    return (offsets[:, None] + offsets[None, :] <= radius**2).astype(np.uint8)


def _matched_fraction(
    boundary: NDArray[np.uint8], other: NDArray[np.uint8], disk: NDArray[np.uint8]
) -> float:
    matched = cv2.bitwise_and(boundary, cv2.dilate(other, disk))
    return cv2.countNonZero(matched) / cv2.countNonZero(boundary)


def _require_same_size(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    if predicted.shape != truth.shape:
        raise ShapeError(
            f"a mask of {predicted.shape} cannot be scored against one of {truth.shape}",
            "two masks of the same height and width",
        )
