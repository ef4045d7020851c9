"""Draw a result over its frame, once for all who show it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import Colour, davis_colours
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sources.frame import Frame

FONT = cv2.FONT_HERSHEY_SIMPLEX
PLATE = (50, 50, 50)
_ALPHA = 0.45
_THREE = np.ones((3, 3), np.uint8)


class Painter:
    """Draw objects, their names and confidences, in a picture that is used again for each frame.

    Only the boxes of the objects are worked on. The picture is kept for the next who asks for the
    same result.
    """

    def __init__(self) -> None:
        self.colours = [(blue, green, red) for red, green, blue in davis_colours()]
        self._result: FrameResult | None = None
        self._picture = np.empty((0, 0, 3), np.uint8)

    def paint(self, frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
        """Return the frame with its objects drawn over it.

        Args:
            frame: the frame.
            result: what was found in it.

        Returns:
            (H, W, 3) uint8, BGR; not to be changed, and good until the next call.
        """
        if self._result is not result:
            if self._picture.shape != frame.image.shape:
                self._picture = np.empty_like(frame.image)
            np.copyto(self._picture, frame.image)
            self._draw(self._picture, result)
            self._result = result
        return self._picture

    def _draw(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        seen = [state for state in result.objects if not state.lost]
        for state in seen:
            left, top, width, height = state.box_xywh
            window = (slice(top, top + height), slice(left, left + width))
            self._tint(picture[window], result.mask[window], state)
        scale = text_scale(picture)
        for state in seen:  # above all tints
            text = f"{caption(state)}  {100 * state.confidence:.0f}%"
            corner = (state.box_xywh[0], state.box_xywh[1])
            draw_label(picture, text, corner, scale, _bgr(state))
        if lost := [caption(state) for state in result.objects if state.lost]:
            draw_label(picture, f"lost: {', '.join(lost)}", (0, picture.shape[0]), scale, PLATE)

    def _tint(self, part: NDArray[np.uint8], labels: NDArray[np.uint8], state: ObjectState) -> None:
        """Tint an object's pixels in place, and draw its outline."""
        one = (labels == state.id).view(np.uint8)
        solid = np.empty_like(part)
        corner = (part.shape[1], part.shape[0])
        cv2.rectangle(solid, (0, 0), corner, _bgr(state), -1)
        cv2.copyTo(cv2.addWeighted(part, 1 - _ALPHA, solid, _ALPHA, 0), one, part)
        thickness = 1 + part.shape[0] // 200
        # What lies outside the box is not the object: the outline closes along it, too.
        inner = cv2.erode(
            one, _THREE, iterations=thickness, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        cv2.bitwise_xor(one, inner, dst=one)
        cv2.copyTo(solid, one, part)


def _bgr(state: ObjectState) -> Colour:
    red, green, blue = state.colour
    return blue, green, red


def caption(state: ObjectState) -> str:
    """Return an object's name, or its id where OpenCV's Hershey fonts cannot draw the name."""
    return state.name if state.name and state.name.isascii() else str(state.number)


def text_scale(picture: NDArray[np.uint8]) -> float:
    """Return OpenCV's font scale that suits a picture's height."""
    return max(0.35, float(picture.shape[0]) / 1000)


def darken(part: NDArray[np.uint8]) -> None:
    """Darken a part of a picture in place, so that text on it can be read."""
    cv2.convertScaleAbs(part, dst=part, alpha=0.35)


def wrapped(text: str, scale: float, width_px: int) -> list[str]:
    """Break a text into lines that fit a picture.

    Args:
        text: words with blanks between them; empty gives no line.
        scale: OpenCV's font scale.
        width_px: of the picture.
    """
    thickness = max(1, round(1.6 * scale))
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and cv2.getTextSize(longer, FONT, scale, thickness)[0][0] < 0.94 * width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def draw_label(
    picture: NDArray[np.uint8],
    text: str,
    corner_xy: tuple[int, int],
    scale: float,
    colour: Colour,
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
