"""Sequences that are composed of others: exact masks, the same for a seed, and swaps counted."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.composites import (
    COPY,
    GUEST,
    OWN,
    ComposedSequence,
    SwapMeter,
    composite_dataset,
)
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.run import ScoredFrame, score_trackers
from edge_vos.evaluate.sequences import Dataset, EvalFrame


class MakeDavis(Protocol):
    def __call__(self, sequences: dict[str, int], **options: object) -> Path: ...


@pytest.fixture
def composed(make_davis: MakeDavis) -> Dataset:
    return composite_dataset(read_davis(make_davis({"swing": 6, "bus": 5})), 1)


def _frames(dataset: Dataset) -> list[EvalFrame]:
    return [frame for sequence in dataset.sequences for frame in sequence.play()]


def test_all_objects_are_given_at_first_and_only_then(composed: Dataset) -> None:
    for sequence in composed.sequences:
        frames = list(sequence.play())
        assert len(frames) == len(sequence)
        assert frames[0].given is not None
        assert set(np.unique(frames[0].given)) == {0, OWN, COPY, GUEST}
        assert all(frame.given is None for frame in frames[1:])
        assert [frame.scored for frame in frames] == [False, *[True] * (len(frames) - 2), False]


def test_a_seed_gives_the_same_pictures_and_another_one_others(make_davis: MakeDavis) -> None:
    found = read_davis(make_davis({"swing": 4, "bus": 4}))
    first, again, other = (_frames(composite_dataset(found, seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.frame, b.frame) for a, b in zip(first, other, strict=True))


def test_the_own_object_keeps_its_place(composed: Dataset) -> None:
    sequence = composed.sequences[0]
    _, truth = sequence.read(2)
    assert isinstance(sequence, ComposedSequence)
    frame, labels = sequence.compose(2)
    assert truth is not None
    own = labels == OWN
    assert own.any()
    assert truth[own].all()
    assert (labels[truth == 0] != OWN).all()
    assert np.array_equal(frame[labels == 0].shape[1:], (3,))


class Perfect:
    """Know the truth; from the third frame on, take the look-alike for the object."""

    def __init__(self, masks: list[np.ndarray], *, swaps: bool) -> None:
        self._masks, self._swaps, self._index = masks, swaps, 0

    def prompt(self, mask: np.ndarray) -> None:
        pass

    def step(self, frame: np.ndarray) -> "Perfect":
        self.mask = self._masks[self._index].copy()
        if self._swaps and self._index >= 2:
            swapped = {OWN: COPY, COPY: OWN}
            self.mask = np.vectorize(lambda i: swapped.get(int(i), int(i)))(self.mask)
            self.mask = self.mask.astype(np.uint8)
        self._index += 1
        return self


@pytest.mark.parametrize("swaps", [False, True])
def test_swaps_are_counted_once(composed: Dataset, swaps: bool) -> None:
    truths = iter([[f.truth for f in sequence.play()] for sequence in composed.sequences])
    meter = SwapMeter()
    seen: list[ScoredFrame] = []
    score_trackers(
        composed,
        lambda: Perfect(next(truths), swaps=swaps),  # type: ignore[arg-type]
        observers=[meter, seen.append],
    )
    figures = meter.as_dict()
    assert figures is not None
    assert figures["frames"] == 3 * sum(len(sequence) - 2 for sequence in composed.sequences)
    assert (figures["swaps"] > 0) == swaps
    assert figures["swaps"] <= 2 * len(composed.sequences)
    assert figures["swapped_frames"] >= figures["swaps"]
    assert "identity swaps" in meter.lines()[0]


def test_nothing_composed_gives_no_figure(make_davis: MakeDavis) -> None:
    assert SwapMeter().as_dict() is None
    assert SwapMeter().lines() == []


def test_what_cannot_be_composed_is_refused(make_davis: MakeDavis) -> None:
    found = read_davis(make_davis({"swing": 4, "bus": 4}))
    one = Dataset(found.root, found.protocol, found.sequences[:1])
    with pytest.raises(DatasetError, match="two sequences or more"):
        composite_dataset(one, 0)
    with pytest.raises(UsageError, match="davis2016"):
        composite_dataset(Dataset(found.root, "davis2017", found.sequences), 0)
