"""Prompts as people give them, on real frames: what the prompt head is calibrated and verified on.

Where each object lies is known from the clip's own masks, or else from eager PyTorch, which follows
the objects through the clip. Boxes are drawn around them, clicks are made well inside, and masks
so far are off to one side and corrected by a click, as in RITM
(https://arxiv.org/abs/2102.06583).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.converters.lowering import Calibration
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.objects.view import Box
from edge_vos.runtime.prompts.prompt_head import PromptHead

Frame = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]

CASES = 16
"""How many prompts a head is verified on; it is calibrated on as many others."""

LOOSE = 0.05
"""How much wider than the object a box is drawn, by the object's side, on each side."""

SHIFTED = 0.1
"""How far to one side a mask so far lies, by the object's width."""

LEAST_PIXELS = 64
"""An object that covers fewer pixels of the frame is not prompted."""


@dataclass(frozen=True)
class PromptCase:
    """Hold a frame and what is shown of one object, as ``PromptHead.mask`` takes it.

    Args:
        frame: (H, W, 3) uint8, BGR.
        box_xywh: a box around the object; ``None`` for none.
        points: pixels as (x, y).
        labels: 1 for each point on the object, 0 for each beside it.
        mask: (H, W) uint8, the mask so far; ``None`` for none.
    """

    frame: Frame
    box_xywh: Box | None = None
    points: tuple[tuple[int, int], ...] = ()
    labels: tuple[int, ...] = ()
    mask: Mask | None = None

    def give(self, head: PromptHead) -> Mask:
        """Return the mask that a head makes of it: (H, W) uint8, 0 or 1."""
        return head.mask(self.frame, self.box_xywh, self.points, self.labels, self.mask)


@dataclass(frozen=True)
class Recorded:
    """Hold a prompt and what eager PyTorch made of it.

    Args:
        case: the prompt.
        calls: inputs and outputs of each call of the network.
        mask: (H, W) uint8, 0 or 1.
    """

    case: PromptCase
    calls: tuple[tuple[Tensors, Outputs], ...]
    mask: Mask


def split_cases(
    frames: Sequence[Frame], masks: Sequence[Mask]
) -> tuple[tuple[PromptCase, ...], tuple[PromptCase, ...]]:
    """Make prompts of every kind on frames spread over a clip.

    Args:
        frames: T frames (H, W, 3) uint8, BGR.
        masks: T label maps (H, W) uint8.

    Returns:
        prompts to verify on, and others to calibrate with; neither is empty where any object is
        large enough.
    """
    found: list[tuple[Frame, Mask]] = []
    for frame, labels in zip(frames, masks, strict=True):
        objects = [(labels == i).astype(np.uint8) for i in np.unique(labels) if i]
        found += [(frame, mask) for mask in objects if mask.sum() >= LEAST_PIXELS]
    if not found:
        return (), ()
    spread = np.linspace(0, len(found) - 1, 2 * CASES).astype(int)
    # Every kind comes to both halves: the kinds take turns in each of them.
    cases = [_KINDS[turn // 2 % len(_KINDS)](*found[at]) for turn, at in enumerate(spread)]
    return tuple(cases[::2]), tuple(cases[1::2])


def record(
    eager: Runner, size: tuple[int, int], cases: Sequence[PromptCase]
) -> tuple[Recorded, ...]:
    """Give prompts to eager PyTorch and keep what goes in and out.

    Args:
        eager: the prompt head's network before any rewrite.
        size: (height, width) of its image.
        cases: the prompts.
    """
    calls: list[tuple[Tensors, Outputs]] = []

    def run(inputs: Tensors) -> Outputs:
        outputs = eager.run(inputs)
        calls.append(({name: array.copy() for name, array in inputs.items()}, outputs))
        return outputs

    head = PromptHead(CallableRunner(run), size)
    recorded = []
    for case in cases:
        calls.clear()
        mask = case.give(head)
        recorded.append(Recorded(case, tuple(calls), mask))
    return tuple(recorded)


def calibration_of(name: str, recorded: Sequence[Recorded]) -> Calibration:
    """Return the inputs of all recorded calls, from which every engine takes its ranges."""
    return Calibration(name, tuple(inputs for each in recorded for inputs, _ in each.calls))


def _box(frame: Frame, mask: Mask) -> PromptCase:
    x, y, width, height = cv2.boundingRect(mask)
    left, top = max(0, round(x - LOOSE * width)), max(0, round(y - LOOSE * height))
    right = min(frame.shape[1], round(x + width * (1 + LOOSE)))
    bottom = min(frame.shape[0], round(y + height * (1 + LOOSE)))
    return PromptCase(frame, (left, top, right - left, bottom - top))


def _click(frame: Frame, mask: Mask) -> PromptCase:
    return PromptCase(frame, None, (_inmost(mask),), (1,))


def _box_and_click(frame: Frame, mask: Mask) -> PromptCase:
    return replace(_box(frame, mask), points=(_inmost(mask),), labels=(1,))


def _correction(frame: Frame, mask: Mask) -> PromptCase:
    """Add what a mask so far misses on the left, or remove what it has too much on the right."""
    step = max(1, round(SHIFTED * cv2.boundingRect(mask)[2]))
    shifted = np.zeros_like(mask)
    shifted[:, step:] = mask[:, :-step]
    missing, surplus = mask & (1 - shifted), shifted & (1 - mask)
    points, labels = [], []
    for region, label in ((missing, 1), (surplus, 0)):
        if region.any():
            points.append(_inmost(region))
            labels.append(label)
    return PromptCase(frame, None, tuple(points), tuple(labels), shifted)


def _inmost(mask: Mask) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask that is furthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


_KINDS: tuple[Callable[[Frame, Mask], PromptCase], ...] = (
    _box,
    _click,
    _correction,
    _box_and_click,
)
