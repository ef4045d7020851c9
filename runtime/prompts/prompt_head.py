"""Find an object from a box, clicks and the mask so far, with the prompt head's network.

The network looks at a part of the frame: around the box, around the mask, or, when a click is all
there is, at the whole frame first and then closer (as RITM's zoom-in,
https://arxiv.org/abs/2102.06583). So small objects are seen as large as large ones. It looks there
twice, the second time mirrored, and where the user clicked a third time, closer at what it found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.graph import MASK_STRIDE
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.labels import OUTLINE, outline_levels
from edge_vos.runtime.objects.view import Box, View, joined
from edge_vos.runtime.preprocess import Letterbox, check_frame

ON, BESIDE, BOX, MASK = range(4)
"""The channels of the prompt."""

CLICK_CELLS = 1.5
"""Standard deviation of a click's spot, in cells of 4 pixels."""

BOX_MARGIN = 0.25
"""How much of the surroundings, by the box's side, the network sees on each side."""

MASK_MARGIN = 0.4
"""The same around a mask, which may be too small yet."""

FOUND_MARGIN = 0.15
"""The same around what two looks have found."""

_LEAST_VIEW_PX = 64
_LEAST_GAIN = 1.25  # a closer look that enlarges less is not worth a call


class PromptHead:
    """Make masks of a frame from boxes, clicks and masks.

    Args:
        runner: an engine with the prompt head's graph in it: ``image`` and ``prompt`` in,
            ``probability`` out; see ``edge_vos.graph.PromptGraphSpec``.
        size: (height, width) of the image that the graph takes.
    """

    def __init__(self, runner: Runner, size: tuple[int, int]) -> None:
        self.runner = runner
        self.size = size

    def mask(
        self,
        frame: NDArray[np.uint8],
        box_xywh: Box | None = None,
        points: Sequence[tuple[int, int]] = (),
        labels: Sequence[int] = (),
        mask: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Find one object in a frame.

        Args:
            frame: (H, W, 3) uint8, BGR.
            box_xywh: a box around the object, if one was drawn.
            points: pixels as (x, y), inside the frame.
            labels: 1 for each point on the object, 0 for each beside it.
            mask: (H, W) uint8, not zero where the object is thought to be; ``None`` for a new one.

        Returns:
            (H, W) uint8: 1 on the object; all zero if none was found.
        """
        frame_size = check_frame(frame)
        if mask is not None:
            view = self._view_of_mask(mask, points, MASK_MARGIN, frame_size)
        elif box_xywh is not None:
            view = self._view(joined([box_xywh, *_spots(points)]), BOX_MARGIN, frame_size)
        else:
            view = View.whole(frame_size)
        look = self._look(frame, view, box_xywh, points, labels, mask)
        found = self._probability(look)
        is_close = mask is None and box_xywh is not None  # a box's view is close from the start
        if mask is None and box_xywh is None:
            seen = _drawn(look, found, frame_size)
            view = self._view_of_mask(seen, points, MASK_MARGIN, frame_size)
            is_close = _gain(look.view, view, self.size) >= _LEAST_GAIN
            if is_close:
                look = self._look(frame, view, None, points, labels, seen)
                found = self._probability(look)
        if mask is None:
            look.prompt[0, MASK] = found[0, 0]
            found = self._probability(look, mirrored=True)
        else:
            found = (found + self._probability(look, mirrored=True)) * np.float32(0.5)
        seen = _drawn(look, found, frame_size)
        if is_close or not seen.any():
            return seen
        view = self._view_of_mask(seen, points, FOUND_MARGIN, frame_size)
        look = self._look(frame, view, box_xywh, points, labels, seen)
        return _drawn(look, self._probability(look), frame_size)

    def _view_of_mask(
        self,
        mask: NDArray[np.uint8],
        points: Sequence[tuple[int, int]],
        margin: float,
        frame_size: tuple[int, int],
    ) -> View:
        left, top, width, height = cv2.boundingRect(mask)
        boxes = [(left, top, width, height)] if width else []
        return self._view(joined([*boxes, *_spots(points)]), margin, frame_size)

    def _view(self, box: Box, margin: float, frame_size: tuple[int, int]) -> View:
        return view_around(box, margin, frame_size, self.size)

    def _look(
        self,
        frame: NDArray[np.uint8],
        view: View,
        box_xywh: Box | None,
        points: Sequence[tuple[int, int]],
        labels: Sequence[int],
        mask: NDArray[np.uint8] | None,
    ) -> "_Look":
        letterbox = Letterbox.fit(view.size, self.size)
        prompt = prompt_maps(letterbox, view, box_xywh, points, labels, mask)
        return _Look(view, letterbox, letterbox.image(view.of(frame)), prompt)

    def _probability(self, look: "_Look", *, mirrored: bool = False) -> NDArray[np.float32]:
        """Return (1, 1, H/4, W/4) float32, the object's probability."""
        if not mirrored:
            return self.runner.run({"image": look.image, "prompt": look.prompt})["probability"]
        inputs = {"image": look.image[..., ::-1], "prompt": look.prompt[..., ::-1]}
        outputs = self.runner.run(
            {name: np.ascontiguousarray(each) for name, each in inputs.items()}
        )
        return outputs["probability"][..., ::-1]


def view_around(
    box: Box, margin: float, frame_size: tuple[int, int], image_size: tuple[int, int]
) -> View:
    """Look at a box and a margin, in the network's aspect ratio as far as the frame reaches.

    Args:
        box: what must be seen; it may reach over the frame's edge.
        margin: on each side, by the box's side.
        frame_size: (height, width) in pixels.
        image_size: (height, width) of the network's image.
    """
    left, top, width, height = box
    seen = [max(side * (1 + 2 * margin), _LEAST_VIEW_PX) for side in (height, width)]
    ratio = image_size[1] / image_size[0]
    size = max(seen[0], seen[1] / ratio), max(seen[1], seen[0] * ratio)
    return View.at((left + width / 2, top + height / 2), size, frame_size)


@dataclass(frozen=True)
class _Look:
    view: View
    letterbox: Letterbox
    image: NDArray[np.float32]
    prompt: NDArray[np.float32]


def _drawn(
    look: _Look, probability: NDArray[np.float32], frame_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the mask of a frame, its outlines along the picture's."""
    cells = look.letterbox.crop(probability[0])[0]
    levels = outline_levels(np.stack([1 - cells, cells]), look.letterbox, look.image)
    found = np.zeros(frame_size, np.uint8)
    look.view.of(found)[:] = levels > OUTLINE
    return found


def prompt_maps(
    letterbox: Letterbox,
    view: View,
    box_xywh: Box | None,
    points: Sequence[tuple[int, int]],
    labels: Sequence[int],
    mask: NDArray[np.uint8] | None,
) -> NDArray[np.float32]:
    """Draw what the user showed as the maps that the network takes.

    Args:
        letterbox: how the view lies in the network's image.
        view: the part of the frame that is looked at.
        box_xywh: in pixels of the frame; ``None`` for none.
        points: pixels of the frame, as (x, y).
        labels: 1 for each point on the object, 0 for each beside it.
        mask: (H, W) uint8 of the frame's size, not zero on the object; ``None`` for none.

    Returns:
        (1, 4, H/4, W/4) float32 in [0, 1]: clicks on the object, clicks beside it, the part of
        each cell that the box covers, and that the mask covers.
    """
    height, width = (side // MASK_STRIDE for side in letterbox.image_size)
    maps = np.zeros((1, 4, height, width), np.float32)
    content = letterbox.crop(maps)[0]
    rows, columns = content.shape[1:]
    scale_y, scale_x = rows / view.size[0], columns / view.size[1]
    for (x, y), label in zip(points, labels, strict=True):
        row, column = (y + 0.5 - view.top) * scale_y - 0.5, (x + 0.5 - view.left) * scale_x - 0.5
        draw_click(content[ON if label == 1 else BESIDE], row, column)
    if box_xywh is not None:
        x, y, box_width, box_height = box_xywh
        down = _covered(y - view.top, y + box_height - view.top, scale_y, rows)
        across = _covered(x - view.left, x + box_width - view.left, scale_x, columns)
        content[BOX] = np.outer(down, across)
    if mask is not None:
        part = (view.of(mask) > 0).astype(np.float32)
        content[MASK] = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    return maps


def draw_click(channel: NDArray[np.float32], row: float, column: float) -> None:
    """Draw a click into a (h, w) float32 map, in place, as a spot around a place in cells."""
    rows, columns = channel.shape
    down = np.exp(-0.5 * ((np.arange(rows) - row) / CLICK_CELLS) ** 2)
    across = np.exp(-0.5 * ((np.arange(columns) - column) / CLICK_CELLS) ** 2)
    np.maximum(channel, np.outer(down, across), out=channel, casting="same_kind")


def _covered(start: float, stop: float, scale: float, cells: int) -> NDArray[np.float64]:
    """Return the part of each of ``cells`` that lies between two places."""
    edges = np.arange(cells + 1)
    inside = np.minimum(stop * scale, edges[1:]) - np.maximum(start * scale, edges[:-1])
    return np.asarray(np.clip(inside, 0.0, 1.0), np.float64)


def _spots(points: Sequence[tuple[int, int]]) -> list[Box]:
    return [(x, y, 1, 1) for x, y in points]


def _gain(before: View, after: View, image_size: tuple[int, int]) -> float:
    """Return how much larger things appear in the second view."""
    scales = [
        min(side / seen for side, seen in zip(image_size, view.size, strict=True))
        for view in (before, after)
    ]
    return scales[1] / scales[0]
