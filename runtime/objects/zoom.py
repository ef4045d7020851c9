"""Choose the part of each frame to look at: around the objects, from where they just were.

A small object is seen larger, and a moving one stays at about the same place of the network's
image, where memory has it. So fast and small objects are lost less often (docs/ablation.md).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.view import Box, View, joined

FILL = 0.7
"""How much of the view's height or width the objects should fill."""

SMALLEST = 0.6
"""The view is at least as high as this part of the network's image; smaller ones only blur."""

GROW, SHRINK = 1.1, 0.98
"""The most that the view's height changes from one frame to the next."""

_FOLLOW, _SPEED = 0.4, 0.1
"""The gains of an alpha-beta filter: of the objects' place, and of their motion between frames."""

_NEARLY_WHOLE = 0.98


class Zoom:
    """Follow the objects with a view; the whole frame is searched while one of them is lost.

    Args:
        image_size: (height, width) of the network's image.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        self._image_size = image_size
        self.clear()

    def clear(self) -> None:
        """Begin with the whole frame."""
        self._frame_size = (0, 0)
        self._box: Box | None = None  # around all objects; None where one is lost
        self._ids: list[int] = []  # of them
        self._height = 0.0  # of the view, in pixels
        self._centre, self._motion = np.zeros(2), np.zeros(2)  # as the box moves, smoothly

    def view(
        self, frame_size: tuple[int, int], shown: Sequence[Box] = (), *, anew: bool = False
    ) -> View:
        """Return the part of the next frame to look at.

        Args:
            frame_size: (height, width) in pixels.
            shown: boxes around what the user shows in it.
            anew: whether that is all there is.
        """
        if anew:
            return view_of(joined(shown), frame_size, self._image_size, FILL)
        if self._box is None or frame_size != self._frame_size:
            return View.whole(frame_size)
        if not shown:
            return view_at(self._centre + self._motion, self._height, frame_size, self._image_size)
        box = joined([*shown, self._box])
        height = max(self._height, height_for(box, frame_size, self._image_size, FILL))
        return view_at(_middle(box), height, frame_size, self._image_size)

    def update(
        self,
        view: View,
        objects: Sequence[ObjectState],
        frame_size: tuple[int, int],
        *,
        shown: bool = False,
    ) -> None:
        """Take what was found.

        Args:
            view: the part of the frame that was looked at.
            objects: the states of all living objects, in pixels of the frame.
            frame_size: (height, width) in pixels.
            shown: whether the user showed something in this frame, perhaps far from all before.
        """
        is_lost = not objects or any(state.lost for state in objects)
        if is_lost or frame_size != self._frame_size:
            self.clear()
            self._frame_size = frame_size
        if is_lost:
            return
        box = joined([state.box_xywh for state in objects])
        ids = [state.id for state in objects]
        self._resize(view, box)
        if self._box is None or shown or ids != self._ids:
            self._centre, self._motion = _middle(box), np.zeros(2)
        else:
            expected = self._centre + self._motion
            missed = _middle(box) - expected
            self._centre = expected + _FOLLOW * missed
            self._motion = self._motion + _SPEED * missed
        self._box, self._ids = box, ids

    def _resize(self, view: View, box: Box) -> None:
        whole = _whole(self._frame_size, self._image_size)
        height = max(view.size[0], view.size[1] * self._image_size[0] / self._image_size[1])
        if view == View.whole(self._frame_size):
            height = self._height or whole
        wanted = height_for(box, self._frame_size, self._image_size, FILL)
        if view.cuts(box, self._frame_size):
            wanted = max(wanted, height * GROW)
        self._height = min(max(wanted, height * SHRINK), height * GROW, whole)


def height_for(
    box: Box, frame_size: tuple[int, int], image_size: tuple[int, int], fill: float
) -> float:
    """Return how high a view is, in pixels, of which a box fills that part in height or width."""
    wanted = max(box[3], box[2] * image_size[0] / image_size[1]) / fill
    return min(max(wanted, SMALLEST * image_size[0]), _whole(frame_size, image_size))


def view_of(
    box: Box, frame_size: tuple[int, int], image_size: tuple[int, int], fill: float
) -> View:
    """Return a view around a box."""
    height = height_for(box, frame_size, image_size, fill)
    return view_at(_middle(box), height, frame_size, image_size)


def view_at(
    centre: NDArray[np.float64],
    height: float,
    frame_size: tuple[int, int],
    image_size: tuple[int, int],
) -> View:
    """Return a view of the network's aspect ratio, as far as the frame reaches.

    Args:
        centre: (x, y) in pixels.
        height: in pixels; what is nearly the whole frame is all of it.
        frame_size: (height, width) in pixels.
        image_size: (height, width) of the network's image.
    """
    if height >= _NEARLY_WHOLE * _whole(frame_size, image_size):
        return View.whole(frame_size)
    size = height, height * image_size[1] / image_size[0]
    return View.at((float(centre[0]), float(centre[1])), size, frame_size)


def _whole(frame_size: tuple[int, int], image_size: tuple[int, int]) -> float:
    return max(frame_size[0], frame_size[1] * image_size[0] / image_size[1])


def _middle(box: Box) -> NDArray[np.float64]:
    left, top, width, height = box
    return np.array((left + width / 2, top + height / 2))
