"""``edge-vos train``: train a teacher or a student from videos with masks and from stills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption, takes
from edge_vos.cli.training.options import (
    PresetOption,
    RunOption,
    StillsOption,
    TrainDavisOption,
    TrainingOptions,
)
from edge_vos.cli.training.prompts import prompts
from edge_vos.cli.training.run import (
    load_scoring,
    material_of,
    names_in,
    prepare,
    processes,
    require_training,
    run_training,
)
from edge_vos.errors import DatasetError, SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.config import TrainConfig

app = typer.Typer(help="Train a teacher or a student from labels.", no_args_is_help=True)
app.command()(prompts)


@app.callback()
def _group() -> None:
    """Train from labels; every run can be stopped and resumed, and torchrun shares it out."""


@app.command()
@takes(TrainingOptions)
def teacher(
    options: TrainingOptions,
    from_weights: Annotated[
        Path | None, typer.Option("--from", help="Teacher to go on from.")
    ] = None,
    run: RunOption = Path("runs/teacher"),
) -> None:
    """Train the teacher that a student is distilled from: wider and deeper.

    Examples: edge-vos train teacher --davis DAVIS --stills PHOTOS --exclude bus,swing

    edge-vos train teacher --davis DAVIS --from teacher.safetensors --config memory --run RUN
    """
    require_training()
    from edge_vos.distill.config import TrainConfig

    _train(options, run, TrainConfig(preset="teacher", steps=3000), from_weights)


@app.command()
@takes(TrainingOptions)
def student(
    options: TrainingOptions,
    from_weights: Annotated[
        Path | None,
        typer.Option("--from", help="Student to fine-tune, instead of an ImageNet encoder."),
    ] = None,
    run: RunOption = Path("runs/student"),
    preset: PresetOption = "small",
) -> None:
    """Train a student with ground truth: the first frame is given, it feeds on its own masks.

    Ctrl-C or a kill loses what came after the last checkpoint and nothing else; --resume goes on
    there with the losses that the run would have had.

    Examples: edge-vos train student --davis DAVIS --stills PHOTOS --exclude bus,swing

    edge-vos train student --davis DAVIS --stills PHOTOS --run runs/student --resume

    edge-vos train student --davis DAVIS --from student.safetensors --steps 500 --run runs/tuned

    edge-vos train student --data train.pack --from student.safetensors --config accelerator
    --workers 16 --minutes 9 --fit
    """
    require_training()
    from edge_vos.distill.config import TrainConfig
    from edge_vos.distill.data.clip_config import ClipConfig

    full = TrainConfig(
        preset=preset,
        overrides={"offset_range": 1.0},
        clips=ClipConfig(hide_share=0.0, ring_dropout=0.0),
    )
    _train(options, run, full, from_weights)


@app.command()
def pack(
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    davis: TrainDavisOption = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with CLIP/images and CLIP/masks, or in DAVIS layout; repeat."),
    ] = None,
    stills: StillsOption = None,
    exclude: Annotated[str, typer.Option(help="Sequences to leave out, as A,B.")] = "",
    height: Annotated[
        int, typer.Option(min=16, help="Lines to which larger pictures are scaled down.")
    ] = 360,
    limit_mib: Annotated[float, typer.Option(min=0.001, help="Largest file, in MiB.")] = 45.0,
    json_output: JsonOption = False,
) -> None:
    """Pack training material into one file: a run elsewhere then needs no folder, no download.

    JPEG and PNG files go in as they are. To meet the limit, JPEGs are encoded anew and frames of
    videos left out; what was done is printed, and stands in the file.

    Example: edge-vos train pack -o train.pack --davis DAVIS --stills PHOTOS --exclude bus,swing
    """
    require_training()
    from edge_vos.distill.data.footage import find_videos, read_stills
    from edge_vos.distill.data.pack import write_pack

    out = names_in(exclude)
    found = [one for folder in [davis, *(videos or [])] if folder for one in find_videos(folder)]
    if unknown := sorted(set(out) - {one.name for one in found}):
        raise DatasetError(
            f"there is no sequence {unknown[0]!r} to leave out",
            ", ".join(sorted(one.name for one in found)),
        )

    def say(text: str) -> None:
        typer.echo(text, err=True)

    say("reading the photographs")
    photographs = [files for folder in stills or [] for _, files in read_stills(folder, height)]
    packed = write_pack(
        output,
        [one for one in found if one.name not in out],
        photographs,
        height,
        int(limit_mib * 2**20),
        say,
    )
    result = {
        "file": str(output),
        "size_bytes": output.stat().st_size,
        "videos": len(packed.videos),
        "frames": packed.pictures - len(packed.stills),
        "stills": len(packed.stills),
        "height": packed.height,
        "held_back": packed.held_back,
    }
    if json_output:
        typer.echo(json.dumps(result))
        return
    typer.echo(
        f"{output}: {output.stat().st_size / 2**20:.1f} MiB, {result['frames']} frames of "
        f"{result['videos']} videos, {result['stills']} photographs, at most {height} lines high"
    )
    typer.echo(f"held back: {', '.join(packed.held_back) or 'nothing'}")
    typer.echo(f"next: edge-vos train student --data {output} --from student.safetensors")


@app.command()
def average(
    first: Annotated[Path, typer.Argument(help="Weights, such as those that ship.")],
    second: Annotated[Path, typer.Argument(help="Weights that were trained on from them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New safetensors file.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the second.")] = 0.5,
) -> None:
    """Write the average of two students' weights, in half precision.

    A student between the two often keeps what the first knew and has what the second learned.

    Example: edge-vos train average before.safetensors after.safetensors -o mean.safetensors
    """
    require_training()
    import torch

    from edge_vos.model.checkpoint import average_students, load_student, save_student

    if output.exists():
        raise SinkError(f"{output} exists", "a new file", "Choose another -o")
    mean = average_students(load_student(first), load_student(second), share)
    save_student(mean, output, {"average": f"{1 - share:g} and {share:g}"}, torch.float16)
    typer.echo(f"weights in {output}")
    typer.echo(f"next: edge-vos eval DAVIS --weights {output}")


def _train(
    options: TrainingOptions, run: Path, full: TrainConfig, from_weights: Path | None
) -> None:
    """Train in full, or go on from weights with a shorter and more careful run."""
    from edge_vos.distill.config import continued
    from edge_vos.model.checkpoint import load_student

    if not (options.davis or options.stills or options.data):
        raise UsageError(
            "there is nothing to train on",
            "--davis, --stills or --data",
            "Run for example: edge-vos train student --davis DAVIS",
        )
    initial = load_student(from_weights) if from_weights else None
    defaults = full if initial is None else continued(full, initial.config)
    with processes() as device:
        state, config = prepare(options, run, defaults, device, initial)
        scoring = load_scoring(options)
        footage = material_of(options).load(config.clips.decode_height)
        run_training(options, run, footage, state, config, None, scoring)
