"""Run a model over a data set in the loop that ships and score its masks."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, MaskError, UsageError
from edge_vos.evaluate import davis, youtube
from edge_vos.evaluate.metrics import boundary_accuracy, region_similarity
from edge_vos.evaluate.scores import EvalReport, SequenceScore, object_score, sequence_score, sum_up
from edge_vos.evaluate.sequences import Dataset, EvalFrame, VideoSequence, object_ids
from edge_vos.runtime.annotations.channels import assign_channels, to_channels
from edge_vos.runtime.annotations.to_prompt import tell_channels
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter

PROTOCOLS = (*davis.PROTOCOLS, youtube.PROTOCOL)


class Result(Protocol):
    """Hold at least the mask of one frame."""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Return the (H, W) uint8 mask at frame resolution."""


class Tracker(Protocol):
    """Follow the objects of masks, as ``Segmenter`` does."""

    def prompt(self, mask: NDArray[np.uint8]) -> object:
        """Take the (H, W) uint8 mask of objects that enter in the next frame."""

    def step(self, frame: NDArray[np.uint8]) -> Result:
        """Segment the next (H, W, 3) uint8 BGR frame."""


@dataclass(frozen=True)
class ScoredFrame:
    """Hand one frame to an observer, as soon as it is done.

    Attributes:
        sequence: the sequence that it belongs to.
        index: its place there.
        name: the frame's name, without a suffix.
        frame: (H, W, 3) uint8, BGR.
        predicted: (h, w) uint8 mask at the annotation's resolution.
        truth: (h, w) uint8 mask; None where there is none.
        j: mean J of its objects in [0, 1]; None where the frame is not scored.
        f: mean F of its objects in [0, 1]; None where that is not measured.
    """

    sequence: VideoSequence
    index: int
    name: str
    frame: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    j: float | None
    f: float | None


Observer = Callable[[ScoredFrame], None]


