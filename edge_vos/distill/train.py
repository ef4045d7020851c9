"""One training loop: clips in, the student's own predictions fed back, checkpoints out.

A run folder holds ``config.json``, ``checkpoint.pt`` (everything that the next step needs),
``log.csv``, ``curves.png`` and ``student.safetensors`` (the moving average, ready to convert).
Every file is written beside and renamed, so a killed run resumes at its last checkpoint with the
losses that it would have had.
"""

import csv
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from edge_vos.distill.data import Batch, ClipConfig, Footage, prefetch
from edge_vos.distill.losses import bootstrapped_cross_entropy, soft_jaccard
from edge_vos.distill.rollout import coverage, rollout
from edge_vos.errors import CheckpointError
from edge_vos.model.checkpoint import save_student
from edge_vos.model.config import PRESETS
from edge_vos.model.encoder import load_imagenet_weights
from edge_vos.model.student import Student


@dataclass(frozen=True)
class TrainConfig:
    """Describe a run; the same config and seed give the same student on the same machine.

    Args:
        preset: name in ``edge_vos.model.config.PRESETS``.
        clips: shape of the batches.
        steps: optimizer steps in all.
        learning_rate: peak, for everything but the encoder.
        encoder_learning_rate: peak, for the encoder's stage at stride 16.
        weight_decay: of AdamW.
        warmup: steps of linear warm-up.
        cooldown: share of the steps, at the end, over which the rate falls linearly to zero.
        clip_norm: largest norm of the gradient.
        ema: decay of the moving average of the weights.
        keep: share of the cells that cross-entropy keeps once bootstrapping has set in.
        seed: of the initial weights and of every batch.
        checkpoint_every: steps between checkpoints.
    """

    preset: str = "small"
    clips: ClipConfig = field(default_factory=ClipConfig)
    steps: int = 4500
    learning_rate: float = 8e-4
    encoder_learning_rate: float = 1.5e-4
    weight_decay: float = 0.03
    warmup: int = 100
    cooldown: float = 0.5
    clip_norm: float = 1.0
    ema: float = 0.998
    keep: float = 0.2
    seed: int = 0
    checkpoint_every: int = 250

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Build a config from ``to_dict``'s result."""
        clips = {**values["clips"], "size": tuple(values["clips"]["size"])}
        return cls(**{**values, "clips": ClipConfig(**clips)})


@dataclass(frozen=True)
class StepRecord:
    """Hold what one step logged."""

    step: int
    loss: float
    cross_entropy: float
    jaccard: float
    learning_rate: float
    seconds: float


@dataclass
class TrainState:
    """Hold everything that changes from step to step."""

    student: Student
    average: Student
    optimizer: torch.optim.AdamW
    step: int


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor on the peak learning rate: warm-up, constant, linear cool-down."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    start = config.steps * (1 - config.cooldown)
    if step < start:
        return 1.0
    return max(0.0, (config.steps - step) / max(1.0, config.steps - start))


def new_state(config: TrainConfig) -> TrainState:
    """Return the state before the first step: ImageNet encoder, everything else from the seed."""
    torch.manual_seed(config.seed)
    student = Student(PRESETS[config.preset])
    load_imagenet_weights(student.encoder)
    average = Student(student.config)
    average.load_state_dict(student.state_dict())
    return TrainState(student, average, _optimizer(student, config), 0)


def save_state(state: TrainState, config: TrainConfig, run: Path) -> None:
    """Write the checkpoint and the averaged weights, each atomically."""
    temporary = run / "checkpoint.pt.tmp"
    torch.save(
        {
            "config": json.dumps(config.to_dict()),
            "student": state.student.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
        },
        temporary,
    )
    os.replace(temporary, run / "checkpoint.pt")
    save_student(state.average, run / "student.safetensors", {"step": str(state.step)})


