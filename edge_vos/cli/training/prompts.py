"""``edge-vos train prompts``: train the prompt head and its encoder."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import takes
from edge_vos.cli.training.options import MaterialOptions, RunOption
from edge_vos.cli.training.run import material_of, require_training
from edge_vos.errors import SinkError, UsageError


@takes(MaterialOptions)
def prompts(
    options: MaterialOptions,
    weights: Annotated[
        Path | None, typer.Option(help="The student whose encoder it starts with; the shipped one.")
    ] = None,
    from_head: Annotated[
        Path | None, typer.Option("--from", help="Prompt head to go on from.")
    ] = None,
    run: RunOption = Path("runs/prompts"),
) -> None:
    """Train the prompt head, which makes a mask from a box or clicks.

    Its encoder starts as the student's and is trained too. The student is not changed.

    Examples: edge-vos train prompts --davis DAVIS --stills PHOTOS --exclude bus,swing --minutes 90

    edge-vos train prompts --stills PHOTOS --from prompt-head.safetensors --minutes 10
    """
    require_training()
    import torch

    from edge_vos.distill.prompts.train import (
        WEIGHTS,
        PromptTrainConfig,
        load_prompt_state,
        new_prompt_state,
        train_prompts,
    )
    from edge_vos.distill.run_folder import CHECKPOINT
    from edge_vos.model.checkpoint import default_weights_path, load_student
    from edge_vos.model.prompt_checkpoint import load_prompt_network
    from edge_vos.model.prompt_head import PromptHead, PromptNetwork

    if not (options.davis or options.stills or options.data):
        raise UsageError(
            "there is nothing to train on",
            "--davis, --stills or --data",
            "Run for example: edge-vos train prompts --davis DAVIS",
        )
    if (run / CHECKPOINT).exists() and not options.resume:
        raise SinkError(
            f"{run} already holds a run", "a new folder", "Add --resume, or choose another --run"
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    config = PromptTrainConfig()
    for name in ("steps", "seed"):
        if (given := getattr(options, name)) is not None:
            config = replace(config, **{name: given})
    torch.manual_seed(config.seed)
    if from_head:
        network = load_prompt_network(from_head)
    else:
        encoder = load_student(weights or default_weights_path()).encoder
        network = PromptNetwork(encoder, PromptHead(encoder.tap_channels))
    if options.resume:
        state, config = load_prompt_state(run, network)
    else:
        state = new_prompt_state(config, network)
    footage = material_of(options).load(max(360, config.sizes[-1][0]))
    recent: list[float] = []
    told_s = time.monotonic()

    def report(step: int, loss: float, seconds: float) -> None:
        nonlocal told_s
        recent.append(loss)
        if time.monotonic() - told_s > 10 or step == config.steps:
            mean = sum(recent) / len(recent)
            typer.echo(f"step {step}/{config.steps}, loss {mean:.3f}, {seconds:.1f} s", err=True)
            recent.clear()
            told_s = time.monotonic()

    train_prompts(footage, state, config, run, report, options.minutes or math.inf)
    found = run / WEIGHTS
    if options.json_output:
        typer.echo(json.dumps({"run": str(run), "step": state.step, "weights": str(found)}))
        return
    typer.echo(f"{state.step} steps; weights in {found}")
    typer.echo(f"next: edge-vos convert --target cpu --prompt-head {found}")
