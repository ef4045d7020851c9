"""Train the prompt network on pictures with masks.

It begins with the student's encoder and trains a copy of it, so the student's masks stay as they
are. Each step shows a batch and then corrects it with clicks, as RITM's iterative training does
(https://arxiv.org/abs/2102.06583); the loss counts every round, for the encoder runs only once.
"""

import copy
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_vos.distill.data.footage import Footage
from edge_vos.distill.losses import soft_jaccard
from edge_vos.distill.prompts.samples import (
    PromptBatch,
    add_clicks,
    make_prompts,
    prompt_batches,
    sheet_of,
)
from edge_vos.distill.rollout import has_bfloat16
from edge_vos.distill.run_folder import read_checkpoint, write_checkpoint, write_samples
from edge_vos.distill.train import update_average
from edge_vos.errors import CheckpointError, TrainingError
from edge_vos.model.encoder import Encoder
from edge_vos.model.prompt_checkpoint import save_prompt_network
from edge_vos.model.prompt_head import PromptNetwork

WEIGHTS = "prompt-head.safetensors"

_TRAINED = ("stages.2", "stages.3", "stages.4")
"""Of the encoder: what comes after stride 4."""


@dataclass(frozen=True)
class PromptTrainConfig:
    """Describe a run; the same config and seed give the same head on the same machine.

    Args:
        steps: optimizer steps in all.
        sizes: (height, width) of the pictures, multiples of 32; a step takes one of them in turn.
        pictures: in a batch of the first size; larger ones have fewer.
        rounds: how often each batch is looked at, with a click more each time.
        learning_rate: peak, of the head; it falls as half a cosine.
        encoder_learning_rate: peak, of the encoder from stride 8 on; what lies before is frozen.
        weight_decay: of AdamW.
        warmup: steps of linear warm-up.
        ema: decay of the moving average of the weights.
        seed: of the initial weights and of every batch.
        checkpoint_every: steps between checkpoints.
    """

    steps: int = 4000
    sizes: tuple[tuple[int, int], ...] = ((224, 416), (256, 448), (352, 640))
    pictures: int = 12
    rounds: int = 4
    learning_rate: float = 1.2e-3
    encoder_learning_rate: float = 1.2e-4
    weight_decay: float = 0.01
    warmup: int = 50
    ema: float = 0.996
    seed: int = 0
    checkpoint_every: int = 100


@dataclass
class PromptState:
    """Hold everything that changes from step to step; ``average`` is what a run is for."""

    network: PromptNetwork
    average: PromptNetwork
    optimizer: torch.optim.AdamW
    step: int = 0


