"""Cut the objects out of their frames: an alpha matte, a green screen, a blurred background.

The alpha comes from the network's probability of the objects that are seen, through the guided
filter that makes the masks: it is above a half where the mask is, and soft where the network is
unsure. An object that is lost is not in the masks, and so not here.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.graph import MASK_STRIDE
from edge_vos.runtime.labels import LEVELS, OUTLINE, outline_levels
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sources.frame import Frame

Render = Callable[[Frame, FrameResult], NDArray[np.uint8]]
GREEN = (64, 177, 0)  # BGR: the chroma green that editors expect
_SOFTNESS = 0.5  # from this much less than certain to this much more, alpha goes from 0 to 1
_BLUR_SHRINK, _BLUR_SIGMA = 4, 5.0


def alpha(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return how much of each pixel belongs to an object that is not lost.

    Returns:
        (H, W) uint8, 128 or more where the mask holds such an object and 127 or less elsewhere.
    """
    height, width = frame.image.shape[:2]
    seen = [state.id for state in result.objects if not state.lost]
    if not seen:
        return np.zeros((height, width), np.uint8)
    view = result.view or View.whole((height, width))
    cells = result.probability.shape[1:]
    letterbox = Letterbox.fit(view.size, (cells[0] * MASK_STRIDE, cells[1] * MASK_STRIDE))
    content = letterbox.crop(result.probability)
    others = np.delete(content, seen, axis=0).max(axis=0)  # what is lost is background here
    levels = outline_levels(
        np.stack([others, *content[seen]]), letterbox, letterbox.image(view.of(frame.image))
    )
    soft = np.asarray(cv2.LUT(levels, _alpha_of_levels()), np.uint8)
    # The mask decides: it was made of all objects at once.
    soft = view.placed(soft, (height, width))
    return np.where(result.mask > 0, np.maximum(soft, 128), np.minimum(soft, 127))


@cache
def _alpha_of_levels() -> NDArray[np.uint8]:
    """Return the alpha of each of the 256 levels."""
    probability = 1 / (1 + np.exp(-(np.arange(256) - OUTLINE) / LEVELS))
    return np.rint(np.clip((probability - 0.5) / _SOFTNESS + 0.5, 0.0, 1.0) * 255).astype(np.uint8)


def matte(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return the alpha as a picture: (H, W, 3) uint8, white on the objects."""
    return np.asarray(cv2.cvtColor(alpha(frame, result), cv2.COLOR_GRAY2BGR), np.uint8)


def cut_out(frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
    """Return the frame with its alpha, not multiplied into it: (H, W, 4) uint8, BGRA."""
    return np.dstack([frame.image, alpha(frame, result)])


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
