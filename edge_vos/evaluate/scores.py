"""The figures of a measurement: by object, by sequence, and their means over objects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from edge_vos.evaluate.metrics import statistics
from edge_vos.evaluate.sequences import Dataset


@dataclass(frozen=True)
class Score:
    """Hold figures in per cent; None is not measured.

    Attributes:
        j: region similarity; ``f`` is boundary accuracy.
        j_recall: how many frames exceed 50.
        j_decay: the first quarter's mean less the last one's.
    """

    j: float | None = None
    j_recall: float | None = None
    j_decay: float | None = None
    f: float | None = None
    f_recall: float | None = None
    f_decay: float | None = None


@dataclass(frozen=True)
class ObjectScore(Score):
    """Hold an object's figures over the frames that count.

    Attributes:
        frames: how many count.
        category: what it is, where the data set says so.
    """

    frames: int = 0
    category: str | None = None


@dataclass(frozen=True)
class SequenceScore(Score):
    """Hold a sequence's means over its objects.

    Attributes:
        fps: frames by the wall-clock seconds of the steps alone.
        objects: the figures by object id.
    """

    fps: float = 0.0
    objects: Mapping[int, ObjectScore] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenUnseen:
    """Hold the YouTube-VOS figures in per cent; None where a group has no object.

    Attributes:
        g: the mean of the other four; None unless all are there.
        j_seen: mean J over the objects of categories that training sets hold.
    """

    g: float | None
    j_seen: float | None
    f_seen: float | None
    j_unseen: float | None
    f_unseen: float | None


@dataclass(frozen=True)
class EvalReport:
    """Hold the figures of a data set, in per cent, as means over objects.

    Attributes:
        protocol: the data set's protocol.
        score: the means over all objects; nothing in it unless every sequence has its masks.
        sequences: the scores by sequence.
        seen_unseen: the means over seen and unseen categories, where the protocol knows them.
        frames: how many frames the tracker stepped.
        fps: frames by the wall-clock seconds of the steps alone.
        note: why figures are missing; None when none are.
        assumed: what was taken for granted, such as ids that were mapped, each as one sentence.
    """

    protocol: str
    score: Score
    sequences: dict[str, SequenceScore]
    seen_unseen: SeenUnseen | None
    frames: int
    fps: float
    note: str | None
    assumed: tuple[str, ...] = ()

    @property
    def j_mean(self) -> float | None:
        """Return the mean J."""
        return self.score.j

    @property
    def f_mean(self) -> float | None:
        """Return the mean F."""
        return self.score.f

    @property
    def jf_mean(self) -> float | None:
        """Return the mean of J and F."""
        return _mean((self.score.j, self.score.f), complete=True)

    @property
    def objects(self) -> int:
        """Return how many objects were followed, over all sequences."""
        return sum(len(sequence.objects) for sequence in self.sequences.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        score = self.score
        return {
            "protocol": self.protocol,
            "jf_mean": self.jf_mean,
            "j_mean": self.j_mean,
            "j_recall": score.j_recall,
            "j_decay": score.j_decay,
            "f_mean": self.f_mean,
            "f_recall": score.f_recall,
            "f_decay": score.f_decay,
            **(asdict(self.seen_unseen) if self.seen_unseen else {}),
            "objects": self.objects,
            "frames": self.frames,
            "fps": self.fps,
            "note": self.note,
            "assumed": list(self.assumed),
            "sequences": {name: asdict(sequence) for name, sequence in self.sequences.items()},
        }


def object_score(j: Sequence[float], f: Sequence[float], category: str | None) -> ObjectScore:
    """Sum up an object's frames.

    Args:
        j: J in [0, 1] of the frames that count; none gives a score without figures.
        f: F of the same frames; empty when not measured.
        category: what the object is, or None.
    """
    return ObjectScore(*_per_cent(j), *_per_cent(f), frames=len(j), category=category)


def mean_score(scores: Iterable[Score]) -> Score:
    """Return the means of those figures that are there."""
    scores = list(scores)
    return Score(*(_mean(getattr(s, figure.name) for s in scores) for figure in fields(Score)))


def sequence_score(objects: Mapping[int, ObjectScore], fps: float) -> SequenceScore:
    """Sum up a sequence's objects."""
    return SequenceScore(**asdict(mean_score(objects.values())), fps=fps, objects=objects)


def sum_up(
    dataset: Dataset, sequences: dict[str, SequenceScore], frames: int, fps: float
) -> EvalReport:
    """Sum up a data set; a part of it gives no figure that could be taken for the whole.

    Args:
        dataset: what was measured.
        sequences: the scores by sequence.
        frames: how many frames were stepped.
        fps: frames by the wall-clock seconds of the steps.
    """
    objects = [entry for sequence in sequences.values() for entry in sequence.objects.values()]
    unscored, note, seen_unseen = dataset.unscored, None, None
    if dataset.seen is not None:
        seen_unseen = _seen_unseen([] if unscored else objects, dataset.seen)
        if None in (seen_unseen.j_seen, seen_unseen.j_unseen):
            note = "no G: it needs objects of seen and of unseen categories"
    if unscored:
        note = (
            f"no score: {len(unscored)} of {len(sequences)} sequences have no masks to measure by, "
            f"such as {unscored[0]}"
        )
    score = Score() if unscored else mean_score(objects)
    return EvalReport(dataset.protocol, score, sequences, seen_unseen, frames, fps, note)


def _seen_unseen(objects: Sequence[ObjectScore], seen: frozenset[str]) -> SeenUnseen:
    known = [entry for entry in objects if entry.category is not None]
    in_seen = mean_score(entry for entry in known if entry.category in seen)
    in_unseen = mean_score(entry for entry in known if entry.category not in seen)
    four = (in_seen.j, in_seen.f, in_unseen.j, in_unseen.f)
    return SeenUnseen(_mean(four, complete=True), *four)


def _mean(values: Iterable[float | None], *, complete: bool = False) -> float | None:
    """Return the mean of those that are there; with ``complete``, None unless all are."""
    values = list(values)
    present = [value for value in values if value is not None]
    if not present or (complete and len(present) < len(values)):
        return None
    return float(np.mean(present))


def _per_cent(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return mean, recall and decay of a measure over frames; nothing of no frames."""
    if not values:
        return None, None, None
    found = statistics(values)
    return 100 * found.mean, 100 * found.recall, 100 * found.decay
