"""A prompt in the making: boxes, clicks and strokes on a still frame, and the mask they give."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Box, Point, Prompt
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sources.frame import Frame

_ON, _BESIDE = (80, 220, 80), (60, 60, 235)  # BGR of clicks on the object and beside it


@dataclass(frozen=True)
class Stroke:
    """Hold what a brush painted in one go.

    Args:
        points: pixels that the brush went along, as (x, y); at least one.
        radius_px: of the brush.
        positive: it adds to the object, or takes away.
    """

    points: tuple[Point, ...]
    radius_px: int
    positive: bool = True

    def paint(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask with the stroke in it.

        Args:
            mask: (H, W) uint8, 1 on the object.
        """
        painted = mask.copy()
        value, width = int(self.positive), 2 * self.radius_px + 1
        line = np.array(self.points, np.int32).reshape(1, -1, 2)
        if len(self.points) > 1:
            cv2.polylines(painted, [line], isClosed=False, color=(value,), thickness=width)
        for xy in (self.points[0], self.points[-1]):
            cv2.circle(painted, xy, self.radius_px, (value,), -1)
        return painted


@dataclass(frozen=True)
class PromptDraft:
    """Hold what the user drew so far, and the mask that comes of it.

    Args:
        frame: what the user saw when it began.
        result: what was found in that frame.
        object_id: whose mask it will be.
        finder: makes the masks.
        mask: (H, W) uint8, 1 on the object: at first the object as it was found, or nothing.
        picture: (H, W, 3) uint8, BGR: the frame with the mask and the clicks drawn over it.
        prompt: the box and the clicks, and the brush's mask below them; ``None`` for none yet.
    """

    frame: Frame
    result: FrameResult
    object_id: int
    finder: ObjectFinder
    mask: NDArray[np.uint8]
    picture: NDArray[np.uint8]
    prompt: Prompt | None = None

    @classmethod
    def begin(
        cls,
        frame: Frame,
        result: FrameResult,
        object_id: int,
        finder: ObjectFinder,
        earlier: Prompt | None = None,
    ) -> "PromptDraft":
        """Begin with an object as it was found, or with nothing.

        Args:
            frame: what the user sees.
            result: what was found in it.
            object_id: whose mask it will be.
            finder: makes the masks.
            earlier: the clicks that the object was given in this frame before.
        """
        found = (result.mask == object_id).view(np.uint8)
        return cls(frame, result, object_id, finder, found, frame.image, earlier)

    def with_box(self, box_xywh: Box) -> "PromptDraft":
        """Return a draft that begins anew with a box.

        Raises:
            PromptError: if nothing is found in it.
        """
        prompt = Prompt(self.object_id, boxes_xywh=(box_xywh,))
        mask = self.finder.find(self.frame.image, prompt)
        return replace(self, prompt=prompt, mask=mask)._drawn()

    def with_click(self, xy: Point, label: int) -> "PromptDraft":
        """Return a draft with one more click, which refines the mask so far; all clicks count.

        Raises:
            PromptError: if the click lies outside the frame or contradicts another one, nothing is
                found, or nothing is left.
        """
        click = Prompt(self.object_id, points=(xy,), labels=(label,))
        prompt = click if self.prompt is None else self.prompt.join(click)
        if prompt.mask is not None:
            prompt = replace(prompt, mask=self.mask)
        mask = self.finder.find(self.frame.image, prompt, self.mask)
        return replace(self, prompt=prompt, mask=mask)._drawn()

    def with_stroke(self, stroke: Stroke) -> "PromptDraft":
        """Return a draft whose mask is painted by hand in one place.

        Raises:
            PromptError: if nothing is left.
        """
        mask = stroke.paint(self.mask)
        if not mask.any():
            raise PromptError(
                "Nothing of the object is left", "at least one pixel", "Drop the object instead"
            )
        kept = self.prompt
        points, labels = ((), ()) if kept is None else (kept.points, kept.signs)
        prompt = Prompt(self.object_id, mask=mask, points=points, labels=labels)
        return replace(self, prompt=prompt, mask=mask)._drawn()

    def _drawn(self) -> "PromptDraft":
        mask = self.result.mask.copy()
        mask[mask == self.object_id] = 0
        mask[self.mask > 0] = self.object_id
        objects = tuple(state for state in self.result.objects if state.id != self.object_id)
        left, top, width, height = cv2.boundingRect(self.mask)
        area_px = cv2.countNonZero(self.mask)
        box = (left, top, width, height)
        name = next((state.name for state in self.result.objects if state.id == self.object_id), "")
        state = ObjectState(self.object_id, area_px, box, 1.0, lost=False, name=name)
        painter = Painter()
        shown = replace(self.result, mask=mask, objects=(*objects, state))
        picture = painter.paint(self.frame, shown)
        if self.prompt is not None:
            self._mark(picture, self.prompt, painter.colours[self.object_id])
        return replace(self, picture=picture)

    def _mark(
        self, picture: NDArray[np.uint8], prompt: Prompt, colour: tuple[int, int, int]
    ) -> None:
        """Draw the clicks and boxes in place."""
        radius = max(3, picture.shape[0] // 120)
        for xy, label in zip(prompt.points, prompt.signs, strict=True):
            cv2.circle(picture, xy, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(picture, xy, radius, _ON if label else _BESIDE, -1, cv2.LINE_AA)
        for x, y, width, height in prompt.boxes_xywh:
            cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 1)
