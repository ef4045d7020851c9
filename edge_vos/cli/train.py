"""``edge-vos train``: train a teacher or a student from videos with masks and from stills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption
from edge_vos.cli.training import (
    ConfigOption,
    DavisOption,
    ExcludeOption,
    MinutesOption,
    ResumeOption,
    RunOptions,
    SeedOption,
    StepsOption,
    StillsOption,
    TorchThreadsOption,
    load_development,
    load_footage,
    prepare,
    processes,
    require_training,
    run_training,
)

if TYPE_CHECKING:
    from edge_vos.distill.config import TrainConfig

app = typer.Typer(help="Train a teacher or a student from labels.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Train from labels; every run can be stopped and resumed, and torchrun shares it out."""


@app.command()
def teacher(
    davis: DavisOption,
    stills: StillsOption = None,
    exclude: ExcludeOption = "",
    from_weights: Annotated[
        Path | None, typer.Option("--from", help="Teacher to go on from.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/teacher"),
    resume: ResumeOption = False,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    seed: SeedOption = None,
    threads: TorchThreadsOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train the teacher that a student is distilled from: wider, deeper, with dense attention.

    Examples: edge-vos train teacher --davis DAVIS --stills PHOTOS --exclude bus,swing

    edge-vos train teacher --davis DAVIS --from teacher.safetensors --config memory --run RUN
    """
    require_training()
    from edge_vos.distill.config import TrainConfig

    options = RunOptions(run, resume, steps, minutes, seed, threads, config, json_output)
    _train(options, TrainConfig(preset="teacher", steps=3000), davis, stills, exclude, from_weights)


@app.command()
def student(
    davis: DavisOption,
    stills: StillsOption = None,
    exclude: ExcludeOption = "",
    from_weights: Annotated[
        Path | None,
        typer.Option("--from", help="Student to fine-tune, instead of an ImageNet encoder."),
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/student"),
    resume: ResumeOption = False,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    preset: Annotated[str, typer.Option(help="Shape of the student: small or nano.")] = "small",
    seed: SeedOption = None,
    threads: TorchThreadsOption = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train a student with ground truth: the first frame is given, it feeds on its own masks.

    Ctrl-C or a kill loses what came after the last checkpoint and nothing else; --resume goes on
    there with the losses that the run would have had.

    Examples: edge-vos train student --davis DAVIS --stills PHOTOS --exclude bus,swing

    edge-vos train student --davis DAVIS --stills PHOTOS --run runs/student --resume

    edge-vos train student --davis DAVIS --from student.safetensors --steps 500 --run runs/tuned
    """
    require_training()
    from edge_vos.distill.config import TrainConfig
    from edge_vos.distill.data import ClipConfig

    options = RunOptions(run, resume, steps, minutes, seed, threads, config, json_output)
    full = TrainConfig(
        preset=preset,
        overrides={"offset_range": 1.0},
        clips=ClipConfig(hide_share=0.0, ring_dropout=0.0),
    )
    _train(options, full, davis, stills, exclude, from_weights)


def _train(
    options: RunOptions,
    full: TrainConfig,
    davis: Path,
    stills: list[Path] | None,
    exclude: str,
    from_weights: Path | None,
) -> None:
    """Train in full, or go on from weights with a shorter and more careful run."""
    from edge_vos.distill.config import continued
    from edge_vos.model.checkpoint import load_student

    initial = load_student(from_weights) if from_weights else None
    defaults = full if initial is None else continued(full, initial.config)
    with processes() as device:
        state, config = prepare(options, defaults, device, initial)
        development = load_development(davis, exclude)
        footage = load_footage(davis, stills, exclude)
        run_training(options, footage, state, config, None, development, f"edge-vos eval {davis}")
