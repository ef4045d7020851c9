"""The few directions in which the network's keys differ the most in one frame."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

AXES = 12


@dataclass(frozen=True)
class KeyAxes:
    """Project keys on principal axes.

    Args:
        mean: (C,) float32.
        axes: (A, C) float32, divided by the deviation along the first one.
    """

    mean: Array
    axes: Array

    @classmethod
    def of(cls, key: Array) -> "KeyAxes":
        """Find the axes of one frame's keys, (C, h, w) float32."""
        cells = key.reshape(len(key), -1).T
        mean = cells.mean(axis=0)
        _, deviations, axes = np.linalg.svd(cells - mean, full_matrices=False)
        spread = max(float(deviations[0]) / np.sqrt(len(cells)), 1e-6)
        return cls(mean, np.asarray(axes[:AXES] / spread, np.float32))

    def maps(self, key: Array, size: tuple[int, int]) -> Array:
        """Return how keys lie along the axes, (A, *size) float32, enlarged bilinearly.

        Args:
            key: (C, h, w) float32.
            size: (height, width) to enlarge to.
        """
        projected = self.axes @ (key.reshape(len(key), -1) - self.mean[:, np.newaxis])
        maps = projected.reshape(-1, *key.shape[1:])
        linear = cv2.INTER_LINEAR
        return np.stack([cv2.resize(each, size[::-1], interpolation=linear) for each in maps])
