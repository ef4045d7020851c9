"""Run a model over a data set in the loop that ships and score its masks."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.davis import Dataset, VideoSequence, read_annotation, read_frame
from edge_vos.distill.metrics import Statistics, boundary_accuracy, region_similarity, statistics
from edge_vos.errors import DatasetError
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter

ASPECT_TOLERANCE = 0.02


class Result(Protocol):
    """Hold at least the mask of one frame."""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Return the (H, W) uint8 mask at frame resolution."""


class Tracker(Protocol):
    """Follow the objects of a first mask, as ``Segmenter`` does."""

    def prompt(self, mask: NDArray[np.uint8]) -> object:
        """Take the (H, W) uint8 mask that goes with the next frame."""

    def step(self, frame: NDArray[np.uint8]) -> Result:
        """Segment the next (H, W, 3) uint8 BGR frame."""


@dataclass(frozen=True)
class ScoredFrame:
    """Hand one frame to an observer, as soon as it is done.

    Attributes:
        sequence: the sequence that it belongs to.
        index: its place there.
        frame: (H, W, 3) uint8, BGR.
        predicted: (h, w) uint8 mask at the annotation's resolution.
        truth: (h, w) uint8 mask; None where there is none.
        j: mean J of its objects in [0, 1]; None where the frame is not scored.
    """

    sequence: VideoSequence
    index: int
    frame: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    j: float | None


Observer = Callable[[ScoredFrame], None]


@dataclass(frozen=True)
class SequenceScore:
    """Hold a sequence's means over its objects, in per cent; ``f`` is None when not measured."""

    j: float
    f: float | None
    objects: int


@dataclass(frozen=True)
class EvalReport:
    """Hold the figures of a data set, in per cent, as means over objects.

    Attributes:
        protocol: the data set's protocol.
        j_mean: region similarity; ``f_mean`` is boundary accuracy, None when not measured.
        j_recall: how many frames exceed 50.
        j_decay: the first quarter's mean less the last one's.
        jf_mean: the mean of ``j_mean`` and ``f_mean``.
        sequences: the scores by sequence.
        objects: how many objects were followed, over all sequences.
        frames: how many frames the tracker stepped.
        fps: frames by the wall-clock seconds of the steps alone.
    """

    protocol: str
    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float | None
    f_recall: float | None
    f_decay: float | None
    jf_mean: float | None
    sequences: dict[str, SequenceScore]
    objects: int
    frames: int
    fps: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return asdict(self)


def evaluate_dataset(
    dataset: Dataset,
    model: LoadedModel,
    *,
    metrics: Collection[str] = ("j", "f"),
    observers: Sequence[Observer] = (),
) -> EvalReport:
    """Score ``model`` on ``dataset``: the first mask is the prompt, every frame is stepped.

    Args:
        dataset: what ``read_davis`` found.
        model: an opened bundle, or an eager student behind a ``CallableRunner``.
        metrics: "j", with "f" unless it is to be quick.
        observers: called with every frame, in order.

    Raises:
        DatasetError: if a picture cannot be read, a first mask is empty or sizes disagree.
    """
    return score_trackers(dataset, lambda: Segmenter(model), metrics=metrics, observers=observers)


def score_trackers(
    dataset: Dataset,
    start: Callable[[], Tracker],
    *,
    metrics: Collection[str] = ("j", "f"),
    observers: Sequence[Observer] = (),
) -> EvalReport:
    """Score whatever follows a mask, with a new tracker for each sequence.

    Args:
        dataset: what ``read_davis`` found.
        start: makes the tracker of a sequence.
        metrics: "j", with "f" unless it is to be quick.
        observers: called with every frame, in order.

    Raises:
        DatasetError: if a picture cannot be read, a first mask is empty or sizes disagree.
    """
    measured = {
        sequence.name: _measure(dataset.protocol, sequence, start(), metrics, observers)
        for sequence in dataset.sequences
    }
    j = _means([entry.j for entry in measured.values()])
    f = _means([entry.f for entry in measured.values()]) if "f" in metrics else None
    frames = sum(len(sequence.frames) for sequence in dataset.sequences)
    return EvalReport(
        protocol=dataset.protocol,
        j_mean=j.mean,
        j_recall=j.recall,
        j_decay=j.decay,
        f_mean=f.mean if f else None,
        f_recall=f.recall if f else None,
        f_decay=f.decay if f else None,
        jf_mean=(j.mean + f.mean) / 2 if f else None,
        sequences={
            name: SequenceScore(
                _means([entry.j]).mean, _means([entry.f]).mean if f else None, len(entry.j)
            )
            for name, entry in measured.items()
        },
        objects=sum(len(entry.j) for entry in measured.values()),
        frames=frames,
        fps=frames / sum(entry.seconds for entry in measured.values()),
    )


@dataclass(frozen=True)
class _Measured:
    """Hold the statistics of a sequence's objects and the seconds of its steps."""

    j: tuple[Statistics, ...]
    f: tuple[Statistics, ...]
    seconds: float


def _measure(
    protocol: str,
    sequence: VideoSequence,
    tracker: Tracker,
    metrics: Collection[str],
    observers: Sequence[Observer],
) -> _Measured:
    first = read_annotation(sequence.annotations[0], protocol)
    object_ids = [int(object_id) for object_id in np.unique(first) if object_id]
    if not object_ids:
        raise DatasetError(
            f"the first mask {sequence.annotations[0]} is empty", "an object to follow"
        )
    scored, seconds = set(sequence.scored), 0.0
    j: list[list[float]] = []
    f: list[list[float]] = []
    for index, path in enumerate(sequence.frames):
        frame, annotation = read_frame(path), sequence.annotations.get(index)
        truth = read_annotation(annotation, protocol) if annotation is not None else None
        if truth is not None:
            _require_same_aspect(frame, truth, path)
        if index == 0:
            tracker.prompt(_at_size(first, frame.shape[:2]))
        started_s = time.perf_counter()
        mask = tracker.step(frame).mask
        seconds += time.perf_counter() - started_s
        predicted = _at_size(mask, first.shape if truth is None else truth.shape)
        frame_j = None
        if truth is not None and index in scored:
            pairs = [(predicted == object_id, truth == object_id) for object_id in object_ids]
            j.append([region_similarity(*pair) for pair in pairs])
            if "f" in metrics:
                f.append([boundary_accuracy(*pair) for pair in pairs])
            frame_j = float(np.mean(j[-1]))
        for observe in observers:
            observe(ScoredFrame(sequence, index, frame, predicted, truth, frame_j))
    # zip(*…) turns frames of objects into objects of frames.
    return _Measured(
        tuple(map(statistics, zip(*j, strict=True))),
        tuple(map(statistics, zip(*f, strict=True))),
        seconds,
    )


def _means(groups: Sequence[Sequence[Statistics]]) -> Statistics:
    """Return the means over all objects of all groups, in per cent."""
    rows = [(entry.mean, entry.recall, entry.decay) for group in groups for entry in group]
    return Statistics(*(100 * np.mean(rows, axis=0)).tolist())


def _at_size(mask: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    if mask.shape == size:
        return mask
    resized = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)


def _require_same_aspect(frame: NDArray[np.uint8], mask: NDArray[np.uint8], path: Path) -> None:
    (height, width), (mask_height, mask_width) = frame.shape[:2], mask.shape
    if abs(width * mask_height / (height * mask_width) - 1) > ASPECT_TOLERANCE:
        raise DatasetError(
            f"{path} is {height}x{width} and its mask {mask_height}x{mask_width}",
            "a frame and a mask of the same shape",
        )
