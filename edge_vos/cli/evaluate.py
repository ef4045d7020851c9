"""``edge-vos eval``: measure a student by the DAVIS protocol."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.cli.options import EngineOption, JsonOption, ThreadsOption
from edge_vos.errors import EngineError, ShapeError, UsageError

if TYPE_CHECKING:
    from edge_vos.distill.davis import Dataset
    from edge_vos.distill.evaluate import EvalReport, Observer
    from edge_vos.runtime.model import LoadedModel


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="A DAVIS folder: JPEGImages/480p and Annotations/480p in it.")
    ],
    protocol: Annotated[
        str, typer.Option(help="davis2016 (one object) or davis2017 (several).")
    ] = "davis2016",
    sequences: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Only these; the validation list, or all, by default."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A bundle's folder or zip; the shipped one by default.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Safetensors file to run in PyTorch instead of a bundle.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Image size for --weights, 240x432 by default; a bundle has its own.",
        ),
    ] = None,
    engine: EngineOption = None,
    threads: ThreadsOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MASKS", help="New folder for the masks, as PNGs."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="New PNG of each sequence's worst frame.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure region similarity J and boundary accuracy F with the official DAVIS protocol.

    The first frame's mask is given; every later frame is segmented and scored at the
    annotation's size, the last one excepted. Figures are per cent, means over objects.

    Examples:

        edge-vos eval DAVIS --protocol davis2017 -o masks

        edge-vos eval DAVIS --sequences bus,swing --weights student.safetensors --json
    """
    from edge_vos.distill.davis import read_davis
    from edge_vos.distill.pictures import refuse_existing

    found = read_davis(dataset, protocol, None if sequences is None else _names(sequences))
    for path in (output, sheet):
        if path is not None:
            refuse_existing(path)
    loaded = _load(model, weights, size, engine, threads)
    try:
        report = _measure(found, loaded, output, sheet)
    finally:
        loaded.runner.close()
    if json_output:
        typer.echo(json.dumps({**report.as_dict(), **_facts(loaded, output, sheet)}, indent=2))
    else:
        _print(report, loaded)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--sequences {text!r}", "names of sequences, such as bus,swing")
    return list(dict.fromkeys(names))


def _load(
    model: Path | None,
    weights: Path | None,
    size: str | None,
    engine: str | None,
    threads: int | None,
) -> "LoadedModel":
    from edge_vos.converters.recipe import parse_size
    from edge_vos.runtime.model import open_bundle

    wanted = None if size is None else parse_size(size)
    if weights is None:
        loaded = open_bundle(model, engine, threads)
        if wanted not in (None, loaded.manifest.size):
            height, width = loaded.manifest.size
            raise ShapeError(
                f"the bundle {loaded.path} takes {height}x{width}, not {size}",
                f"--size {height}x{width}",
                f"Convert one: edge-vos convert --target cpu --size {size}",
            )
        return loaded
    if model is not None or engine is not None:
        given = "--model" if model is not None else "--engine"
        raise UsageError(f"--weights and {given} together", "one of them", "Leave one out")
    try:
        import torch

        from edge_vos.distill.eager import eager_model
        from edge_vos.model.checkpoint import load_student
    except ImportError as error:
        raise EngineError(
            f"--weights needs {error.name}",
            "the train extra",
            'Run: pip install "edge-vos[train]", or leave --weights out',
        ) from error
    if threads is not None:
        torch.set_num_threads(threads)
    student = load_student(weights)
    return eager_model(student) if wanted is None else eager_model(student, wanted)


def _measure(
    dataset: "Dataset", model: "LoadedModel", output: Path | None, sheet: Path | None
) -> "EvalReport":
    from contextlib import ExitStack

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from edge_vos.distill.evaluate import ScoredFrame, evaluate_dataset
    from edge_vos.distill.pictures import WorstFrames, mask_folder

    worst = WorstFrames()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with ExitStack() as stack:
        progress = stack.enter_context(
            Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
        )
        total = sum(len(sequence.frames) for sequence in dataset.sequences)
        task = progress.add_task("eval", total=total)

        def advance(scored: ScoredFrame) -> None:
            progress.update(task, advance=1, description=scored.sequence.name)

        observers: list[Observer] = [advance]
        if sheet is not None:
            observers.append(worst)
        if output is not None:
            observers.append(stack.enter_context(mask_folder(output)))
        report = evaluate_dataset(dataset, model, observers=observers)
        if sheet is not None:
            worst.write(sheet)
    return report


def _facts(model: "LoadedModel", output: Path | None, sheet: Path | None) -> dict[str, Any]:
    return {
        "model": model.manifest.name,
        "size": list(model.manifest.size),
        "engine": model.engine,
        "precision": model.manifest.precision,
        "masks": None if output is None else str(output),
        "sheet": None if sheet is None else str(sheet),
    }


def _print(report: "EvalReport", model: "LoadedModel") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    height, width = model.manifest.size
    table = Table(
        title=f"{report.protocol}: {model.manifest.name} at {height}x{width} on {model.engine}",
        box=box.SIMPLE,
    )
    for heading in ("sequence", "objects", "J", "F"):
        table.add_column(heading, justify="left" if heading == "sequence" else "right")
    for name, score in report.sequences.items():
        table.add_row(name, str(score.objects), f"{score.j:.1f}", _figure(score.f))
    table.add_section()
    total = (str(report.objects), f"{report.j_mean:.1f}", _figure(report.f_mean))
    table.add_row("mean over objects", *total, style="bold")
    table.add_row("recall", "", f"{report.j_recall:.1f}", _figure(report.f_recall))
    table.add_row("decay", "", f"{report.j_decay:.1f}", _figure(report.f_decay))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"J&F {_figure(report.jf_mean)}, {report.frames} frames at {report.fps:.1f} FPS")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
