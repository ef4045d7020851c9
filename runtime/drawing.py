"""Draw a result over its frame, once for all who show it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.frame import Frame
from edge_vos.runtime.masks import davis_palette, overlay
from edge_vos.runtime.segmenter import FrameResult

FONT = cv2.FONT_HERSHEY_SIMPLEX
_ALPHA = 0.45


class Painter:
    """Draw objects, their ids and confidences; the last picture is kept for the next who asks."""

    def __init__(self) -> None:
        self._colours = davis_palette()[:, ::-1].tolist()
        self._last: tuple[FrameResult, NDArray[np.uint8]] | None = None

    def paint(self, frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
        """Return the frame with its objects drawn over it.

        Args:
            frame: the frame.
            result: what was found in it.

        Returns:
            (H, W, 3) uint8, BGR; shared, not to be changed.
        """
        if self._last is None or self._last[0] is not result:
            self._last = (result, self._draw(frame, result))
        return self._last[1]

    def _draw(self, frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
        picture = overlay(frame.image, result.mask, _ALPHA)
        scale = text_scale(picture)
        lost = []
        for state in result.objects:
            if state.lost:
                lost.append(state.id)
                continue
            left, top, _, _ = state.box_xywh
            text = f"{state.id}  {100 * state.confidence:.0f}%"
            draw_label(picture, text, (left, top), scale, self._colours[state.id])
        if lost:
            text = f"lost: {', '.join(map(str, lost))}"
            draw_label(picture, text, (0, picture.shape[0]), scale, (60, 60, 60))
        return picture


def text_scale(picture: NDArray[np.uint8]) -> float:
    """Return OpenCV's font scale that suits a picture's height."""
    return max(0.35, float(picture.shape[0]) / 1000)


def draw_label(
    picture: NDArray[np.uint8],
    text: str,
    corner_xy: tuple[int, int],
    scale: float,
    colour: tuple[int, int, int],
) -> int:
    """Write on a filled plate whose lower left corner is given, moved to lie in the picture.

    Args:
        picture: (H, W, 3) uint8, BGR; changed.
        text: ASCII.
        corner_xy: where the plate's lower left corner should lie.
        scale: OpenCV's font scale.
        colour: of the plate, BGR.

    Returns:
        the row below the plate.
    """
    thickness = max(1, round(1.6 * scale))
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    pad = max(2, round(6 * scale))
    plate_width, plate_height = width + 2 * pad, height + baseline + pad
    left = max(0, min(corner_xy[0], picture.shape[1] - plate_width))
    bottom = min(max(corner_xy[1], plate_height), int(picture.shape[0]))
    cv2.rectangle(picture, (left, bottom - plate_height), (left + plate_width, bottom), colour, -1)
    luminance = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]
    ink = (0, 0, 0) if luminance > 140 else (255, 255, 255)
    origin = (left + pad, bottom - baseline)
    cv2.putText(picture, text, origin, FONT, scale, ink, thickness, cv2.LINE_AA)
    return bottom + 1
