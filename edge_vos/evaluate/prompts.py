"""Measure what comes of boxes and clicks: on single frames, and in the video that follows.

The clicks are those of RITM's protocol (https://arxiv.org/abs/2102.06583): each falls into the
middle of the largest error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError, UsageError
from edge_vos.evaluate.clicks import box_of, next_click
from edge_vos.evaluate.metrics import region_similarity
from edge_vos.evaluate.sequences import Dataset, object_ids
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.segmenter import Segmenter

Mask = NDArray[np.uint8]

MOST_CLICKS = 20
"""Clicks after which RITM's protocol gives up."""

FRAME_STEP = 10
"""Every how many frames of a sequence prompts are tried."""


class PromptModel(Protocol):
    """Make a mask of a frame from a box, clicks and the mask so far, as ``PromptHead`` does."""

    def mask(
        self,
        frame: NDArray[np.uint8],
        box_xywh: tuple[int, int, int, int] | None = None,
        points: Sequence[tuple[int, int]] = (),
        labels: Sequence[int] = (),
        mask: Mask | None = None,
    ) -> Mask:
        """Return (H, W) uint8, 1 on the object."""


@dataclass(frozen=True)
class PromptScores:
    """Hold how good masks of single frames are; J in percent, means over objects and frames.

    Args:
        frames: objects in frames that were tried.
        box: J of the mask from a box.
        after: J after 1, 2, 3 and 5 clicks.
        clicks85: clicks to a J of 85 percent; 20 where it is not reached.
        clicks90: the same to 90.
    """

    frames: int
    box: float
    after: dict[int, float]
    clicks85: float
    clicks90: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Say it in two lines."""
        after = ", ".join(f"{count}: {value:.1f}" for count, value in self.after.items())
        return [
            f"one frame in {FRAME_STEP} ({self.frames} masks): J from a box {self.box:.1f}, "
            f"after clicks {after}",
            f"clicks to J 85: {self.clicks85:.2f}, to 90: {self.clicks90:.2f}",
        ]


def parse_prompt(text: str) -> int:
    """Return how many clicks ``box``, ``click`` or ``clicks:N`` stands for; 0 is a box.

    Raises:
        UsageError: if it is none of them.
    """
    if text in ("box", "click"):
        return int(text == "click")
    name, _, count = text.partition(":")
    if name == "clicks" and count.isdecimal() and 1 <= int(count) <= MOST_CLICKS:
        return int(count)
    raise UsageError(f"--prompt {text}", f"box, click or clicks:N with N up to {MOST_CLICKS}")


def prompted_mask(model: PromptModel, frame: NDArray[np.uint8], truth: Mask, clicks: int) -> Mask:
    """Return the mask that a box, or so many clicks, on the true object give."""
    if not clicks:
        return model.mask(frame, box_xywh=box_of(truth))
    masks = list(islice(_clicked(model, frame, truth), clicks))
    return masks[-1] if masks else np.zeros_like(truth)


def score_prompts(
    dataset: Dataset,
    model: PromptModel,
    step: int = FRAME_STEP,
) -> PromptScores:
    """Try a box and clicks on every ``step``-th annotated frame of every sequence.

    Args:
        dataset: what ``read_dataset`` found.
        model: makes the masks.
        step: distance of the frames; the first one is tried.

    Raises:
        DatasetError: if a picture cannot be read.
    """
    boxes, curves = [], []
    for sequence in dataset.sequences:
        for index in sorted(sequence.annotations)[::step]:
            frame, labels = sequence.read(index)
            if labels is None or labels.shape != frame.shape[:2]:
                continue
            for object_id in sorted(object_ids(labels)):
                truth = (labels == object_id).astype(np.uint8)
                boxes.append(_overlap(prompted_mask(model, frame, truth, 0), truth))
                curves.append(_curve(model, frame, truth))
    table = np.array(curves)
    return PromptScores(
        len(boxes),
        100 * float(np.mean(boxes)),
        {count: 100 * float(table[:, count - 1].mean()) for count in (1, 2, 3, 5)},
        _clicks_to(table, 0.85),
        _clicks_to(table, 0.9),
    )


class PromptedSegmenter:
    """Follow objects that were shown by a box or clicks instead of by their masks.

    Args:
        segmenter: follows them.
        model: makes the first masks.
        clicks: how many; 0 is a box.
        scores: gets the J of each first mask, in [0, 1].
    """

    def __init__(
        self, segmenter: Segmenter, model: PromptModel, clicks: int, scores: list[float]
    ) -> None:
        self._segmenter, self._model, self._clicks = segmenter, model, clicks
        self._scores = scores
        self._given: Mask | None = None

    def prompt(self, mask: Mask) -> None:
        """Take the true masks of the objects that enter in the next frame; they are not used."""
        self._given = mask

    def step(self, frame: NDArray[np.uint8]) -> FrameResult:
        """Show the new objects and segment the frame."""
        if self._given is not None:
            shown = np.zeros_like(self._given)
            for object_id in sorted(object_ids(self._given)):
                truth = (self._given == object_id).astype(np.uint8)
                found = prompted_mask(self._model, frame, truth, self._clicks)
                self._scores.append(_overlap(found, truth))
                # What is lost from the start cannot be followed: a person would click again.
                shown[(found if found.any() else truth) > 0] = object_id
            self._segmenter.prompt(shown)
            self._given = None
        return self._segmenter.step(frame)


def _clicked(model: PromptModel, frame: NDArray[np.uint8], truth: Mask) -> Iterator[Mask]:
    """Yield the mask after each click, until nothing is wrong."""
    found: Mask | None = None
    points: list[tuple[int, int]] = []
    labels: list[int] = []
    while True:
        click = next_click(truth, np.zeros_like(truth) if found is None else found)
        if click is None:
            return
        points.append(click[0])
        labels.append(click[1])
        try:
            found = model.mask(frame, points=points, labels=labels, mask=found)
        except PromptError:
            found = np.zeros_like(truth)
        yield found


def _curve(model: PromptModel, frame: NDArray[np.uint8], truth: Mask) -> list[float]:
    """Return J after each of ``MOST_CLICKS`` clicks; it stays once 90 percent are passed."""
    values: list[float] = []
    for found in islice(_clicked(model, frame, truth), MOST_CLICKS):
        values.append(_overlap(found, truth))
        if values[-1] >= 0.9 and len(values) >= 5:
            break
    return values + [values[-1] if values else 1.0] * (MOST_CLICKS - len(values))


def _clicks_to(curves: NDArray[np.float64], level: float) -> float:
    reached = curves >= level
    counts = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, MOST_CLICKS)
    return float(counts.mean())


def _overlap(found: Mask, truth: Mask) -> float:
    return region_similarity(found > 0, truth > 0)
