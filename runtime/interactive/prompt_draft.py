"""A prompt in the making: a box and clicks on a frame that stands still, and the mask they give."""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.interactive.prompts import correct_mask, mask_from_box, mask_from_point
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sources.frame import Frame

_ON, _BESIDE = (80, 220, 80), (60, 60, 235)  # BGR of clicks on the object and beside it


@dataclass(frozen=True)
class PromptDraft:
    """Hold what the user drew so far, and the mask that GrabCut makes of it.

    Args:
        frame: what the user saw when it began.
        result: what was found in that frame.
        object_id: whose mask it will be.
        box_xywh: around the object.
        points: clicks, as (x, y).
        labels: 1 for each click on the object, 0 for each beside it.
        mask: (H, W) uint8, 1 on the object: at first the object as it was found, or nothing.
        picture: (H, W, 3) uint8, BGR: the frame with the mask and the clicks drawn over it.
    """

    frame: Frame
    result: FrameResult
    object_id: int
    box_xywh: tuple[int, int, int, int] | None
    points: tuple[tuple[int, int], ...]
    labels: tuple[int, ...]
    mask: NDArray[np.uint8]
    picture: NDArray[np.uint8]

    @classmethod
    def begin(cls, frame: Frame, result: FrameResult, object_id: int) -> Self:
        """Begin with an object as it was found, or with nothing."""
        found = (result.mask == object_id).view(np.uint8)
        return cls(frame, result, object_id, None, (), (), found, frame.image)

    def with_box(self, box_xywh: tuple[int, int, int, int]) -> Self:
        """Return a draft that begins anew with a box.

        Raises:
            PromptError: if nothing is found in it.
        """
        mask = mask_from_box(self.frame.image, box_xywh)
        frame_height, frame_width = mask.shape
        x, y, width, height = box_xywh
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, frame_width), min(y + height, frame_height)
        inside = (left, top, right - left, bottom - top)
        return replace(self, box_xywh=inside, points=(), labels=(), mask=mask)._drawn()

    def with_click(self, xy: tuple[int, int], label: int) -> Self:
        """Return a draft with one more click.

        Raises:
            PromptError: if nothing is found, or nothing is left.
        """
        points, labels = (*self.points, xy), (*self.labels, label)
        image = self.frame.image
        if self.box_xywh is not None:
            mask = correct_mask(image, mask_from_box(image, self.box_xywh), points, labels)
        else:
            found = (self.result.mask == self.object_id).view(np.uint8)
            if found.any():
                mask = correct_mask(image, found, points, labels)
            else:
                mask = mask_from_point(image, points, labels)
        return replace(self, points=points, labels=labels, mask=mask)._drawn()

    def _drawn(self) -> Self:
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
        radius = max(3, picture.shape[0] // 120)
        for xy, label in zip(self.points, self.labels, strict=True):
            cv2.circle(picture, xy, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(picture, xy, radius, _ON if label else _BESIDE, -1, cv2.LINE_AA)
        if self.box_xywh is not None:
            x, y, width, height = self.box_xywh
            corner = (x + width, y + height)
            cv2.rectangle(picture, (x, y), corner, painter.colours[self.object_id], 1)
        return replace(self, picture=picture)
