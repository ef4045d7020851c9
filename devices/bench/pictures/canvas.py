"""Draw panels with axes, curves and text, with OpenCV, which the base install has."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError

INK, GRID = (40, 40, 40), (225, 225, 225)
COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (167, 121, 204), (0, 94, 213),
           (233, 180, 86), (66, 228, 240))  # fmt: skip
"""BGR, the palette of Okabe and Ito (2008)."""
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 40
"""Margins of a panel, in pixels."""
_TICKS = 5

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Span = tuple[float, float]


class Panel:
    """Hold a white picture with a title and two axes.

    Args:
        size: (height, width).
        title: above the axes.
        x: the smallest and the largest value across.
        y: the smallest and the largest value upwards.

    Attributes:
        image: (H, W, 3) uint8 BGR.
    """

    def __init__(self, size: tuple[int, int], title: str, x: Span, y: Span) -> None:
        self.image: Image = np.full((*size, 3), 255, np.uint8)
        self._x, self._y = x, y
        write(self.image, title, (LEFT, 20), 0.5)

    def draw_axes(self) -> None:
        """Draw lines at round heights, and what they and places along the foot stand for."""
        for up in round_values(self._y):
            start, end = self.place(np.array(self._x), np.full(2, up))
            cv2.line(self.image, start.tolist(), end.tolist(), GRID, 1)
            write(self.image, f"{up:.4g}", (8, int(start[1]) + 4), 0.4)
        for across in round_values(self._x):
            (foot,) = self.place(np.array([across]), np.array(self._y[:1]))
            at_xy = (int(foot[0]) - 10, self.image.shape[0] - BOTTOM + 20)
            write(self.image, f"{across:.4g}", at_xy, 0.4)

    def draw_curve(self, x: Floats, y: Floats, colour: Sequence[int]) -> None:
        """Draw a line through points."""
        points = self.place(x, y).reshape(-1, 1, 2)
        cv2.polylines(self.image, [points], False, colour, 1, cv2.LINE_AA)

    def place(self, x: Floats, y: Floats) -> NDArray[np.int32]:
        """Return (n, 2) int32 pixels (x, y) of values."""
        height, width = self.image.shape[:2]
        right, up = ((values - low) / ((high - low) or 1.0)
                     for values, (low, high) in ((x, self._x), (y, self._y)))  # fmt: skip
        across = LEFT + right * (width - LEFT - RIGHT)
        down = height - BOTTOM - up * (height - TOP - BOTTOM)
        return np.stack([across, down], axis=1).round().astype(np.int32)


def round_values(span: Span) -> list[float]:
    """Return about five multiples of 1, 2 or 5 times a power of ten that lie in a span."""
    low, high = span
    wanted = ((high - low) or 1.0) / _TICKS
    power = 10.0 ** math.floor(math.log10(wanted))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= wanted)
    return [count * step for count in range(math.ceil(low / step), math.floor(high / step) + 1)]


def write(
    image: Image, text: str, at_xy: tuple[int, int], scale: float, colour: Sequence[int] = INK
) -> None:
    """Write text into a picture; what is not ASCII becomes a question mark."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, at_xy, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def encode_png(image: Image) -> bytes:
    """Return a picture as a PNG file.

    Raises:
        SinkError: if OpenCV cannot encode it.
    """
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise SinkError("OpenCV could not encode the picture", "a PNG file")
    return encoded.tobytes()
