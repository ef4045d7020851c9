"""Measure what comes of boxes and clicks: on single frames, and in the video that follows.

The clicks are those of RITM's protocol (https://arxiv.org/abs/2102.06583): each falls into the
middle of the largest error.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError, UsageError
from edge_vos.evaluate.clicks import box_of, next_click
from edge_vos.evaluate.metrics import region_similarity
from edge_vos.evaluate.sequences import Dataset, object_ids
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt
from edge_vos.runtime.segmenter import Segmenter

Mask = NDArray[np.uint8]

MOST_CLICKS = 20
"""Clicks after which RITM's protocol gives up."""

FRAME_STEP = 10
"""Every how many frames of a sequence prompts are tried."""


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


def prompted_mask(finder: ObjectFinder, frame: NDArray[np.uint8], truth: Mask, clicks: int) -> Mask:
    """Return the mask that a box, or so many clicks, on the true object give."""
    if not clicks:
        return _find(finder, frame, Prompt(boxes_xywh=(box_of(truth),)), None)
    masks = list(islice(_clicked(finder, frame, truth), clicks))
    return masks[-1] if masks else np.zeros_like(truth)


def score_prompts(
    dataset: Dataset,
    finder: ObjectFinder,
    step: int = FRAME_STEP,
) -> PromptScores:
    """Try a box and clicks on every ``step``-th annotated frame of every sequence.

    Args:
        dataset: what ``read_dataset`` found.
        finder: makes the masks.
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
                boxes.append(_overlap(prompted_mask(finder, frame, truth, 0), truth))
                curves.append(_curve(finder, frame, truth))
    table = np.array(curves)
    return PromptScores(
        len(boxes),
        100 * float(np.mean(boxes)),
        {count: 100 * float(table[:, count - 1].mean()) for count in (1, 2, 3, 5)},
        _clicks_to(table, 0.85),
        _clicks_to(table, 0.9),
    )


class FirstMasks:
    """Measure what comes of showing objects in one way.

    Args:
        name: of the way, for reports.
        clicks: how many on each object; 0 is a box.
    """

    def __init__(self, name: str, clicks: int) -> None:
        self.name, self.clicks = name, clicks
        self._first: list[float] = []
        self._frames: PromptScores | None = None

    def start(self, model: LoadedModel) -> "PromptedSegmenter":
        """Return a segmenter to which objects are shown in this way."""
        return PromptedSegmenter(Segmenter(model), self.clicks, self._first)

    def try_frames(self, dataset: Dataset, model: LoadedModel) -> None:
        """Try boxes and clicks on single frames of a data set, too."""
        self._frames = score_prompts(dataset, Segmenter(model).finder)

    @property
    def first_j(self) -> float:
        """Return the mean J of the first masks, in percent."""
        return 100 * float(np.mean(self._first)) if self._first else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        frames = None if self._frames is None else self._frames.as_dict()
        return {"prompt": self.name, "first_j": self.first_j, "frames": frames}

    def lines(self) -> list[str]:
        """Say it in a few lines."""
        first = f"first masks from {self.name}: mean J {self.first_j:.1f}"
        return [first, *([] if self._frames is None else self._frames.lines())]


class PromptedSegmenter:
    """Follow objects that were shown by a box or clicks instead of by their masks.

    Args:
        segmenter: follows them; it has the finder that makes the first masks.
        clicks: how many; 0 is a box.
        scores: gets the J of each first mask, in [0, 1].
    """

    def __init__(self, segmenter: Segmenter, clicks: int, scores: list[float]) -> None:
        self._segmenter, self._clicks, self._scores = segmenter, clicks, scores
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
                found = prompted_mask(self._segmenter.finder, frame, truth, self._clicks)
                self._scores.append(_overlap(found, truth))
                if not found.any():  # the segmenter wants to know at least where it is
                    x, y = _middle(truth)
                    found[y, x] = 1
                shown[found > 0] = object_id
            self._segmenter.prompt(shown)
            self._given = None
        return self._segmenter.step(frame)


def _middle(mask: Mask) -> tuple[int, int]:
    click = next_click(mask, np.zeros_like(mask))
    assert click is not None, "an object that is given has a pixel"
    return click[0]


def _clicked(finder: ObjectFinder, frame: NDArray[np.uint8], truth: Mask) -> Iterator[Mask]:
    """Yield the mask after each click, until nothing is wrong."""
    found: Mask | None = None
    points: list[tuple[int, int]] = []
    labels: list[int] = []
    while True:
        click = next_click(truth, np.zeros_like(truth) if found is None else found)
        if click is None or click[0] in points:
            return
        points.append(click[0])
        labels.append(click[1])
        prompt = Prompt(points=tuple(points), labels=tuple(labels))
        found = _find(finder, frame, prompt, found)
        yield found


def _find(
    finder: ObjectFinder, frame: NDArray[np.uint8], prompt: Prompt, found: Mask | None
) -> Mask:
    """Return what a prompt gives; where nothing is found, nothing."""
    try:
        return finder.find(frame, prompt, found)
    except PromptError:
        return np.zeros(frame.shape[:2], np.uint8)


def _curve(finder: ObjectFinder, frame: NDArray[np.uint8], truth: Mask) -> list[float]:
    """Return J after each of ``MOST_CLICKS`` clicks; it stays once 90 percent are passed."""
    values: list[float] = []
    for found in islice(_clicked(finder, frame, truth), MOST_CLICKS):
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