def read_dataset(
    root: Path,
    protocol: str,
    sequences: Sequence[str] | None = None,
    split: str | None = None,
) -> Dataset:
    """Find the sequences of a data set in the layout of its protocol.

    Args:
        root: the data set's folder.
        protocol: one of ``PROTOCOLS``.
        sequences: only these, in this order.
        split: the split that names them otherwise; None is the validation split.

    Raises:
        UsageError: if the protocol is unknown.
        DatasetError: if something is missing or not understood.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}", f"one of {', '.join(PROTOCOLS)}")
    if protocol == youtube.PROTOCOL:
        return youtube.read_youtube_vos(root, sequences, split)
    return davis.read_davis(root, protocol, sequences, split)


def evaluate_dataset(
    dataset: Dataset,
    model: LoadedModel,
    *,
    metrics: Collection[str] = ("j", "f"),
    observers: Sequence[Observer] = (),
) -> EvalReport:
    """Score ``model`` on ``dataset``: first masks are prompts, every frame is stepped.

    Args:
        dataset: what ``read_dataset`` found.
        model: an opened bundle, or an eager student behind a ``CallableRunner``.
        metrics: "j", with "f" unless it is to be quick.
        observers: called with every frame, in order.

    Raises:
        DatasetError: if a picture cannot be read, a first mask is empty or sizes disagree.
    """
    return score_trackers(
        dataset,
        lambda: Segmenter(model),
        channels=model.graph.channels,
        metrics=metrics,
        observers=observers,
    )


def score_trackers(
    dataset: Dataset,
    start: Callable[[], Tracker],
    *,
    channels: int | None = None,
    metrics: Collection[str] = ("j", "f"),
    observers: Sequence[Observer] = (),
) -> EvalReport:
    """Score whatever follows a mask, with a new tracker for each sequence.

    An object is scored in the annotated frames after the one that gives it, the last one excepted.

    Args:
        dataset: what ``read_dataset`` found.
        start: makes the tracker of a sequence.
        channels: the background and the objects that a tracker knows: larger ids are mapped to
            these, masks come back with the data set's own, and the report says so. None maps none.
        metrics: "j", with "f" unless it is to be quick.
        observers: called with every frame, in order.

    Raises:
        DatasetError: if a picture cannot be read, a first mask is empty or sizes disagree, or a
            sequence has more objects than channels.
    """
    scores: dict[str, SequenceScore] = {}
    frames, seconds = 0, 0.0
    assumed: list[str] = []
    for sequence in dataset.sequences:
        run = _Run(sequence, start(), metrics, channels)
        for index, entry in enumerate(sequence.play()):
            scored = run.step(index, entry)
            for observe in observers:
                observe(scored)
        scores[sequence.name] = run.score()
        frames += run.frames
        seconds += run.seconds
        assumed += run.assumed
    report = sum_up(dataset, scores, frames, _rate(frames, seconds))
    return replace(report, assumed=tuple(assumed))


class _Run:
    """Follow one sequence and collect the J and F of its objects, frame by frame."""

    def __init__(
        self,
        sequence: VideoSequence,
        tracker: Tracker,
        metrics: Collection[str],
        channels: int | None,
    ) -> None:
        self.frames, self.seconds = 0, 0.0
        self._sequence, self._tracker, self._metrics = sequence, tracker, metrics
        self._j: dict[int, list[float]] = {}
        self._f: dict[int, list[float]] = {}
        self._size: tuple[int, ...] | None = None
        self._most, self._channels = channels, dict[int, int]()

    @property
    def assumed(self) -> list[str]:
        """Return which ids were mapped, as one sentence, or nothing."""
        told: list[str] = []
        tell_channels(self._channels, told)
        return [f"{self._sequence.name}: {each}" for each in told]

    def step(self, index: int, entry: EvalFrame) -> ScoredFrame:
        followed = list(self._j)
        if entry.given is not None:
            given = _at_size(entry.given, entry.frame.shape[:2])
            self._tracker.prompt(self._to_channels(given))
            for object_id in sorted(object_ids(entry.given)):
                self._j[object_id], self._f[object_id] = [], []
            self._size = entry.given.shape
        if entry.truth is not None:
            self._size = entry.truth.shape
        predicted = _at_size(self._predict(entry.frame), self._size or entry.frame.shape[:2])
        j, f = None, None
        if entry.scored and entry.truth is not None and followed:
            pairs = {i: (predicted == i, entry.truth == i) for i in followed}
            j = _collect(self._j, {i: region_similarity(*pair) for i, pair in pairs.items()})
            if "f" in self._metrics:
                f = _collect(self._f, {i: boundary_accuracy(*pair) for i, pair in pairs.items()})
        return ScoredFrame(
            self._sequence, index, entry.name, entry.frame, predicted, entry.truth, j, f
        )

    def score(self) -> SequenceScore:
        categories = self._sequence.categories
        objects = {
            i: object_score(self._j.get(i, []), self._f.get(i, []), categories.get(i))
            for i in sorted({*self._j, *categories})
        }
        return sequence_score(objects, _rate(self.frames, self.seconds))

    def _predict(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self._j:  # nothing has entered yet
            return np.zeros(frame.shape[:2], np.uint8)
        started_s = time.perf_counter()
        mask = self._tracker.step(frame).mask
        self.seconds += time.perf_counter() - started_s
        self.frames += 1
        return self._to_ids(mask)

    def _to_channels(self, given: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._most is None:
            return given
        try:
            self._channels = assign_channels(object_ids(given), self._most, self._channels)
        except MaskError as error:
            raise DatasetError(
                f"{self._sequence.name}: {error.what[:1].lower()}{error.what[1:]}",
                error.expected,
                "Leave it out with --sequences, or use a model of more channels",
            ) from error
        return to_channels(given, self._channels)

    def _to_ids(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if all(object_id == channel for object_id, channel in self._channels.items()):
            return mask
        table = np.arange(256, dtype=np.uint8)
        for object_id, channel in self._channels.items():
            table[channel] = object_id
        return table[mask]


def _collect(into: dict[int, list[float]], values: dict[int, float]) -> float:
    """Add a frame's values to those of their objects and return their mean."""
    for object_id, value in values.items():
        into[object_id].append(value)
    return float(np.mean(list(values.values())))


def _rate(frames: int, seconds: float) -> float:
    return frames / seconds if frames else 0.0


def _at_size(mask: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    if mask.shape == size:
        return mask
    resized = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)
