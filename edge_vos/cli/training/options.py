"""Options of ``train``, ``distill`` and ``ablate``, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

DavisOption = Annotated[Path, typer.Option(help="Folder in DAVIS 2016 layout.")]
TrainDavisOption = Annotated[Path | None, typer.Option(help="Folder in DAVIS 2016 layout.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.pack",
        help="What edge-vos train pack wrote, instead of the folders or beside them.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(min=0, help="Processes that make the clips; 0 is a thread. The same batches."),
]
ScoreEveryOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Score the development split every so many steps; by default at the checkpoints "
        "from where the learning rate falls.",
    ),
]
ScoreSizeOption = Annotated[
    str, typer.Option(metavar="HxW", help="Size of the image at which it is scored.")
]
ScoreWindowOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="Score three windows of so many frames of each sequence, which is cheap; 0 is all.",
    ),
]
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
FitOption = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Measure the first 40 steps and take as many as --minutes allow, so that the learning "
        "rate has come down when they are over.",
    ),
]
MinutesOption = Annotated[float | None, typer.Option(min=0, help="Stop after this time.")]
SeedOption = Annotated[int | None, typer.Option(help="Of the weights and of every batch.")]
TorchThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of torch.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|NAME",
        help="TOML file with fields of TrainConfig that differ, or a recipe: quality, accelerator, "
        "two-sizes, memory, full-memory or pyramid.",
    ),
]
