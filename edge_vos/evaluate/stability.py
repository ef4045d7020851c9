"""Play a sequence to and fro for as long as wanted, with things passing in front of it.

The truth stays exact: it is the sequence's own, less what is in front. The first and the last
hundred frames are clear of that, so that their J tells whether masks drift in the long run; in
between, every hundred frames, all objects are hidden for thirty frames, and later a bar passes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.run import ScoredFrame
from edge_vos.evaluate.sequences import Dataset, EvalFrame, VideoSequence
from edge_vos.synthetic.occluders import Schedule

WINDOW = 100
"""How many frames at both ends are clear."""

FOUND = 0.5
"""Objects are found again when their mean J over the phase "regain" exceeds this."""

FALSE_AREA = 0.01
"""A hidden frame's mask is false from this fraction of the visible objects' mean area on."""


@dataclass(frozen=True)
class LoopedSequence(VideoSequence):
    """A sequence that is played to and fro, ``length`` frames in all."""

    length: int = 600

    def __len__(self) -> int:
        """Return how many frames are played."""
        return self.length

    @property
    def scored(self) -> tuple[int, ...]:
        """Return the frames that count: all but the first and the last."""
        return tuple(range(1, self.length - 1))

    @property
    def schedule(self) -> Schedule:
        """Say when objects are hidden; it leaves both ends clear."""
        return Schedule(WINDOW, cycles=(self.length - 2 * WINDOW) // Schedule(WINDOW).cycle_frames)

    def play(self) -> Iterator[EvalFrame]:
        """Play the loop.

        Raises:
            DatasetError: if a picture cannot be read, a frame has no mask or sizes disagree.
        """
        there_and_back = 2 * len(self.frames) - 2
        for index in range(self.length):
            place = index % there_and_back
            frame, mask = self.read(min(place, there_and_back - place))
            if mask is None or not (index or mask.any()):
                raise DatasetError(
                    f"{self.name} cannot be played in a loop",
                    "a mask for every frame, the first one not empty",
                )
            self.schedule.cover(frame, mask, index)
            given = None if index else mask
            yield EvalFrame(f"{index:05d}", frame, given, mask, 0 < index < self.length - 1)


def loop_dataset(dataset: Dataset, length: int) -> Dataset:
    """Return the data set with its sequences played to and fro.

    Args:
        dataset: one of DAVIS, with a mask for every frame.
        length: how many frames of each are played.

    Raises:
        UsageError: if the protocol is another one, or the length leaves no room for an occlusion.
        DatasetError: if a frame has no mask.
    """
    shortest = 2 * WINDOW + Schedule(WINDOW).cycle_frames
    if length < shortest:
        raise UsageError(f"a loop of {length} frames", f"at least {shortest}")
    if not dataset.protocol.startswith("davis"):
        raise UsageError(f"a loop with the protocol {dataset.protocol}", "davis2016 or davis2017")
    looped = []
    for entry in dataset.sequences:
        if len(entry.annotations) < max(len(entry.frames), 2):
            raise DatasetError(
                f"{entry.name} cannot be played in a loop", "two frames or more, each with a mask"
            )
        looped.append(
            LoopedSequence(
                entry.name, entry.frames, entry.annotations, entry.protocol, length=length
            )
        )
    return replace(dataset, sequences=tuple(looped))


@dataclass(frozen=True)
class StabilityScore:
    """Hold what a loop did to masks; figures are per cent but for the counts.

    Attributes:
        j_first: mean J over the first hundred frames.
        j_last: mean J over the last hundred.
        j_drop: the former less the latter.
        occlusions: how often everything was hidden.
        regained: after how many of these the objects were found again.
        false_frames: in how many hidden frames there was a mask all the same.
        false_area: that mask's mean area, compared with the visible objects'.
    """

    j_first: float
    j_last: float
    j_drop: float
    occlusions: int
    regained: int
    false_frames: float
    false_area: float


class StabilityMeter:
    """Observe a measurement of looped sequences."""

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}

    def __call__(self, scored: ScoredFrame) -> None:
        """Take note of a frame."""
        sequence = scored.sequence
        if isinstance(sequence, LoopedSequence) and scored.j is not None:
            self._traces.setdefault(sequence.name, _Trace()).add(sequence, scored)

    def scores(self) -> dict[str, StabilityScore]:
        """Return the figures by sequence."""
        return {name: trace.score() for name, trace in self._traces.items()}

    def as_dict(self) -> dict[str, Any] | None:
        """Return the figures as JSON takes them; None when no loop was played."""
        scores = self.scores()
        if not scores:
            return None
        by_name = {name: asdict(score) for name, score in scores.items()}
        return {**asdict(total(scores)), "sequences": by_name}

    def lines(self) -> list[str]:
        """Return the figures in words, a line a sequence and one for all."""
        scores = self.scores()
        return [
            f"{name}: J {score.j_first:.1f} in the first {WINDOW} frames, {score.j_last:.1f} in "
            f"the last {WINDOW}; found again after {score.regained} of {score.occlusions} "
            f"occlusions; masks in {score.false_frames:.1f} % of the hidden frames, mean area "
            f"{score.false_area:.1f} % of the visible objects'"
            for name, score in (scores | {"all": total(scores)} if scores else {}).items()
        ]


def total(scores: Mapping[str, StabilityScore]) -> StabilityScore:
    """Return the means over sequences, and the sums of the counts."""
    found = list(scores.values())
    return StabilityScore(
        j_first=float(np.mean([score.j_first for score in found])),
        j_last=float(np.mean([score.j_last for score in found])),
        j_drop=float(np.mean([score.j_drop for score in found])),
        occlusions=sum(score.occlusions for score in found),
        regained=sum(score.regained for score in found),
        false_frames=float(np.mean([score.false_frames for score in found])),
        false_area=float(np.mean([score.false_area for score in found])),
    )


class _Trace:
    """Collect one sequence's J and areas by phase."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.last: list[float] = []
        self.regain: dict[int, list[float]] = defaultdict(list)
        self.hidden_px: list[int] = []
        self.visible_px: list[int] = []

    def add(self, sequence: LoopedSequence, scored: ScoredFrame) -> None:
        phase, _, cycle = sequence.schedule.phase(scored.index)
        j = scored.j or 0.0
        if scored.index < WINDOW:
            self.first.append(j)
            self.visible_px.append(_area_px(scored.truth))
        elif scored.index >= sequence.length - WINDOW:
            self.last.append(j)
        elif phase == "regain":
            self.regain[cycle].append(j)
        elif phase == "hidden":
            self.hidden_px.append(_area_px(scored.predicted))

    def score(self) -> StabilityScore:
        first, last = 100 * float(np.mean(self.first)), 100 * float(np.mean(self.last))
        false = np.array(self.hidden_px) / max(float(np.mean(self.visible_px)), 1.0)
        return StabilityScore(
            j_first=first,
            j_last=last,
            j_drop=first - last,
            occlusions=len(self.regain),
            regained=sum(bool(np.mean(values) > FOUND) for values in self.regain.values()),
            false_frames=100 * float((false >= FALSE_AREA).mean()),
            false_area=100 * float(false.mean()),
        )


def _area_px(mask: NDArray[np.uint8] | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))
