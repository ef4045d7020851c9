"""``edge-vos train``: train the student from videos with masks and from stills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption
from edge_vos.errors import DatasetError, SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.data import Footage
    from edge_vos.distill.train import StepRecord, TrainConfig, TrainState

app = typer.Typer(help="Train the student.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Train the student; every run can be stopped and resumed."""


@app.command()
def student(
    davis: Annotated[Path, typer.Option(help="Folder in DAVIS 2016 layout.")],
    stills: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with images/ and labels/ or masks/; may be repeated."),
    ] = None,
    exclude: Annotated[
        str, typer.Option(help="Sequences to leave out, as A,B: a development split.")
    ] = "",
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/student"),
    resume: Annotated[bool, typer.Option(help="Go on where the run's checkpoint stands.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps in all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time.")] = None,
    preset: Annotated[str, typer.Option(help="Shape of the student: small or nano.")] = "small",
    seed: Annotated[int, typer.Option(help="Of the weights and of every batch.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Train with ground truth: the first frame is given, the student feeds on its own masks.

    Ctrl-C or a kill loses what came after the last checkpoint and nothing else; --resume goes on
    there with the losses that the run would have had.

    Examples: edge-vos train student --davis DAVIS --stills PHOTOS --exclude bus,swing

    edge-vos train student --davis DAVIS --stills PHOTOS --run runs/student --resume
    """
    import dataclasses
    import json
    import math

    try:
        import torch

        from edge_vos.distill import train as training
    except ImportError as error:
        from edge_vos.errors import EngineError

        raise EngineError(
            f"training needs {error.name}",
            "the train extra",
            'Run: pip install "edge-vos[train]"',
        ) from error
    from edge_vos.model.config import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} does not exist", f"one of {', '.join(PRESETS)}")
    if threads:
        torch.set_num_threads(threads)
    if resume:
        state, config = training.load_state(run)
        if steps:
            config = dataclasses.replace(config, steps=steps)
    else:
        if (run / "checkpoint.pt").exists():
            raise SinkError(
                f"{run} already holds a run",
                "a new folder",
                "Add --resume, or choose another --run",
            )
        defaults = training.TrainConfig()
        config = dataclasses.replace(
            defaults, preset=preset, seed=seed, steps=steps or defaults.steps
        )
        state = training.new_state(config)
    footage = _load(davis, stills or [], exclude)
    record = _train(footage, state, config, run, minutes if minutes else math.inf)
    result = {
        "run": str(run),
        "step": state.step,
        "loss": record.loss if record else None,
        "weights": str(run / "student.safetensors"),
    }
    if json_output:
        typer.echo(json.dumps(result))
    else:
        typer.echo(f"{state.step} steps; weights in {result['weights']}")
        typer.echo(f"next: edge-vos eval {davis} --weights {result['weights']}")


def _load(davis: Path, stills: list[Path], exclude: str) -> Footage:
    from edge_vos.distill.data import Footage, load_stills, load_videos

    typer.echo("decoding the footage into memory", err=True)
    excluded = tuple(name for name in exclude.split(",") if name)
    known = {path.name for path in (davis / "JPEGImages" / "480p").glob("*")}
    unknown = sorted(set(excluded) - known)
    if known and unknown:
        raise DatasetError(f"--exclude names {', '.join(unknown)}", "sequences of the data set")
    photographs = [still for folder in stills for still in load_stills(folder)]
    return Footage(load_videos(davis, excluded), photographs)


def _train(
    footage: Footage, state: TrainState, config: TrainConfig, run: Path, minutes: float
) -> StepRecord | None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from edge_vos.distill.train import train

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("train", total=config.steps, completed=state.step, loss=0.0)
        smooth = 0.0

        def report(record: StepRecord) -> None:
            nonlocal smooth
            smooth = record.loss if not smooth else 0.98 * smooth + 0.02 * record.loss
            progress.update(task, completed=record.step, loss=smooth)

        return train(footage, state, config, run, report, minutes)
