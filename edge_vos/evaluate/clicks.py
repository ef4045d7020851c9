"""Draw boxes and click as a person would who knows the answer: to train and to measure prompts."""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def next_click(
    truth: Mask, found: Mask, rng: np.random.Generator | None = None
) -> tuple[tuple[int, int], int] | None:
    """Click into the middle of the largest error, as RITM does it to measure.

    https://arxiv.org/abs/2102.06583: the click falls where the distance to the edge of the missed,
    or of the wrongly covered, part is largest.

    Args:
        truth: (H, W) uint8, not zero on the object.
        found: (H, W) uint8, not zero where the object was found.
        rng: clicks anywhere well inside the error instead of at its very middle, to train.

    Returns:
        the pixel as (x, y), and 1 for a click on the object or 0 for one beside it; None where
        nothing is wrong.
    """
    wanted, had = truth > 0, found > 0
    depths = [_depth(wanted & ~had), _depth(had & ~wanted)]
    label = 1 if depths[0].max() >= depths[1].max() else 0
    depth = depths[1 - label]
    deepest = float(depth.max())
    if deepest <= 0:
        return None
    if rng is None:
        index = int(depth.argmax())
    else:
        places = np.flatnonzero(depth >= deepest * rng.uniform(0.3, 1.0))
        index = int(places[int(rng.integers(places.size))])
    return (index % truth.shape[1], index // truth.shape[1]), label


def box_of(
    mask: Mask, looseness: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[int, int, int, int]:
    """Draw the box around an object.

    Args:
        mask: (H, W) uint8, not zero on the object.
        looseness: how far each side may lie outside, by the box's side.
        rng: chooses how far; None draws all sides exactly.

    Returns:
        left, top, width and height in pixels, inside the picture.
    """
    left, top, width, height = cv2.boundingRect(mask)
    if rng is None or not looseness:
        return left, top, width, height
    grow = rng.uniform(-0.2 * looseness, looseness, 4)
    right = min(round(left + width * (1 + grow[2])), mask.shape[1])
    bottom = min(round(top + height * (1 + grow[3])), mask.shape[0])
    left, top = max(round(left - width * grow[0]), 0), max(round(top - height * grow[1]), 0)
    return left, top, max(right - left, 2), max(bottom - top, 2)


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far each pixel is from the outside of a region; the picture's rim is outside."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(distance, np.float32)
