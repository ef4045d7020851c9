"""Cut the objects out of their frames: an alpha matte, a green screen, a blurred background.

The alpha comes from the network's probability of the objects that are seen, so that outlines are
soft where the network is unsure and follow the frame's pixels, not the network's cells. An object
that is lost is not in the masks, and so not here.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.graph import MASK_STRIDE
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sources.frame import Frame

Render = Callable[[Frame, FrameResult], NDArray[np.uint8]]
GREEN = (64, 177, 0)  # BGR: the chroma green that editors expect
_SOFTNESS = 0.5  # from this much less than certain to this much more, alpha goes from 0 to 1
_BLUR_SHRINK, _BLUR_SIGMA = 4, 5.0


def alpha(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return how much of each pixel belongs to an object that is not lost: (H, W) uint8."""
    height, width = frame.image.shape[:2]
    seen = [state.id for state in result.objects if not state.lost]
    if not seen:
        return np.zeros((height, width), np.uint8)
    cells = result.probability.shape[1:]
    letterbox = Letterbox.fit((height, width), (cells[0] * MASK_STRIDE, cells[1] * MASK_STRIDE))
    objects = letterbox.crop(result.probability)[seen].sum(axis=0)
    levels = np.clip((objects - 0.5) / _SOFTNESS + 0.5, 0.0, 1.0) * 255
    enlarged = cv2.resize(levels.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.uint8)


def matte(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return the alpha as a picture: (H, W, 3) uint8, white on the objects."""
    return np.asarray(cv2.cvtColor(alpha(frame, result), cv2.COLOR_GRAY2BGR), np.uint8)


def green_screen(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return the objects before plain green: (H, W, 3) uint8, BGR."""
    background = np.empty_like(frame.image)
    cv2.rectangle(background, (0, 0), (background.shape[1], background.shape[0]), GREEN, -1)
    return _before(background, frame, result)


def blurred_background(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return the objects before what is behind them, blurred: (H, W, 3) uint8, BGR."""
    height, width = frame.image.shape[:2]
    small_wh = max(width // _BLUR_SHRINK, 1), max(height // _BLUR_SHRINK, 1)
    small = cv2.resize(frame.image, small_wh, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), _BLUR_SIGMA)
    background = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return _before(np.asarray(background, np.uint8), frame, result)


RENDERS: dict[str, Render] = {
    "matte": matte,
    "green": green_screen,
    "blur": blurred_background,
}


def _before(background: NDArray[np.uint8], frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Lay the objects over a background, which is changed."""
    levels = alpha(frame, result)
    left, top, width, height = cv2.boundingRect(levels)
    if width:
        window = (slice(top, top + height), slice(left, left + width))
        weight = levels[window].astype(np.float32) / np.float32(255)
        background[window] = cv2.blendLinear(
            np.ascontiguousarray(frame.image[window]),
            np.ascontiguousarray(background[window]),
            weight,
            1 - weight,
        )
    return background
