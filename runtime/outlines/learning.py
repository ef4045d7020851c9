"""Make frames whose truth is known out of a given one, and learn outlines from them.

The given frame is moved, turned and scaled a little, and the network finds the objects in it
(Khoreva et al., Lucid Data Dreaming, arXiv 1703.09554). In some of them the objects alone move so,
and what is behind them moves otherwise.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.objects.view import View, box_around
from edge_vos.runtime.objects.zoom import view_of
from edge_vos.runtime.outlines.key_axes import KeyAxes
from edge_vos.runtime.outlines.mending import lesson_of
from edge_vos.runtime.outlines.outline import Lesson, Outline
from edge_vos.runtime.outlines.seen import Seen

MADE_FRAMES = 24
"""So many are made for an outline."""

APART = 4
"""In every so many of them the background moves otherwise than the objects."""

FILL = 0.9
"""How much of a made frame's view the objects fill in height or width."""

_TURN_DEGREES, _SCALE = 4.0, 0.06
_SHIFT, _SHIFT_APART = (0.04, 0.03), (0.08, 0.08)  # parts of width and height
_HOLE_PX, _FILL_SHRINK = 9, 4
"""So much wider than the objects is what is filled behind them, and so much smaller it is done."""
_EDGE = 0.7  # pixels of deviation, of the seam

Image = NDArray[np.uint8]
Look = Callable[[Image, View], Seen]
"""Finds the objects in a part of a frame, and remembers nothing of it."""


@dataclass(frozen=True)
class Known:
    """Hold a frame, what was seen in it, and the truth.

    Args:
        image: (H, W, 3) uint8, BGR.
        seen: what the network found in a part of it.
        truth: (H, W) uint8 label map.
    """

    image: Image
    seen: Seen
    truth: Image


def learn_outlines(frames: Iterable[Known], object_ids: Sequence[int]) -> dict[int, Outline]:
    """Learn the outlines of objects from frames of which the truth is known.

    Returns:
        an outline for each of the objects that is seen in one of the frames.
    """
    lessons: dict[int, list[Lesson]] = {object_id: [] for object_id in object_ids}
    axes: KeyAxes | None = None
    for known in frames:
        axes = axes or KeyAxes.of(known.seen.key)
        view = known.seen.view
        for object_id, found in lessons.items():
            truth = view.of(known.truth) == object_id
            if truth.any():
                lesson = lesson_of(view.of(known.image), known.seen, object_id, truth, axes)
                if len(lesson.depth):
                    found.append(lesson)
    if axes is None:
        return {}
    return {i: Outline.learn(found, axes) for i, found in lessons.items() if found}


def make_frames(
    looks: Sequence[Look],
    image: Image,
    mask: Image,
    image_size: tuple[int, int],
    count: int = MADE_FRAMES,
) -> Iterator[Known]:
    """Move a given frame a little, so and so, and look at each.

    Args:
        looks: take turns.
        image: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8 label map of it.
        image_size: (height, width) of the network's image.
        count: so many frames.
    """
    random = np.random.default_rng(0)
    ground = _without(image, mask)
    for place in range(count):
        matrix = _move(random, mask.shape, _SHIFT)
        picture, truth = _warp(image, matrix), _warp(mask, matrix, cv2.INTER_NEAREST)
        if place % APART == APART - 1:
            behind = _warp(ground, _move(random, mask.shape, _SHIFT_APART))
            on = cv2.GaussianBlur((truth > 0).astype(np.float32), (0, 0), _EDGE)[..., np.newaxis]
            picture = np.asarray(picture * on + behind * (1 - on), np.uint8)
        look = looks[place % len(looks)]
        yield Known(picture, look(picture, view_around(truth, image_size)), truth)


def view_around(mask: Image, image_size: tuple[int, int]) -> View:
    """Return the part of a frame around a mask; the whole frame where it is empty."""
    frame_size = mask.shape[0], mask.shape[1]
    if not mask.any():
        return View.whole(frame_size)
    return view_of(box_around(mask), frame_size, image_size, FILL)


def _move(
    random: np.random.Generator, size: tuple[int, ...], shift: tuple[float, float]
) -> NDArray[np.float64]:
    """Draw a small motion: the (2, 3) matrix of an affine map."""
    height, width = size
    turn, scale = random.normal(0, _TURN_DEGREES), np.exp(random.normal(0, _SCALE))
    turned = cv2.getRotationMatrix2D((width / 2, height / 2), turn, float(scale))
    matrix = np.asarray(turned, np.float64)
    matrix[:, 2] += random.normal(0, (shift[0] * width, shift[1] * height))
    return matrix


def _warp(picture: Image, matrix: NDArray[np.float64], flags: int = cv2.INTER_LINEAR) -> Image:
    border = cv2.BORDER_REFLECT if picture.ndim == 3 else cv2.BORDER_CONSTANT
    size = picture.shape[1::-1]
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=border), np.uint8
    )


def _without(image: Image, mask: Image) -> Image:
    """Fill the place of the objects with what is around it, without detail."""
    hole = cv2.dilate((mask > 0).astype(np.uint8), np.ones((_HOLE_PX, _HOLE_PX), np.uint8))
    height, width = (max(side // _FILL_SHRINK, 1) for side in mask.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    small_hole = cv2.dilate(cv2.resize(hole, (width, height)), np.ones((3, 3), np.uint8))
    filled = cv2.inpaint(small, small_hole, 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(hole[..., np.newaxis] > 0, np.asarray(filled, np.uint8), image)