def new_prompt_state(config: PromptTrainConfig, network: PromptNetwork) -> PromptState:
    """Return the state before the first step.

    Args:
        config: of the run.
        network: to start from; it is trained in place.
    """
    for name, parameter in network.encoder.named_parameters():
        parameter.requires_grad = name.startswith(_TRAINED)
    encoder = [p for p in network.encoder.parameters() if p.requires_grad]
    groups = [
        {"params": list(network.head.parameters()), "peak": config.learning_rate},
        {"params": encoder, "peak": config.encoder_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    return PromptState(network, copy.deepcopy(network).eval(), optimizer)


def save_prompt_state(state: PromptState, config: PromptTrainConfig, run: Path) -> None:
    """Write what the next step needs, whole or not at all."""
    write_checkpoint(
        run,
        {
            "config": asdict(config),
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
        },
    )


def load_prompt_state(run: Path, network: PromptNetwork) -> tuple[PromptState, PromptTrainConfig]:
    """Read the checkpoint of a run.

    Args:
        run: folder.
        network: of the run's shape; its weights are replaced.

    Raises:
        CheckpointError: if there is none, or it is of something else.
    """
    saved = read_checkpoint(run)
    try:
        sizes = tuple((height, width) for height, width in saved["config"]["sizes"])
        config = PromptTrainConfig(**{**saved["config"], "sizes": sizes})
        state = new_prompt_state(config, network)
        state.network.load_state_dict(saved["network"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step = int(saved["step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{run} holds another kind of checkpoint: {error}",
            "one of a prompt head",
            "Train again",
        ) from error
    return state, config


def train_prompts(
    footage: Footage,
    state: PromptState,
    config: PromptTrainConfig,
    run: Path,
    report: Callable[[int, float, float], None],
    minutes: float = float("inf"),
) -> None:
    """Train until the last step or the time is over; checkpoints go to the run's folder.

    With a limit of time the learning rate falls with whichever of steps and time ends first.

    Args:
        footage: pictures with masks.
        state: changed in place.
        config: of the run.
        run: folder.
        report: called after each step with its number, the loss and the seconds it took.
        minutes: time limit.

    Raises:
        TrainingError: if the loss is no longer finite.
    """
    run.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(0)
    began, first = time.monotonic(), state.step
    shown = make_prompts(footage, config.sizes[0], 8, config.seed, config.steps)

    def checkpoint() -> None:
        save_prompt_state(state, config, run)
        save_prompt_network(state.average, run / WEIGHTS, {"step": str(state.step)})
        _write_sheet(run, shown, state.average)

    made = prompt_batches(
        footage, config.sizes, config.pictures, config.seed, state.step, config.steps
    )
    with closing(made):
        for batch in made:
            passed = (time.monotonic() - began) / (60 * minutes)
            if passed >= 1:
                break
            done = max(state.step / config.steps, (first / config.steps) * (1 - passed) + passed)
            started = time.perf_counter()
            loss = _train_step(batch, state, config, done)
            if not np.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {state.step}", "a finite loss",
                                    "Resume with a lower learning rate")  # fmt: skip
            if state.step % config.checkpoint_every == 0:
                checkpoint()
            report(state.step, loss, time.perf_counter() - started)
    checkpoint()


def _train_step(
    batch: PromptBatch, state: PromptState, config: PromptTrainConfig, done: float
) -> float:
    rise = min(1.0, (state.step + 1) / config.warmup)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * rise * 0.5 * (1 + math.cos(math.pi * done))
    rng = np.random.default_rng((config.seed, 1, state.step))
    truth = torch.from_numpy(batch.truth)[:, None]
    prompts = batch.prompts.copy()
    state.network.head.train()
    state.network.encoder.eval()  # BatchNorm keeps the statistics that it has
    state.optimizer.zero_grad(set_to_none=True)
    taps = _taps(state.network.encoder, batch)
    # The rounds' gradients meet at the taps, and go back through the encoder once.
    given = [tap.detach().requires_grad_(tap.requires_grad) for tap in taps]
    total = 0.0
    for last in (False,) * (config.rounds - 1) + (True,):
        logits = state.network.head(*given, torch.from_numpy(prompts))
        loss = prompt_loss(logits, truth) / config.rounds
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
        if not last:
            add_clicks(prompts, batch.truth, logits.detach().sigmoid()[:, 0].numpy(), rng)
    pairs = [(tap, one.grad) for tap, one in zip(taps, given, strict=True) if tap.requires_grad]
    torch.autograd.backward([tap for tap, _ in pairs], [grad for _, grad in pairs])
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    update_average(state.average, state.network, decay)
    return total


def prompt_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return cross-entropy, more at the edge, and one minus the soft intersection over union.

    Args:
        logits: (B, 1, h, w) float32.
        truth: (B, 1, h, w) float32 in [0, 1].
    """
    edge = F.max_pool2d(truth, 3, 1, 1) + F.max_pool2d(-truth, 3, 1, 1)
    cost = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * (1 + 2 * edge)
    area = truth.mean((1, 2, 3)).clamp(min=0.02)
    # A small object's cells count for more: else the ground would be all that is learned.
    entropy = (cost.mean((1, 2, 3)) / area.sqrt()).mean() * 0.5
    probability = logits.sigmoid()
    found, wanted = (torch.cat([1 - x, x], dim=1) for x in (probability, truth))
    return entropy + soft_jaccard(found, wanted, torch.ones(len(truth), 2))


def _taps(encoder: Encoder, batch: PromptBatch) -> tuple[Tensor, ...]:
    with torch.autocast("cpu", torch.bfloat16, has_bfloat16(torch.device("cpu"))):
        taps = encoder(torch.from_numpy(batch.images))
    return tuple(tap.float() for tap in taps)


def _write_sheet(run: Path, batch: PromptBatch, network: PromptNetwork) -> None:
    rng = np.random.default_rng(0)
    prompts, rounds = batch.prompts.copy(), []
    with torch.no_grad():
        taps = _taps(network.encoder, batch)
        for _ in range(3):
            rounds.append(network.head(*taps, torch.from_numpy(prompts)).sigmoid()[:, 0].numpy())
            add_clicks(prompts, batch.truth, rounds[-1], rng)
    write_samples(run, sheet_of(batch, rounds))
