"""Find the object that a prompt shows in a frame: the one way from a prompt to a mask."""

import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.preprocess import check_frame
from edge_vos.runtime.prompts.checks import points_beside_only
from edge_vos.runtime.prompts.grabcut import correct_mask, mask_from_box, mask_from_point
from edge_vos.runtime.prompts.prompt import Box, Prompt
from edge_vos.runtime.prompts.prompt_head import PromptHead

FALLBACK = (
    "This model has no prompt head: boxes and clicks are cut out by their colours (GrabCut), "
    "which is rougher. Give a mask, or convert a bundle that has a prompt head"
)

_log = logging.getLogger(__name__)


class ObjectFinder:
    """Turn prompts into masks, with the model's prompt head where it has one.

    Any thread may ask; one is answered at a time.

    Args:
        open_head: returns the model's prompt head, or ``None`` for a model without; it is called
            when a box or a point has to be understood, and not before.
    """

    def __init__(self, open_head: Callable[[], PromptHead | None] = lambda: None) -> None:
        self._open_head = open_head
        self._lock = threading.Lock()
        self._told = False

    def find(
        self,
        frame: NDArray[np.uint8],
        prompt: Prompt,
        current: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Find the object that a prompt shows.

        Args:
            frame: (H, W, 3) uint8, BGR.
            prompt: what shows it.
            current: (H, W) uint8, not zero on the object as it is known so far; points refine it.
                ``None`` or all zero for an object that is new.

        Returns:
            (H, W) uint8: 1 on the object.

        Raises:
            PromptError: if the prompt does not lie in the frame, nothing is found, or points
                beside an object are all that is known of it.
            EngineError: if the prompt head fails.
        """
        prompt.check_frame(check_frame(frame))
        if prompt.mask is not None:
            current = prompt.mask
        elif current is not None and not current.any():
            current = None
        if prompt.is_points and current is None and 1 not in prompt.signs:
            raise points_beside_only()
        if prompt.mask is not None and not prompt.points:
            return prompt.mask
        with self._lock:
            head = self._open_head()
            if head is None and not self._told:
                self._told = True
                _log.warning("%s.", FALLBACK)
            how = _cut_out if head is None else _with_head(head)
            found = how(frame, prompt, current)
        if not found.any():
            raise PromptError(
                f"No object was found at {_where(prompt)}",
                "an object that stands out",
                "Give a mask (--mask FILE), or another box or point",
            )
        return found


_Way = Callable[[NDArray[np.uint8], Prompt, NDArray[np.uint8] | None], NDArray[np.uint8]]


def _with_head(head: PromptHead) -> _Way:
    def find(
        frame: NDArray[np.uint8], prompt: Prompt, current: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        box, mask = _only(prompt.boxes_xywh), current
        if len(prompt.boxes_xywh) > 1:
            mask = _union([head.mask(frame, each) for each in prompt.boxes_xywh])
            if not prompt.points:
                return mask
        return head.mask(frame, box, prompt.points, prompt.signs, mask)

    return find


def _cut_out(
    frame: NDArray[np.uint8], prompt: Prompt, current: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Find it with GrabCut."""
    if prompt.boxes_xywh:
        current = _union([mask_from_box(frame, each) for each in prompt.boxes_xywh])
        if not prompt.points:
            return current
    if current is None:
        return mask_from_point(frame, prompt.points, prompt.signs)
    return correct_mask(frame, current, prompt.points, prompt.signs)


def _only(boxes: tuple[Box, ...]) -> Box | None:
    return boxes[0] if len(boxes) == 1 else None


def _union(masks: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.asarray(np.maximum.reduce(masks), np.uint8)


def _where(prompt: Prompt) -> str:
    shown = prompt.boxes_xywh or prompt.points[-1:]
    kind = "box" if prompt.boxes_xywh else "point"
    return f"the {kind} " + " and ".join(",".join(map(str, numbers)) for numbers in shown)
