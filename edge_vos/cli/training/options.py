"""Options of ``train``, ``distill`` and ``ablate``, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import JsonOption

DavisOption = Annotated[Path, typer.Option(help="Folder in DAVIS 2016 layout.")]
TrainDavisOption = Annotated[Path | None, typer.Option(help="Folder in DAVIS 2016 layout.")]
StillsOption = Annotated[
    list[Path] | None,
    typer.Option(help="Folder with images/ and labels/ or masks/; may be repeated."),
]
TorchThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of torch.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|NAME",
        help="TOML file with fields of TrainConfig that differ, or a recipe: quality, accelerator, "
        "two-sizes, follow, neighbours, outlines, memory, full-memory or pyramid.",
    ),
]
TeacherOption = Annotated[
    Path | None,
    typer.Option(help="The teacher's weights; by default those of the shipped student."),
]
RunOption = Annotated[Path, typer.Option(help="Folder of the run.")]
PresetOption = Annotated[str, typer.Option(help="Shape of the student: small or nano.")]


@dataclass(frozen=True)
class MaterialOptions:
    """Say what to train on and for how long; ``None`` is the command's default."""

    davis: TrainDavisOption = None
    stills: StillsOption = None
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pack",
            help="What edge-vos train pack wrote, instead of the folders or beside them.",
        ),
    ] = None
    exclude: Annotated[
        str,
        typer.Option(
            help="Development split, as A,B: sequences of DAVIS to leave out and keep the best by."
        ),
    ] = ""
    resume: Annotated[bool, typer.Option(help="Go on where the run's checkpoint stands.")] = False
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps in all.")] = None
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time.")] = None
    seed: Annotated[int | None, typer.Option(help="Of the weights and of every batch.")] = None
    threads: TorchThreadsOption = None
    json_output: JsonOption = False


@dataclass(frozen=True)
class TrainingOptions(MaterialOptions):
    """Hold what was asked of a student's or a teacher's run beside that."""

    fit: Annotated[
        bool,
        typer.Option(
            "--fit",
            help="Measure the first 40 steps and take as many as --minutes allow, so that the "
            "learning rate has come down when they are over.",
        ),
    ] = False
    config: ConfigOption = None
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes that make the clips; 0 is a thread. The same batches."),
    ] = 0
    score_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Score the development split every so many steps; by default at the checkpoints "
            "from where the learning rate falls.",
        ),
    ] = None
    score_size: Annotated[
        str, typer.Option(metavar="HxW", help="Size of the image at which it is scored.")
    ] = "240x432"
    score_window: Annotated[
        int,
        typer.Option(
            min=0,
            help="Score three windows of so many frames of each sequence: cheap; 0 is all.",
        ),
    ] = 0
