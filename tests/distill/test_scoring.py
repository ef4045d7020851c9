"""What is scored while training, and when."""

import dataclasses

import pytest

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.scoring import Scoring
from edge_vos.errors import ShapeError, UsageError
from edge_vos.evaluate.davis import read_davis
from edge_vos.model.checkpoint import default_weights_path, load_student
from tests.conftest import MakeDavis


def test_is_due_at_checkpoints_once_the_rate_falls_or_as_often_as_asked(
    config: TrainConfig, make_davis: MakeDavis
) -> None:
    config = dataclasses.replace(config, steps=20, checkpoint_every=4, cooldown=0.5)
    dataset = read_davis(make_davis({"a": 3}))
    usual, often = Scoring(dataset), Scoring(dataset, every=7)
    assert [step for step in range(1, 21) if usual.due(step, config)] == [12, 16, 20]
    assert [step for step in range(1, 21) if often.due(step, config)] == [7, 14, 20]


def test_three_windows_of_each_sequence_are_scored(make_davis: MakeDavis) -> None:
    dataset = read_davis(make_davis({"a": 0, "b": 0}, frames=20))
    scored = Scoring(dataset, window=4).scored()
    assert [one.name for one in scored.sequences] == [
        f"{name}@{start:05d}" for name in ("a", "b") for start in (0, 8, 16)
    ]
    assert all(len(one.frames) == 4 for one in scored.sequences)
    assert Scoring(dataset).scored() is dataset
    short = Scoring(dataset, window=15).scored()
    assert [one.name for one in short.sequences] == ["a@00000", "a@00015", "b@00000", "b@00015"]


def test_scores_at_the_size_asked_for(make_davis: MakeDavis) -> None:
    dataset = read_davis(make_davis({"a": 3}))
    student = load_student(default_weights_path())
    figures = [Scoring(dataset, size=size).score(student) for size in ((64, 96), (128, 192))]
    assert all(0 <= figure <= 100 for figure in figures)
    assert figures[0] != figures[1]


def test_says_what_is_wrong(make_davis: MakeDavis) -> None:
    dataset = read_davis(make_davis({"a": 3}))
    with pytest.raises(UsageError, match="--score-size 100x200"):
        Scoring(dataset, size=(100, 200))
    with pytest.raises((UsageError, ShapeError), match="2"):
        Scoring(dataset, window=2)