def load_state(run: Path) -> tuple[TrainState, TrainConfig]:
    """Read the checkpoint of a run.

    Raises:
        CheckpointError: if there is none, or it cannot be read.
    """
    path = run / "checkpoint.pt"
    if not path.is_file():
        raise CheckpointError(
            f"{run} holds no checkpoint.pt", "the folder of a run", "Start one without --resume"
        )
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config = TrainConfig.from_dict(json.loads(saved["config"]))
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "a checkpoint") from error
    state = new_state(config)
    state.student.load_state_dict(saved["student"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step = int(saved["step"])
    return state, config


def clip_loss(student: Student, batch: Batch, keep: float) -> tuple[Tensor, Tensor]:
    """Compare the student's masks with the labels.

    Args:
        student: in training mode.
        batch: clips with labels.
        keep: share of the cells that cross-entropy keeps.

    Returns:
        Cross-entropy and soft Jaccard loss, averaged over all frames but the first.
    """
    frames = rollout(student, batch)
    active = torch.from_numpy(batch.active)
    target = coverage(torch.from_numpy(batch.labels), active.shape[1])
    cross_entropy = [
        bootstrapped_cross_entropy(frame.probability, target[:, t], keep)
        for t, frame in enumerate(frames, 1)
    ]
    jaccard = [
        soft_jaccard(frame.probability, target[:, t], active) for t, frame in enumerate(frames, 1)
    ]
    return torch.stack(cross_entropy).mean(), torch.stack(jaccard).mean()


def train_step(state: TrainState, batch: Batch, config: TrainConfig) -> StepRecord:
    """Take one optimizer step in place and return what it logged."""
    started = time.perf_counter()
    factor = learning_rate_factor(state.step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    _training_mode(state.student)
    ramp = min(1.0, state.step / max(1.0, 0.25 * config.steps))
    cross_entropy, jaccard = clip_loss(state.student, batch, 1 + (config.keep - 1) * ramp)
    loss = cross_entropy + jaccard
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.student.parameters(), config.clip_norm)
    state.optimizer.step()
    _update_average(state, min(config.ema, (1 + state.step) / (10 + state.step)))
    state.step += 1
    return StepRecord(
        state.step,
        float(loss.detach()),
        float(cross_entropy.detach()),
        float(jaccard.detach()),
        state.optimizer.param_groups[0]["lr"],
        time.perf_counter() - started,
    )


def train(
    footage: Footage,
    state: TrainState,
    config: TrainConfig,
    run: Path,
    report: Callable[[StepRecord], None] = lambda _: None,
    minutes: float = math.inf,
) -> StepRecord | None:
    """Train until the last step or until the minutes are over; return the last record.

    Args:
        footage: decoded material.
        state: changed in place.
        config: of the run.
        run: folder of the run.
        report: called after each step.
        minutes: wall-clock limit of this call.
    """
    cv2.setNumThreads(0)
    run.mkdir(parents=True, exist_ok=True)
    temporary = run / "config.tmp"
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, run / "config.json")
    deadline = time.monotonic() + 60 * minutes
    record = None
    log = _open_log(run / "log.csv", state.step)
    with closing(prefetch(footage, config.clips, config.seed, state.step)) as batches:
        while state.step < config.steps and time.monotonic() < deadline:
            record = train_step(state, next(batches), config)
            log.append(record)
            report(record)
            if not math.isfinite(record.loss):
                raise CheckpointError(
                    f"the loss is {record.loss} at step {record.step}",
                    "a finite loss",
                    "Resume from the last checkpoint with a lower learning rate",
                )
            if state.step % config.checkpoint_every == 0 or state.step == config.steps:
                _checkpoint(state, config, run, log)
    if record is not None and state.step % config.checkpoint_every:
        _checkpoint(state, config, run, log)
    return record


def _checkpoint(state: TrainState, config: TrainConfig, run: Path, log: list[StepRecord]) -> None:
    save_state(state, config, run)
    _write_log(run / "log.csv", log)
    _plot(run / "curves.png", log)


def _optimizer(student: Student, config: TrainConfig) -> torch.optim.AdamW:
    """Group the parameters; what lies before stride 8 is frozen and in no group."""
    for name, parameter in student.encoder.named_parameters():
        parameter.requires_grad = name.startswith(("stages.3", "stages.4"))
    encoder = [p for p in student.encoder.parameters() if p.requires_grad]
    rest = [(n, p) for n, p in student.named_parameters() if not n.startswith("encoder.")]
    groups = [
        {"params": [p for _, p in rest if p.ndim > 1], "lr": config.learning_rate},
        {
            "params": [p for _, p in rest if p.ndim <= 1],
            "lr": config.learning_rate,
            "weight_decay": 0.0,
        },
        {"params": encoder, "lr": config.encoder_learning_rate},
    ]
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _training_mode(student: Student) -> None:
    """Train the new layers' BatchNorm; the encoder keeps the statistics of ImageNet."""
    student.train()
    student.encoder.eval()


def _update_average(state: TrainState, decay: float) -> None:
    with torch.no_grad():
        for mean, value in zip(
            state.average.state_dict().values(), state.student.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _open_log(path: Path, step: int) -> list[StepRecord]:
    """Read the records up to ``step``; what came after the checkpoint will be run again."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [StepRecord(int(row.pop("step")), **{k: float(v) for k, v in row.items()})
                for row in csv.DictReader(file)]  # fmt: skip
    return [row for row in rows if row.step <= step]


def _write_log(path: Path, log: list[StepRecord]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(StepRecord.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(record) for record in log)
    os.replace(temporary, path)


def _plot(path: Path, log: list[StepRecord]) -> None:
    import matplotlib.figure as figure

    window = max(1, len(log) // 100)
    chunks = [log[i : i + window] for i in range(0, len(log), window)]
    steps = [chunk[-1].step for chunk in chunks]
    picture = figure.Figure(figsize=(8, 4), layout="constrained")
    axes = picture.subplots()
    for name in ("cross_entropy", "jaccard"):
        means = [sum(getattr(r, name) for r in chunk) / len(chunk) for chunk in chunks]
        axes.plot(steps, means, label=name)
    axes.set(xlabel="step", ylabel=f"loss, mean of {window} steps", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    temporary = path.with_suffix(".tmp.png")
    picture.savefig(temporary)
    os.replace(temporary, path)
