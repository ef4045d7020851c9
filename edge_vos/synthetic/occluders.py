"""Pass things in front of a video's objects on schedule; the masks stay exact.

Again and again all objects are hidden for a while, can be seen for a while, and are crossed by a
bar: so one can tell whether an object is found again, and whether masks flicker while it is hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.synthetic.textures import background_texture

HIDDEN_FRAMES = 30
LONGEST = 1_000_000
"""The most frames for which all may be hidden."""

_PHASES = {"approach": 10, "hidden": HIDDEN_FRAMES, "leave": 10, "regain": 30, "pass": 20}
_MARGIN, _BAR_WIDTH, _SIDE = 0.1, 0.3, 128
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Schedule:
    """Say when things pass: cycle after cycle, each with the same phases.

    In "approach" a curtain comes from the left, in "hidden" it covers every object, in "leave" it
    goes on to the right, in "regain" all is clear, and in "pass" a bar crosses the objects.

    Args:
        start: frames before the first cycle, which are "clear".
        hidden: frames for which all is hidden.
        cycles: after so many all is "clear"; ``None`` is without end.
    """

    start: int
    hidden: int = HIDDEN_FRAMES
    cycles: int | None = None

    @property
    def cycle_frames(self) -> int:
        """Return how many frames a cycle takes."""
        return sum(self._phases.values())

    @property
    def _phases(self) -> dict[str, int]:
        return {**_PHASES, "hidden": self.hidden}

    def phase(self, index: int) -> tuple[str, float, int]:
        """Return the phase of a frame, how far it has got, in (0, 1], and its cycle from 0."""
        cycle, place = divmod(index - self.start, self.cycle_frames)
        if cycle < 0 or (self.cycles is not None and cycle >= self.cycles):
            return "clear", 1.0, 0
        ends = accumulate(self._phases.values())
        name, end = next(pair for pair in zip(self._phases, ends, strict=True) if place < pair[1])
        frames = self._phases[name]
        return name, (place + 1 - end + frames) / frames, cycle

    def cover(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], index: int) -> None:
        """Paint what is in front of the objects, and take what it hides from their mask.

        Args:
            image: (H, W, 3) uint8; changed in place.
            mask: (h, w) uint8 label map, maybe of another size; changed in place.
            index: of the frame.
        """
        phase, progress, cycle = self.phase(index)
        box = _front(mask, phase, progress)
        if box is not None:
            _paint(image, _scaled(box, mask.shape, image.shape), seed=cycle)
            left, top, right, bottom = box
            mask[top:bottom, left:right] = 0


def _front(mask: NDArray[np.uint8], phase: str, progress: float) -> _Box | None:
    """Return what is in front of the objects: left, top, right and bottom in the mask's pixels."""
    height, width = mask.shape
    left, top, across, down = cv2.boundingRect(mask)
    if not across or phase in ("clear", "regain"):
        return None
    if phase == "pass":  # a bar from left to right over the objects
        bar = _BAR_WIDTH * across
        start = left - bar + progress * (across + bar)
        return _clip((start, 0, start + bar, height), width, height)
    x, y = _MARGIN * across + 1, _MARGIN * down + 1
    shift = 0.0
    if phase == "approach":
        shift = (progress - 1) * (left + across + x)
    elif phase == "leave":
        shift = progress * (width - left + x)
    box = (left - x + shift, top - y, left + across + x + shift, top + down + y)
    return _clip(box, width, height)


def _clip(box: Sequence[float], width: int, height: int) -> _Box | None:
    left, right = (round(min(max(x, 0), width)) for x in (box[0], box[2]))
    top, bottom = (round(min(max(y, 0), height)) for y in (box[1], box[3]))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _scaled(box: _Box, size: tuple[int, ...], other: tuple[int, ...]) -> _Box:
    y, x = other[0] / size[0], other[1] / size[1]
    left, top, right, bottom = box
    return round(left * x), round(top * y), round(right * x), round(bottom * y)


def _paint(image: NDArray[np.uint8], box: _Box, seed: int) -> None:
    left, top, right, bottom = box
    size_wh = right - left, bottom - top
    image[top:bottom, left:right] = cv2.resize(
        _cover_texture(seed), size_wh, interpolation=cv2.INTER_LINEAR
    )


@lru_cache(maxsize=4)  # a stream goes on for days
def _cover_texture(seed: int) -> NDArray[np.uint8]:
    """Return what one cycle hides things with: a picture as those behind synthetic objects."""
    return background_texture(np.random.default_rng(seed), (_SIDE, _SIDE))
