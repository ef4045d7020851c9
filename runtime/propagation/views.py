"""Plan which part of each frame to look at, when where the objects are is known beforehand."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.objects.view import Box, View
from edge_vos.runtime.objects.zoom import height_for, view_at

FILL = 0.9
"""How much of a view's height or width the objects should fill; what comes next is known."""

_NEAR, _SHAKE = 5, 2.0
"""So many frames before and after have room in a view too; and the deviation, in frames, of the
smoothing of its place."""


def plan_views(
    boxes: Sequence[Box | None], frame_size: tuple[int, int], image_size: tuple[int, int]
) -> list[View]:
    """Return views that move and change size smoothly.

    Args:
        boxes: around all objects, frame after frame; ``None`` where one of them is not seen.
        frame_size: (height, width) in pixels.
        image_size: (height, width) of the network's image.

    Returns:
        one for each frame; the whole frame where an object is not seen.
    """
    whole = (0, 0, frame_size[1], frame_size[0])
    known = [box or whole for box in boxes]
    heights = np.array([[height_for(box, frame_size, image_size, FILL)] for box in known])
    kernel = np.ones((2 * _NEAR + 1, 1))
    highest = cv2.dilate(heights, kernel, borderType=cv2.BORDER_REPLICATE)
    heights = _smooth(np.asarray(highest, np.float64), _NEAR)
    middles = _smooth(np.array([(x + w / 2, y + h / 2) for x, y, w, h in known]), _SHAKE)
    views = [
        view_at(middle, float(height), frame_size, image_size)
        for middle, height in zip(middles, heights[:, 0], strict=True)
    ]
    return [view if box else View.whole(frame_size) for view, box in zip(views, boxes, strict=True)]


def _smooth(values: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    size = (1, 8 * round(deviation) + 1)
    smooth = cv2.GaussianBlur(
        values, size, sigmaX=1, sigmaY=deviation, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smooth, np.float64).reshape(values.shape)
