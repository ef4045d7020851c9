"""One training loop for teacher, student and fine-tuning; see ``objectives`` for what it minimises.

Clips in, the student's own predictions fed back, checkpoints out. A killed run resumes at its last
checkpoint with the losses that it would have had. Under ``torchrun`` the processes share each batch
by clips: every gradient is the mean over all of them, as in one process.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import torch
import torch.distributed as dist
from torch import Tensor, nn

from edge_vos.distill.config import TrainConfig, learning_rate_factor
from edge_vos.distill.curves import write_curves
from edge_vos.distill.data.clips import Batch, make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.data.loader import batches
from edge_vos.distill.objectives import DistillObjective, LabelObjective, Terms
from edge_vos.distill.processes import (
    any_process,
    keep_gradients,
    own_share,
    prepare_objective,
)
from edge_vos.distill.run_folder import (
    BEST,
    CURVES,
    WEIGHTS,
    StepRecord,
    read_checkpoint,
    read_log,
    write_checkpoint,
    write_config,
    write_development,
    write_log,
    write_samples,
)
from edge_vos.distill.samples import sample_sheet
from edge_vos.distill.scoring import Scoring
from edge_vos.errors import CheckpointError, TrainingError, UsageError
from edge_vos.model.checkpoint import save_student
from edge_vos.model.encoder import load_imagenet_weights
from edge_vos.model.student import Student

Objective = Callable[[Batch, float], Terms]


@dataclass
class TrainState:
    """Hold everything that changes from step to step.

    Args:
        student: in training.
        average: its moving average, in evaluation mode: what a run is for.
        optimizer: of the student.
        step: steps taken.
        development: J&F of the average on the development split by step, in percent.
    """

    student: Student
    average: Student
    optimizer: torch.optim.AdamW
    step: int
    development: dict[int, float] = field(default_factory=dict)

    @property
    def best(self) -> tuple[int, float] | None:
        """Return the step of the highest J&F and that; the first of equals, None of none."""
        return max(self.development.items(), key=lambda item: item[1], default=None)


def new_state(
    config: TrainConfig, device: str = "cpu", initial: Student | None = None
) -> TrainState:
    """Return the state before the first step.

    Args:
        config: of the run.
        device: where the student shall be.
        initial: weights to start from, of the config's shape, but that it may lack the head that
            corrects outlines; ``None`` is an ImageNet encoder and everything else from the seed.

    Raises:
        CheckpointError: if ``initial`` is of another shape.
    """
    torch.manual_seed(config.seed)
    student = Student(config.student)
    if initial is None:
        load_imagenet_weights(student.encoder)
    else:
        try:
            new = {n: t for n, t in student.state_dict().items() if n.startswith("outline.")}
            student.load_state_dict({**new, **initial.state_dict()})
        except RuntimeError as error:
            raise CheckpointError(
                f"the weights to start from do not fit preset {config.preset!r}",
                "a student of the same shape",
                "Leave --from out, or choose the --preset that they have",
            ) from error
    return _state_of(student, config, device)


def _state_of(student: Student, config: TrainConfig, device: str) -> TrainState:
    average = Student(student.config)
    average.load_state_dict(student.state_dict())
    student, average = student.to(device), average.to(device).eval()
    if device != "cpu":
        for model in (student, average):
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainState(student, average, _optimizer(student, config), 0)


def save_state(state: TrainState, config: TrainConfig, run: Path) -> None:
    """Write the checkpoint and the averaged weights, each atomically."""
    write_checkpoint(
        run,
        {
            "config": json.dumps(config.to_dict()),
            "student": state.student.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "development": state.development,
        },
    )
    save_student(state.average, run / WEIGHTS, {"step": str(state.step)})


def load_state(run: Path, device: str = "cpu") -> tuple[TrainState, TrainConfig]:
    """Read the checkpoint of a run.

    Raises:
        CheckpointError: if there is none, or it cannot be read.
    """
    saved = read_checkpoint(run)
    try:
        config = TrainConfig.from_dict(json.loads(saved["config"]))
        state = _state_of(Student(config.student), config, device)
        state.student.load_state_dict(saved["student"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step = int(saved["step"])
        state.development = dict(saved.get("development", {}))
    except (KeyError, TypeError, ValueError, RuntimeError, UsageError) as error:
        raise CheckpointError(f"{run} holds another kind of checkpoint: {error}", "one of edge-vos",
                              "Train again") from error  # fmt: skip
    return state, config


def objective_of(
    state: TrainState, config: TrainConfig, teacher: Student | None = None
) -> LabelObjective | DistillObjective:
    """Return what a run minimises, with the student in it.

    Raises:
        UsageError: if the config distils and there is no teacher, or the other way round.
    """
    if (config.distill is None) != (teacher is None):
        raise UsageError(
            "a run distils with a teacher, and learns from labels without one",
            "either of the two",
            "Give --teacher to edge-vos distill only",
        )
    if config.distill is None or teacher is None:
        return LabelObjective(state.student, config.edge_weight, config.outline_weight)
    device = next(state.student.parameters()).device
    return DistillObjective(state.student, teacher.to(device), config.distill)


def train_step(
    state: TrainState, batches: Iterator[Batch], config: TrainConfig, objective: Objective
) -> StepRecord:
    """Take one optimizer step in place and return what it logged.

    Args:
        state: changed in place.
        batches: ``accumulate`` of them are taken; each holds the clips of all processes, of which
            each takes its share.
        config: of the run.
        objective: the loss of the state's student.
    """
    factor = learning_rate_factor(state.step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    _training_mode(state.student, config)
    state.optimizer.zero_grad(set_to_none=True)
    waited, images = 0.0, 0
    started = time.perf_counter()
    logged: list[dict[str, Tensor]] = []
    for number in range(config.accumulate):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        images += batch.images.shape[0] * batch.images.shape[1]
        with keep_gradients(objective, number + 1 < config.accumulate):
            logged.append(_backward(state, batch, config, objective))
    nn.utils.clip_grad_norm_(state.student.parameters(), config.clip_norm)
    state.optimizer.step()
    update_average(
        state.average, state.student, min(config.ema, (1 + state.step) / (10 + state.step))
    )
    state.step += 1
    values = torch.stack([torch.stack(list(terms.values())) for terms in logged]).mean(0)
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    loss = float(values.sum())
    return StepRecord(
        state.step,
        loss,
        dict(zip(logged[0], values.tolist(), strict=True)),
        state.optimizer.param_groups[0]["lr"],
        time.perf_counter() - started - waited,
        waited,
        images,
    )


def _backward(
    state: TrainState, batch: Batch, config: TrainConfig, objective: Objective
) -> dict[str, Tensor]:
    """Add the gradient of one batch's share of the step, and return its detached terms."""
    ramp = min(1.0, state.step / max(1.0, config.keep_ramp * config.steps))
    device = next(state.student.parameters()).device.type
    narrow = device != "cpu" if config.bfloat16 is None else config.bfloat16
    with torch.autocast(device, torch.bfloat16, enabled=narrow):
        terms = objective(own_share(batch), 1 + (config.keep - 1) * ramp)
    loss = torch.stack(list(terms.values())).sum() / config.accumulate
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: term.detach().float() for name, term in terms.items()}


