"""Choose the part of each frame to look at: around the objects, from where they just were.

A small object is seen larger, and a moving one stays at about the same place of the network's
image, where memory has it. So fast and small objects are lost less often (docs/ablation.md).
"""

from collections.abc import Sequence

import numpy as np

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.view import Box, View, joined

FILL = 0.7
"""How much of the view's height or width the objects should fill."""

SMALLEST = 0.6
"""The view is at least as high as this part of the network's image: more is only blur."""

GROW, SHRINK = 1.1, 0.98
"""The most that the view's height changes from one frame to the next."""

_STEADY = 0.5  # of a motion, how much of the one before stays
_MOST_MOTION = 0.1  # of the view's height, between two frames


class Zoom:
    """Follow the objects with a view; the whole frame is searched while one of them is lost.

    Args:
        image_size: (height, width) of the network's image.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        self._image_size = image_size
        self._ratio = image_size[1] / image_size[0]
        self.clear()

    def clear(self) -> None:
        """Begin with the whole frame."""
        self._frame_size = (0, 0)
        self._height = 0.0  # in pixels; 0 is the whole frame
        self._centre = (0.0, 0.0)
        self._box: Box | None = None
        self._motion = (0.0, 0.0)

    def view(self, frame_size: tuple[int, int], shown: Sequence[Box] = (), *, anew: bool = False
             ) -> View:  # fmt: skip
        """Return the part of the next frame to look at.

        Args:
            frame_size: (height, width) in pixels.
            shown: boxes around what the user shows in it, all inside the frame.
            anew: whether that is all there is.
        """
        if frame_size != self._frame_size and not anew:
            return View.whole(frame_size)
        if not shown:
            return self._at(self._centre, self._height, frame_size)
        box = joined(shown if anew or self._box is None else [*shown, self._box])
        height = self._wanted(box, frame_size)
        if not anew:
            height = max(height, self._height or self._whole(frame_size))
        return self._at(_middle(box), height, frame_size)

    def update(self, view: View, objects: Sequence[ObjectState], frame_size: tuple[int, int]
               ) -> None:  # fmt: skip
        """Take what was found.

        Args:
            view: the part of the frame that was looked at.
            objects: the states of all living objects, in pixels of the frame.
            frame_size: (height, width) in pixels.
        """
        before, self._box = self._box, None
        self._frame_size = frame_size
        if not objects or any(state.lost for state in objects):
            self._height, self._motion = 0.0, (0.0, 0.0)
            return
        self._box = box = joined([state.box_xywh for state in objects])
        whole = self._whole(frame_size)
        height = max(view.size[0], view.size[1] / self._ratio)
        if view == View.whole(frame_size):
            height = self._height or whole
        wanted = self._wanted(box, frame_size)
        if view.cuts(box, frame_size):
            wanted = max(wanted, height * GROW)
        self._height = min(max(wanted, height * SHRINK), height * GROW, whole)
        middle = _middle(box)
        if before is not None:
            limit = _MOST_MOTION * height
            moved = np.clip(np.subtract(middle, _middle(before)), -limit, limit)
            x, y = _STEADY * np.array(self._motion) + (1 - _STEADY) * moved
            self._motion = float(x), float(y)
        self._centre = middle[0] + self._motion[0], middle[1] + self._motion[1]

    def _wanted(self, box: Box, frame_size: tuple[int, int]) -> float:
        wanted = max(box[3], box[2] / self._ratio) / FILL
        return min(max(wanted, SMALLEST * self._image_size[0]), self._whole(frame_size))

    def _whole(self, frame_size: tuple[int, int]) -> float:
        return max(frame_size[0], frame_size[1] / self._ratio)

    def _at(self, centre: tuple[float, float], height: float, frame_size: tuple[int, int]) -> View:
        if not height or height >= 0.98 * self._whole(frame_size):
            return View.whole(frame_size)
        return View.at(centre, (height, height * self._ratio), frame_size)


def _middle(box: Box) -> tuple[float, float]:
    left, top, width, height = box
    return left + width / 2, top + height / 2
