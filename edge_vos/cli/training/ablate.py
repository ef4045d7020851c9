"""``edge-vos ablate``: train and score the rows of an ablation, and write their table."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.training.distill import label_once
from edge_vos.cli.training.options import (
    ConfigOption,
    DavisOption,
    StillsOption,
    TeacherOption,
    TorchThreadsOption,
)
from edge_vos.cli.training.run import (
    Material,
    changed,
    load_development,
    load_footage,
    require_training,
)
from edge_vos.errors import UsageError


def ablate(
    davis: DavisOption,
    development: Annotated[
        str, typer.Option(help="Sequences to score on, as A,B; training leaves them out.")
    ],
    stills: StillsOption = None,
    teacher: TeacherOption = None,
    footage: Annotated[
        Path | None, typer.Option(help="Footage that this teacher labelled; FOLDER/footage else.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Folder with a TOML file a row; the project's by default.")
    ] = None,
    only: Annotated[str, typer.Option(help="Names of rows to run, as A,B; all by default.")] = "",
    seeds: Annotated[
        str, typer.Option(help="Seeds, as A,B,C; a row takes as many as it wants.")
    ] = ("0,1,2"),
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of every run.")] = 400,
    folder: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/ablation"),
    threads: TorchThreadsOption = None,
    config: ConfigOption = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Markdown file.")] = Path(
        "ablation.md"
    ),
) -> None:
    """Train every row of an ablation for the same number of steps, score it, and write the table.

    A row is a TOML file that says how its runs differ from the run that ships. A stopped ablation
    goes on where it was.

    Example: edge-vos ablate --davis DAVIS --development bus,swing -o ablation.md
    """
    require_training()
    import torch

    from edge_vos.cli.training.distill import distill_defaults
    from edge_vos.distill import ablation
    from edge_vos.distill.run_folder import write_text
    from edge_vos.model.checkpoint import default_weights_path, load_student, weights_sha256

    if threads:
        torch.set_num_threads(threads)
    teacher_path = teacher or default_weights_path()
    taught_by = load_student(teacher_path)
    common = changed(distill_defaults("small", weights_sha256(teacher_path), None), config)
    wanted = ablation.read_rows(rows or ablation.ROWS, ablation.shortened(common, steps))
    names = [name for name in only.split(",") if name]
    if unknown := sorted(set(names) - {row.name for row in wanted}):
        raise UsageError(f"unknown row {unknown[0]!r}", ", ".join(row.name for row in wanted))
    numbers = [int(seed) for seed in seeds.split(",")]
    dataset = load_development(davis, development)
    if dataset is None:
        raise UsageError("--development is empty", "sequences to score, such as bus,swing")
    labelled_by_teacher = footage or folder / "footage"
    height = max(row.config.clips.decode_height for row in wanted)
    material = Material(davis, stills, None, development)
    label_once(labelled_by_teacher, teacher_path, material, [], "cpu", height)
    labelled = material.load(height)
    taught = load_footage(labelled_by_teacher, [labelled_by_teacher], "", height)
    outcomes = []
    for row in wanted:
        if names and row.name not in names:
            continue
        outcomes.append(
            ablation.run_row(
                row, numbers, folder, labelled, taught, taught_by, dataset,
                lambda text: typer.echo(text, err=True),
            )
        )  # fmt: skip
        command = shlex.join(["edge-vos", *sys.argv[1:]])
        write_text(output, f"{ablation.table(outcomes)}\n`{command}`\n")
    typer.echo(output.read_text(encoding="utf-8"))
