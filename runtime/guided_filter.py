"""The fast guided filter with a colour guide: outlines that follow the picture between the cells.

Around each cell, what the network says is fitted as a linear function of the picture's colour; the
functions, not the values, are then enlarged and applied to the picture's own pixels. So a mask of
one value for four pixels each way ends where the colour changes, at the cost of a few box filters.

Papers: https://doi.org/10.1109/TPAMI.2012.213 (He, Sun and Tang; equations 14 to 16 for colour) and
https://arxiv.org/abs/1505.00996 (He and Sun; the coefficients at a lower resolution).
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]

RADIUS = 2
"""Cells to each side that a function is fitted to."""

EPSILON = 0.65
"""What is added to a colour's variance, in squared grey levels: noise explains nothing."""

FLAT = 30.0
"""Variance of all three colours at which the filter and plain interpolation count the same."""


def guided_filter(source: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Enlarge a map of cells to the pixels of a picture, whose outlines it takes on.

    Where the picture is flat, nothing can be fitted, and the map is interpolated bilinearly.

    Args:
        source: (h, w) float32.
        guide: (3, s * h, s * w) float32 in [0, 255], of any three colours.

    Returns:
        (s * h, s * w) float32.
    """
    cells = source.shape[1], source.shape[0]
    colours = [cv2.resize(plane, cells, interpolation=cv2.INTER_AREA) for plane in guide]
    means, level = [_mean(colour) for colour in colours], _mean(source)

    def covariance(i: int, other: Plane, mean: Plane) -> Plane:
        return _mean(colours[i] * other) - means[i] * mean

    def enlarge(plane: Plane) -> Plane:
        pixels = guide.shape[2], guide.shape[1]
        return np.asarray(cv2.resize(plane, pixels, interpolation=cv2.INTER_LINEAR), np.float32)

    variance = [[covariance(i, colours[j], means[j]) for j in range(i + 1)] for i in range(3)]
    slopes = solve(variance, [covariance(i, source, level) for i in range(3)])
    total = variance[0][0] + variance[1][1] + variance[2][2]
    for slope, mean in zip(slopes, means, strict=True):
        level -= slope * mean
    fitted = enlarge(_mean(level))
    for slope, plane in zip(slopes, guide, strict=True):
        fitted += enlarge(_mean(slope)) * plane
    plain = enlarge(source)
    trust = enlarge(_mean(total / (total + FLAT)))
    return np.asarray(plain + trust * (fitted - plain), np.float32)


def _mean(plane: Plane) -> Plane:
    return np.asarray(cv2.blur(plane, (2 * RADIUS + 1, 2 * RADIUS + 1)), np.float32)


def solve(variance: Sequence[Sequence[Any]], covariance: Sequence[Any]) -> list[Any]:
    """Solve ``(variance + EPSILON) x = covariance`` in every cell, by L D L^T of the 3x3 matrix.

    Args:
        variance: its rows up to the diagonal; arrays or tensors of one shape.
        covariance: the three components of the right-hand side.
    """
    (v00,), (v10, v11), (v20, v21, v22) = variance
    d0 = v00 + EPSILON
    l10, l20 = v10 / d0, v20 / d0
    d1 = v11 + EPSILON - l10 * v10
    e21 = v21 - l20 * v10
    l21 = e21 / d1
    d2 = v22 + EPSILON - l20 * v20 - l21 * e21
    y1 = covariance[1] - l10 * covariance[0]
    y2 = covariance[2] - l20 * covariance[0] - l21 * y1
    x2 = y2 / d2
    x1 = y1 / d1 - l21 * x2
    return [covariance[0] / d0 - l10 * x1 - l20 * x2, x1, x2]
