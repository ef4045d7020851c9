"""The part of a frame that the network looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True)
class View:
    """Name a part of a frame: rows and columns in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, frame_size: tuple[int, int]) -> "View":
        """Look at all of a frame of (height, width) pixels."""
        return cls(0, frame_size[0], 0, frame_size[1])

    @classmethod
    def at(
        cls,
        centre: tuple[float, float],
        size: tuple[float, float],
        frame_size: tuple[int, int],
    ) -> "View":
        """Look at a part of a frame, moved and cut so that it lies in the frame.

        Args:
            centre: (x, y) in pixels.
            size: (height, width) in pixels.
            frame_size: (height, width) in pixels.
        """
        spans = []
        for middle, length, limit in zip(centre[::-1], size, frame_size, strict=True):
            span = min(round(length), limit)
            first = min(max(round(middle - span / 2), 0), limit - span)
            spans.append((first, first + span))
        return cls(*spans[0], *spans[1])

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.bottom - self.top, self.right - self.left

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return that part of a picture (H, W) or (H, W, 3), not a copy."""
        return picture[self.top : self.bottom, self.left : self.right]

    def placed(self, mask: NDArray[np.uint8], frame_size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the label map of a frame that is a part's, and background elsewhere."""
        if mask.shape == frame_size:
            return mask
        placed = np.zeros(frame_size, np.uint8)
        self.of(placed)[:] = mask
        return placed

    def cuts(self, box: Box, frame_size: tuple[int, int]) -> bool:
        """Tell whether a box in the frame reaches a side of this part that is not the frame's."""
        left, top, width, height = box
        return (
            (left <= self.left and self.left > 0)
            or (top <= self.top and self.top > 0)
            or (left + width >= self.right and self.right < frame_size[1])
            or (top + height >= self.bottom and self.bottom < frame_size[0])
        )


def box_around(mask: NDArray[np.uint8]) -> Box:
    """Return the smallest box that holds what is not zero; (0, 0, 0, 0) for nothing."""
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, width, height


def joined(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all of them."""
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    return left, top, right - left, bottom - top
