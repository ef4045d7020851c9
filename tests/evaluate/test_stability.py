"""The loop: what is in front, whether the truth stays exact, and what is counted."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.metrics import region_similarity
from edge_vos.evaluate.run import ScoredFrame
from edge_vos.evaluate.sequences import Dataset, EvalFrame
from edge_vos.evaluate.stability import LoopedSequence, StabilityMeter, loop_dataset, total

LENGTH = 300
Mask = NDArray[np.uint8]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One sequence of five frames: a square that moves over noise."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for index in range(5):
        frame = rng.integers(0, 256, (48, 72, 3), np.uint8)
        mask = np.zeros((48, 72), np.uint8)
        mask[10:26, 10 + 8 * index : 26 + 8 * index] = 255
        for kind, picture in (("JPEGImages", frame), ("Annotations", mask)):
            folder = root / kind / "480p" / "bus"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{index:05d}.png"), picture)
    return read_davis(root)


@pytest.fixture(scope="module")
def looped(plain: Dataset) -> Dataset:
    """The same, played for three hundred frames."""
    return loop_dataset(plain, LENGTH)


@pytest.fixture(scope="module")
def played(looped: Dataset) -> list[EvalFrame]:
    """What the loop shows."""
    return list(_sequence(looped).play())


def _sequence(dataset: Dataset) -> LoopedSequence:
    (sequence,) = dataset.sequences
    assert isinstance(sequence, LoopedSequence)
    return sequence


def test_the_sequence_goes_to_and_fro_and_the_truth_stays_exact(
    looped: Dataset, played: list[EvalFrame]
) -> None:
    sequence = _sequence(looped)
    pictures = [sequence.read(index) for index in range(5)]
    hidden, partly = 0, 0
    for index, entry in enumerate(played):
        frame, mask = pictures[(0, 1, 2, 3, 4, 3, 2, 1)[index % 8]]
        assert entry.truth is not None
        assert mask is not None
        assert (entry.given is not None) == (index == 0)
        covered = (entry.frame != frame).any(axis=2)
        assert not (covered & (entry.truth > 0)).any()
        holes = (mask > 0) & (entry.truth == 0)
        assert not holes.any() or covered[holes].mean() > 0.99  # a pixel may have the same colour
        phase = sequence.schedule.phase(index)[0]
        if phase in ("clear", "regain"):
            assert not covered.any()
            assert (entry.truth == mask).all()
        elif phase == "hidden":
            hidden += 1
            assert not entry.truth.any()
        else:
            partly += 0 < np.count_nonzero(entry.truth) < np.count_nonzero(mask)
    assert hidden == 30
    assert partly > 10
    assert len(played) == LENGTH


def test_the_loop_is_the_same_every_time(looped: Dataset, played: list[EvalFrame]) -> None:
    for one, other in zip(_sequence(looped).play(), played[:130], strict=False):
        assert (one.frame == other.frame).all()


Measure = Callable[[Callable[[int, Mask], Mask]], StabilityMeter]


@pytest.fixture
def measure(looped: Dataset, played: list[EvalFrame]) -> Measure:
    """Let a tracker's answer to each frame's truth go through the meter."""
    return lambda answer: _measure(_sequence(looped), played, answer)


def _measure(
    sequence: LoopedSequence, played: list[EvalFrame], answer: Callable[[int, Mask], Mask]
) -> StabilityMeter:
    meter = StabilityMeter()
    for index, entry in enumerate(played):
        assert entry.truth is not None
        predicted = answer(index, entry.truth)
        j = region_similarity(predicted > 0, entry.truth > 0) if entry.scored else None
        meter(
            ScoredFrame(sequence, index, entry.name, entry.frame, predicted, entry.truth, j, None)
        )
    return meter


def test_a_perfect_mask(measure: Measure) -> None:
    (score,) = measure(lambda index, truth: truth).scores().values()
    assert (score.j_first, score.j_last, score.j_drop) == (100, 100, 0)
    assert (score.occlusions, score.regained) == (1, 1)
    assert (score.false_frames, score.false_area) == (0, 0)


def test_a_mask_that_is_lost_at_the_first_occlusion(measure: Measure) -> None:
    def lose(index: int, truth: Mask) -> Mask:
        return truth if index < 120 else np.zeros_like(truth)

    (score,) = measure(lose).scores().values()
    assert (score.j_first, score.j_last, score.j_drop) == (100, 0, 100)
    assert (score.occlusions, score.regained, score.false_frames) == (1, 0, 0)


def test_a_mask_that_stays_on_what_is_in_front(measure: Measure) -> None:
    def stay(index: int, truth: Mask) -> Mask:
        stuck = np.zeros_like(truth)
        stuck[:8, :16] = 1  # half of the square's area
        return stuck if not truth.any() else truth

    meter = measure(stay)
    (score,) = meter.scores().values()
    assert (score.regained, score.false_frames, score.false_area) == (1, 100, pytest.approx(50))
    assert total({"a": score, "b": replace(score, regained=0)}).regained == 1
    assert "found again after 1 of 1" in meter.lines()[0]
    document = meter.as_dict()
    assert document is not None
    assert document["sequences"]["bus"]["false_area"] == pytest.approx(50)


def test_what_cannot_be_looped_is_refused(plain: Dataset) -> None:
    with pytest.raises(UsageError, match="at least 300"):
        loop_dataset(plain, 299)
    with pytest.raises(UsageError, match="youtube-vos"):
        loop_dataset(replace(plain, protocol="youtube-vos"), 300)
    (sequence,) = plain.sequences
    sparse = replace(sequence, annotations={0: sequence.annotations[0]})
    with pytest.raises(DatasetError, match="bus cannot be played"):
        loop_dataset(replace(plain, sequences=(sparse,)), 300)
