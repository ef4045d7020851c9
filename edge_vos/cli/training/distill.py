"""``edge-vos distill``: let a student learn from a teacher, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import takes
from edge_vos.cli.training.options import PresetOption, RunOption, TeacherOption, TrainingOptions
from edge_vos.cli.training.run import (
    Material,
    load_footage,
    load_scoring,
    material_of,
    prepare,
    processes,
    require_training,
    run_training,
)
from edge_vos.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.config import TrainConfig
    from edge_vos.model.student import Student


@takes(TrainingOptions)
def distill(
    options: TrainingOptions,
    videos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with footage that nobody labelled; may be repeated."),
    ] = None,
    teacher: TeacherOption = None,
    footage: Annotated[
        Path | None,
        typer.Option(help="Footage that a teacher labelled, or is to label; RUN/footage else."),
    ] = None,
    from_weights: Annotated[
        Path | None,
        typer.Option("--from", help="Student to go on from; --videos alone takes the shipped one."),
    ] = None,
    run: RunOption = Path("runs/distilled"),
    preset: PresetOption = "small",
) -> None:
    """Distil a teacher into a student: it sees footage and what the teacher makes of it, no label.

    What has labels is labelled again by the teacher. With --videos alone the shipped student is
    adapted to your footage: objects are proposed by their motion and looks, followed by the
    teacher, and dropped where it is not sure of them.

    Examples: edge-vos distill --videos MY_CLIPS --minutes 30

    edge-vos distill --davis DAVIS --stills PHOTOS --videos CLIPS --teacher teacher.safetensors
    """
    require_training()
    given = options.davis or options.stills or options.data
    labelled = footage or run / "footage"
    if not (videos or given) and not labelled.is_dir():
        raise UsageError(
            "there is no footage to learn from",
            "--videos, --davis, --stills or --data, or --footage that a teacher labelled",
            "Run for example: edge-vos distill --videos MY_CLIPS",
        )
    adapts = bool(from_weights) or not (given or footage)

    from edge_vos.model.checkpoint import (
        default_weights_path,
        load_student,
        weights_sha256,
    )

    teacher_path = teacher or default_weights_path()
    taught_by = load_student(teacher_path)
    initial = load_student(from_weights or default_weights_path()) if adapts else None
    defaults = distill_defaults(preset, weights_sha256(teacher_path), initial)
    with processes() as device:
        state, trained = prepare(options, run, defaults, device, initial)
        if trained.teacher_sha256 != defaults.teacher_sha256:
            raise CheckpointError(
                f"{run} was begun with another teacher than {teacher_path}",
                f"the weights with sha256 {trained.teacher_sha256[:12]}…",
                "Give the same --teacher, or start another --run",
            )
        scoring = load_scoring(options)
        height = trained.clips.decode_height
        label_once(labelled, teacher_path, material_of(options), videos or [], device, height)
        material = load_footage(labelled, [labelled], "", height)
        run_training(options, run, material, state, trained, taught_by, scoring)


def distill_defaults(preset: str, teacher_sha256: str, initial: Student | None) -> TrainConfig:
    """Return a full run's config, or a short and careful one that goes on from a student."""
    from edge_vos.distill.config import TrainConfig, continued
    from edge_vos.distill.objectives import DistillConfig

    full = TrainConfig(preset=preset, distill=DistillConfig(), teacher_sha256=teacher_sha256)
    return full if initial is None else continued(full, initial.config)


def label_once(
    folder: Path,
    teacher_path: Path,
    material: Material,
    videos: list[Path],
    device: str,
    height: int,
) -> None:
    """Let the teacher label the footage, unless the folder stands already."""
    import itertools

    import torch.distributed as dist

    from edge_vos.distill.labelling.annotate import label_stills, label_videos, write_footage
    from edge_vos.distill.labelling.tracks import propose_tracks
    from edge_vos.model.checkpoint import load_student

    leads = not dist.is_initialized() or dist.get_rank() == 0
    if leads and not folder.is_dir():
        teacher = load_student(teacher_path).to(device)
        labelled = material.davis or material.stills or material.data
        known = material.load(height) if labelled else None

        def say(text: str) -> None:
            typer.echo(text, err=True)

        write_footage(
            folder,
            itertools.chain(
                *(propose_tracks(teacher, one, say) for one in videos),
                label_videos(teacher, known.videos if known else [], say),
            ),
            label_stills(teacher, known.stills if known else [], say),
        )
    if dist.is_initialized():
        dist.barrier()
