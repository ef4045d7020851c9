"""What ``train`` and ``distill`` share: packages, processes, configs, progress, the result."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli
import typer

from edge_vos.cli.training.options import MaterialOptions, TrainingOptions
from edge_vos.errors import MissingPackageError, SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.config import TrainConfig
    from edge_vos.distill.data.footage import Footage
    from edge_vos.distill.data.pack import PackedMaterial
    from edge_vos.distill.run_folder import StepRecord
    from edge_vos.distill.scoring import Scoring
    from edge_vos.distill.train import TrainState
    from edge_vos.evaluate.sequences import Dataset
    from edge_vos.model.student import Student

FIT_STEPS = 40
"""Steps after which --fit knows how fast they are."""

FIT_SHARE = 0.93
"""Of the time that is left, what --fit plans with; the rest is for checkpoints."""


@dataclass(frozen=True)
class Material:
    """Hold where the training material is; see ``load_footage``."""

    davis: Path | None
    stills: list[Path] | None
    data: Path | None
    exclude: str

    def load(self, height: int) -> Footage:
        """Open it at so many lines.

        Raises:
            DatasetError: if a folder is not in its layout, or the pack cannot be read.
        """
        return load_footage(self.davis, self.stills, self.exclude, height, self.data)


def material_of(options: MaterialOptions) -> Material:
    """Return where the material that was asked for is."""
    return Material(options.davis, options.stills, options.data, options.exclude)


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
    options: TrainingOptions,
    run: Path,
    defaults: TrainConfig,
    device: str,
    initial: Student | None = None,
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
    if options.fit and (not options.minutes or int(os.environ.get("WORLD_SIZE", "1")) > 1):
        raise UsageError("--fit", "--minutes, and one process", "Add for example --minutes 9")
    if options.resume:
        state, config = load_state(run, device)
        return state, dataclasses.replace(config, steps=options.steps or config.steps)
    if (run / CHECKPOINT).exists():
        raise SinkError(
            f"{run} already holds a run",
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


def load_footage(
    davis: Path | None,
    stills: list[Path] | None,
    exclude: str,
    height: int,
    data: Path | None = None,
) -> Footage:
    """Open videos and photographs; what fits into half of the free memory is decoded at once.

    Args:
        davis: folder in DAVIS 2016 layout.
        stills: folders with photographs.
        exclude: names of sequences, with commas between them.
        height: lines at which pictures are decoded.
        data: a pack; sequences that it holds are not taken from ``davis`` again.

    Raises:
        DatasetError: if a folder is not in its layout, or the pack cannot be read.
    """
    from edge_vos.distill.data import footage as material
    from edge_vos.distill.data.pack import read_pack

    out, folders = names_in(exclude), stills or []
    packed = read_pack(data) if data is not None else None
    known = {video.name for video in packed.videos} if packed else set()
    found = material.find_videos(davis, (*out, *known)) if davis is not None else []
    if packed:
        _describe(packed, [video.name for video in found], height)
        found = [*(video for video in packed.videos if video.name not in out), *found]
    pictures = sum(len(video.frames) for video in found)
    pictures += material.count_pictures([], folders) + (len(packed.stills) if packed else 0)
    size_bytes = material.decoded_bytes(pictures, height)
    keep = material.fits_in_memory(size_bytes)
    how = "decoding the footage into memory" if keep else "the footage is decoded as it is needed"
    typer.echo(f"{how}: {pictures} pictures, {size_bytes / 2**30:.1f} GiB", err=True)
    photographs = [material.open_stills(packed.stills, height, keep)] if packed else []
    photographs += [material.load_stills(folder, height, keep) for folder in folders]
    videos = [material.open_video(files, height, keep) for files in found]
    return material.Footage(videos, material.joined(photographs))


def load_scoring(options: TrainingOptions) -> Scoring | None:
    """Find the sequences that training leaves out, to keep the best weights by them.

    Raises:
        DatasetError: if one is missing or has no masks.
        UsageError: if the size or the window is wrong, or nothing is there to be scored.
    """
    from edge_vos.converters.recipe import parse_size
    from edge_vos.distill.scoring import Scoring

    dataset = load_development(options.davis, options.exclude)
    if dataset is not None:
        size = parse_size(options.score_size)
        return Scoring(dataset, options.score_every or 0, size, options.score_window)
    if options.score_every or options.score_window:
        raise UsageError(
            "there is no development split to score", "--davis, and --exclude with its sequences"
        )
    return None


def load_development(davis: Path | None, exclude: str) -> Dataset | None:
    """Find the sequences that training leaves out.

    Raises:
        DatasetError: if one is missing or has no masks.
    """
    from edge_vos.evaluate.run import read_dataset

    if davis is None or not names_in(exclude):
        return None
    found = read_dataset(davis, "davis2016", names_in(exclude))
    found.require_truth()
    return found


def run_training(
    options: TrainingOptions,
    run: Path,
    footage: Footage,
    state: TrainState,
    config: TrainConfig,
    teacher: Student | None,
    scoring: Scoring | None,
) -> None:
    """Train with a progress bar and print the result; only the first process speaks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from edge_vos.distill.config import fitted
    from edge_vos.distill.curves import pace, progress_line, steps_within
    from edge_vos.distill.run_folder import BEST, WEIGHTS, read_log
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
    log = read_log(run, state.step)
    first, started = state.step, time.monotonic()
    with Progress(*columns, console=console, disable=not leads) as progress:
        task = progress.add_task("train", total=config.steps, completed=state.step, loss=0.0)

        def report(record: StepRecord) -> None:
            log.append(record)
            recent = log[-50:]
            smooth = sum(one.loss for one in recent) / len(recent)
            progress.update(task, completed=record.step, loss=smooth)
            if record.step % config.checkpoint_every and record.step != config.steps:
                return
            step_s = (time.monotonic() - started) / (record.step - first)
            left = timedelta(seconds=round(step_s * (config.steps - record.step)))
            line = f"step {record.step} of {config.steps}, loss {smooth:.3f}, {left} left"
            line += f" | {progress_line(log, state.development)}"
            if console.is_terminal:
                progress.console.print(line, highlight=False)
            else:
                typer.echo(line, err=True)

        def go_on(most_steps: int | None) -> StepRecord | None:
            left = started + 60 * options.minutes - time.monotonic() if options.minutes else None
            return train(
                footage, state, config, run, report,
                math.inf if left is None else max(0.0, left / 60),
                teacher, scoring, options.workers, most_steps,
            )  # fmt: skip

        record = None
        if options.fit and options.minutes and first == 0:
            record = go_on(FIT_STEPS)
            left_s = started + 60 * options.minutes - time.monotonic()
            config = fitted(config, state.step + steps_within(log, FIT_SHARE * left_s))
            progress.update(task, total=config.steps)
            typer.echo(f"{config.steps} steps fit into {options.minutes:g} minutes", err=True)
        record = go_on(None) or record
    if not leads:
        return
    weights = run / (BEST if state.best else WEIGHTS)
    images, waiting = pace(log[first - state.step :]) if record else (None, None)
    result: dict[str, Any] = {
        "run": str(run),
        "step": state.step,
        "loss": record.loss if record else None,
        "weights": str(weights),
        "development": {str(step): jf for step, jf in state.development.items()},
        "images_per_second": images,
        "data_wait_share": waiting,
    }
    if options.json_output:
        typer.echo(json.dumps(result))
    else:
        if state.best:
            step, jf = state.best
            typer.echo(f"best by the development split: J&F {jf:.1f} at step {step}")
        if images is not None:
            typer.echo(f"{images:.1f} images/s, {waiting:.0%} of the time waiting for clips")
        typer.echo(f"{state.step} steps; weights in {weights}")
        typer.echo(f"next: edge-vos eval {options.davis or 'DAVIS'} --weights {weights}")


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


def _describe(packed: PackedMaterial, besides: list[str], height: int) -> None:
    """Say what a pack holds, and what it does not."""
    held = f"; held back: {', '.join(packed.held_back)}" if packed.held_back else ""
    typer.echo(
        f"the pack: {len(packed.videos)} videos and {len(packed.stills)} photographs, "
        f"{packed.height} lines high{held}",
        err=True,
    )
    if packed.height < height:
        typer.echo(f"{height} lines are trained; pack with --height {height} for them", err=True)
    if besides:
        typer.echo(f"trained on besides, for the pack lacks them: {', '.join(besides)}", err=True)


def names_in(exclude: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name for name in exclude.split(",") if name)


def _read_config(path: Path | None) -> dict[str, Any]:
    """Read a file, or else the recipe of that name; None is no difference."""
    if path is None:
        return {}
    from edge_vos.distill.config import RECIPES

    recipe = RECIPES / f"{path.name}.toml"
    named = not path.exists() and path.name == str(path) and recipe.is_file()
    try:
        return tomli.loads((recipe if named else path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise UsageError(
            f"config {path} cannot be read: {error}", f"a TOML file, or one of {names}"
        ) from error