def train(
    footage: Footage,
    state: TrainState,
    config: TrainConfig,
    run: Path,
    report: Callable[[StepRecord], None] = lambda _: None,
    minutes: float = math.inf,
    teacher: Student | None = None,
    scoring: Scoring | None = None,
    workers: int = 0,
    most_steps: int | None = None,
) -> StepRecord | None:
    """Train until the last step or until the minutes are over; return the last record.

    The averaged weights are scored as ``scoring`` says, and the best by that are kept beside the
    last ones. What is trained does not depend on it, nor on the number of workers.

    Args:
        footage: training material.
        state: changed in place.
        config: of the run.
        run: folder of the run.
        report: called after each step, and after the checkpoint where the step has one.
        minutes: wall-clock limit of this call.
        teacher: to learn from, where the config distils.
        scoring: by sequences that the footage lacks; None keeps the last weights only.
        workers: processes that make the clips; 0 is a thread.
        most_steps: that this call takes; None is all that are left.

    Raises:
        TrainingError: if the loss is no longer finite.
        DatasetError: if the development split cannot be read.
        UsageError: if there is no footage, or no processes can be had.
    """
    if not footage.videos and not footage.stills:
        raise UsageError("there is nothing to train on", "videos or stills with masks")
    deadline = time.monotonic() + 60 * minutes
    cv2.setNumThreads(0)
    leads = not dist.is_initialized() or dist.get_rank() == 0
    if leads:
        write_config(run, config.to_dict())
    objective = prepare_objective(objective_of(state, config, teacher), config)
    record = None
    log = read_log(run, state.step)
    last = config.steps * config.accumulate
    unseen = make_batch(footage, config.clips, config.seed, last) if leads else None

    def checkpoint() -> None:
        if scoring is not None and scoring.due(state.step, config):
            _judge(state, scoring, run)
        save_state(state, config, run)
        write_log(run, log)
        write_curves(run / CURVES, log, state.development)
        if unseen is not None:
            write_samples(run, sample_sheet(state.average, unseen))

    first = state.step * config.accumulate
    made = batches(footage, config.batch_clips, config.seed, first, last, workers)
    end = config.steps if most_steps is None else min(config.steps, state.step + most_steps)
    with closing(made):
        while state.step < end and not any_process(time.monotonic() >= deadline):
            record = train_step(state, made, config, objective)
            if not math.isfinite(record.loss):
                raise TrainingError(
                    f"the loss is {record.loss} at step {record.step}",
                    "a finite loss",
                    "Resume from the last checkpoint with a lower learning rate",
                )
            log.append(record)
            if leads:
                if _saves(state.step, config, scoring):
                    checkpoint()
                report(record)
    if leads and record is not None and not _saves(state.step, config, scoring):
        checkpoint()
    return record


