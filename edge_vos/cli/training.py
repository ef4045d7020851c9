"""What ``train`` and ``distill`` share: packages, processes, configs, progress, the result."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.errors import MissingPackageError, SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.config import TrainConfig
    from edge_vos.distill.data import Footage
    from edge_vos.distill.run_folder import StepRecord
    from edge_vos.distill.train import TrainState
    from edge_vos.evaluate.sequences import Dataset
    from edge_vos.model.student import Student

DavisOption = Annotated[Path, typer.Option(help="Folder in DAVIS 2016 layout.")]
StillsOption = Annotated[
    list[Path] | None,
    typer.Option(help="Folder with images/ and labels/ or masks/; may be repeated."),
]
ExcludeOption = Annotated[
    str,
    typer.Option(
        help="Development split, as A,B: sequences of DAVIS to leave out and keep the best by."
    ),
]
ResumeOption = Annotated[bool, typer.Option(help="Go on where the run's checkpoint stands.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Optimizer steps in all.")]
MinutesOption = Annotated[float | None, typer.Option(min=0, help="Stop after this time.")]
SeedOption = Annotated[int | None, typer.Option(help="Of the weights and of every batch.")]
TorchThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of torch.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|NAME",
        help="TOML file with fields of TrainConfig that differ; memory and pyramid come along.",
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """Hold what the user asked of a run; ``None`` is the command's default."""

    run: Path
    resume: bool
    steps: int | None
    minutes: float | None
    seed: int | None
    threads: int | None
    config: Path | None
    json_output: bool


def require_training() -> None:
    """Refuse to train without the packages for it.

    Raises:
        EngineError: naming the package and the extra that brings it.
    """
    try:
        import matplotlib  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"training needs {error.name}",
            "the train extra",
            'Run: pip install "edge-vos[train]"',
        ) from error


def prepare(
    options: RunOptions, defaults: TrainConfig, device: str, initial: Student | None = None
) -> tuple[TrainState, TrainConfig]:
    """Return the state and the config to train with, new or resumed.

    Raises:
        SinkError: if the folder holds a run and it shall not be resumed.
        CheckpointError: if there is nothing to resume.
        UsageError: if the config file names what does not exist.
    """
    import torch

    from edge_vos.distill.config import TrainConfig
    from edge_vos.distill.run_folder import CHECKPOINT
    from edge_vos.distill.train import load_state, new_state

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.resume:
        state, config = load_state(options.run, device)
        return state, dataclasses.replace(config, steps=options.steps or config.steps)
    if (options.run / CHECKPOINT).exists():
        raise SinkError(
            f"{options.run} already holds a run",
            "a new folder",
            "Add --resume, or choose another --run",
        )
    values = changed(defaults, options.config).to_dict()
    for name, given in (("steps", options.steps), ("seed", options.seed)):
        if given is not None:
            values[name] = given
    config = TrainConfig.from_dict(values)
    return new_state(config, device, initial), config


def changed(config: TrainConfig, path: Path | None) -> TrainConfig:
    """Return the config with what a TOML file, or a recipe of that name, changes in it.

    Raises:
        UsageError: if there is no such file, or it names what does not exist.
    """
    from edge_vos.distill.config import merged

    return merged(config, _read_config(path))


def load_footage(davis: Path | None, stills: list[Path] | None, exclude: str) -> Footage:
    """Decode videos and photographs into memory.

    Raises:
        DatasetError: if a folder is not in its layout.
    """
    from edge_vos.distill.data import Footage, load_stills, load_videos

    typer.echo("decoding the footage into memory", err=True)
    photographs = [still for folder in stills or [] for still in load_stills(folder)]
    return Footage(load_videos(davis, _names(exclude)) if davis is not None else [], photographs)


def load_development(davis: Path | None, exclude: str) -> Dataset | None:
    """Find the sequences that training leaves out, to keep the best weights by them.

    Raises:
        DatasetError: if one is missing or has no masks.
    """
    from edge_vos.evaluate.run import read_dataset

    if davis is None or not _names(exclude):
        return None
    found = read_dataset(davis, "davis2016", _names(exclude))
    found.require_truth()
    return found


def run_training(
    options: RunOptions,
    footage: Footage,
    state: TrainState,
    config: TrainConfig,
    teacher: Student | None,
    development: Dataset | None,
    next_command: str,
) -> None:
    """Train with a progress bar and print the result; only the first process speaks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from edge_vos.distill.run_folder import BEST, WEIGHTS
    from edge_vos.distill.train import train

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    leads = os.environ.get("RANK", "0") == "0"
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not leads) as progress:
        task = progress.add_task("train", total=config.steps, completed=state.step, loss=0.0)
        smooth = 0.0
        first, started = state.step, time.monotonic()

        def report(record: StepRecord) -> None:
            nonlocal smooth
            smooth = record.loss if not smooth else 0.98 * smooth + 0.02 * record.loss
            progress.update(task, completed=record.step, loss=smooth)
            if not console.is_terminal and record.step % config.checkpoint_every == 0:
                pace = (time.monotonic() - started) / (record.step - first)
                left = timedelta(seconds=round(pace * (config.steps - record.step)))
                typer.echo(
                    f"step {record.step} of {config.steps}, loss {smooth:.3f}, {left} left",
                    err=True,
                )

        minutes = options.minutes if options.minutes else math.inf
        record = train(footage, state, config, options.run, report, minutes, teacher, development)
    if not leads:
        return
    weights = options.run / (BEST if state.best else WEIGHTS)
    result: dict[str, Any] = {
        "run": str(options.run),
        "step": state.step,
        "loss": record.loss if record else None,
        "weights": str(weights),
        "development": {str(step): jf for step, jf in state.development.items()},
    }
    if options.json_output:
        typer.echo(json.dumps(result))
    else:
        if state.best:
            step, jf = state.best
            typer.echo(f"best by the development split: J&F {jf:.1f} at step {step}")
        typer.echo(f"{state.step} steps; weights in {weights}")
        typer.echo(f"next: {next_command} --weights {weights}")


@contextmanager
def processes() -> Iterator[str]:
    """Join the other processes of ``torchrun``, if there are any, and give this one's device."""
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield "cuda" if gpu else "cpu"
        return
    device = f"cuda:{os.environ['LOCAL_RANK']}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def _names(exclude: str) -> tuple[str, ...]:
    return tuple(name for name in exclude.split(",") if name)


def _read_config(path: Path | None) -> dict[str, Any]:
    """Read a file, or else the recipe of that name; None is no difference."""
    if path is None:
        return {}
    from edge_vos.distill.config import RECIPES

    recipe = RECIPES / f"{path.name}.toml"
    named = not path.exists() and path.name == str(path) and recipe.is_file()
    try:
        return tomllib.loads((recipe if named else path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise UsageError(
            f"config {path} cannot be read: {error}", f"a TOML file, or one of {names}"
        ) from error