def _saves(step: int, config: TrainConfig, scoring: Scoring | None) -> bool:
    scored = scoring is not None and scoring.due(step, config)
    return step % config.checkpoint_every == 0 or step == config.steps or scored


def _judge(state: TrainState, scoring: Scoring, run: Path) -> None:
    """Score the averaged weights, and keep them if none were better."""
    state.development[state.step] = jf = scoring.score(state.average)
    if state.best == (state.step, jf):
        save_student(state.average, run / BEST, {"step": str(state.step), "jf": f"{jf:.2f}"})
    write_development(run, state.development)


def _optimizer(student: Student, config: TrainConfig) -> torch.optim.AdamW:
    """Group the parameters; the encoder's first stages are frozen and in no group."""
    student.encoder.requires_grad_(False)
    stages = student.encoder.stages
    for stage in stages[len(stages) - config.encoder_stages :]:
        stage.requires_grad_()
    encoder = [p for p in student.encoder.parameters() if p.requires_grad]
    apart = ("encoder.", "outline.")
    rest = [(n, p) for n, p in student.named_parameters() if not n.startswith(apart)]
    groups = [
        {"params": [p for _, p in rest if p.ndim > 1], "lr": config.learning_rate},
        {
            "params": [p for _, p in rest if p.ndim <= 1],
            "lr": config.learning_rate,
            "weight_decay": 0.0,
        },
        {"params": encoder, "lr": config.encoder_learning_rate},
    ]
    if config.only_outlines:
        student.requires_grad_(False)
        groups.clear()
    if student.outline is not None:
        outline = [p.requires_grad_() for p in student.outline.parameters()]
        groups.append({"params": outline, "lr": config.outline_learning_rate})
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _training_mode(student: Student, config: TrainConfig) -> None:
    """Train the new layers' BatchNorm; the encoder keeps the statistics of ImageNet."""
    student.train()
    for name, module in student.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            keeps = config.freeze_norm or name.startswith("encoder.")
            if name.startswith("outline."):
                keeps = not config.outline_weight
            module.train(not keeps)


def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an average of weights by ``1 - decay`` towards a model's, in place."""
    with torch.no_grad():
        for mean, value in zip(
            average.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
