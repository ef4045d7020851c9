"""``edge-vos eval``: measure a student by the protocols of DAVIS and YouTube-VOS."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.cli.options import (
    EngineOption,
    JsonOption,
    ModelOption,
    SequencesOption,
    SizeOption,
    ThreadsOption,
)
from edge_vos.errors import MissingPackageError, ShapeError, UsageError

if TYPE_CHECKING:
    from edge_vos.evaluate.prompts import FirstMasks
    from edge_vos.evaluate.run import Observer, ScoredFrame
    from edge_vos.evaluate.scores import EvalReport
    from edge_vos.evaluate.sequences import Dataset
    from edge_vos.runtime.model import LoadedModel


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="The folder of DAVIS or YouTube-VOS, as it is unpacked.")
    ],
    protocol: Annotated[
        str, typer.Option(help="davis2016 (one object), davis2017 (several) or youtube-vos.")
    ] = "davis2016",
    split: Annotated[
        str | None, typer.Option(help="A list in ImageSets or a folder; validation if there.")
    ] = None,
    sequences: SequencesOption = None,
    model: ModelOption = None,
    weights: Annotated[
        Path | None, typer.Option(help="Safetensors file to run in PyTorch instead of a bundle.")
    ] = None,
    size: SizeOption = None,
    engine: EngineOption = None,
    threads: ThreadsOption = None,
    loop: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="Play each to and fro, partly hidden.")
    ] = None,
    restart: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="Give the masks anew so often: steadier.")
    ] = None,
    composite: Annotated[
        int | None, typer.Option(metavar="SEED", help="Let look-alikes pass; count swaps.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="box|click|clicks:N",
            help="Show the objects by a box or by clicks instead of by their true masks.",
        ),
    ] = None,
    learn_outlines: Annotated[
        bool | None,
        typer.Option(
            "--learn-outlines/--no-learn-outlines",
            help="Learn outlines from the masks, as segment does.",
            show_default="without --prompt and --restart",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MASKS", help="New folder for the masks, as PNGs."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="New folder for JSON, Markdown and the worst frames.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure region similarity J and boundary accuracy F with the official protocols.

    The first mask of each object is given; every later frame is segmented and scored at the
    annotation's size, the last one excepted. Figures are per cent, means over objects. Where a
    split has no masks to measure by, -o still writes the predicted ones.

    Examples:

        edge-vos eval DAVIS --protocol davis2017 --report report

        edge-vos eval DAVIS --sequences bus,swing --weights student.safetensors --json

        edge-vos eval YouTubeVOS --protocol youtube-vos --split valid -o masks

        edge-vos eval DAVIS --sequences bus --loop 600

        edge-vos eval DAVIS --restart 10

        edge-vos eval DAVIS --composite 0

        edge-vos eval DAVIS --prompt click

        edge-vos eval DAVIS --no-learn-outlines
    """
    from edge_vos.evaluate.composites import SwapMeter, composite_dataset
    from edge_vos.evaluate.pictures import WorstFrames, refuse_existing
    from edge_vos.evaluate.prompts import FirstMasks, parse_prompt
    from edge_vos.evaluate.report import rows, summary, write_report
    from edge_vos.evaluate.run import read_dataset
    from edge_vos.evaluate.stability import StabilityMeter, loop_dataset
    from edge_vos.evaluate.windows import window_dataset

    changes = {"--loop": loop, "--restart": restart, "--composite": composite}
    given = [name for name, value in changes.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} together", "one of them", "Leave one out")
    if learn_outlines and prompt is not None:
        raise UsageError(
            f"--learn-outlines and --prompt {prompt} together",
            "one of them: outlines are learnt from exact masks",
            "Leave one out",
        )
    if learn_outlines is None:
        learn_outlines = prompt is None and restart is None
    shown = None if prompt is None else FirstMasks(prompt, parse_prompt(prompt))
    found = read_dataset(dataset, protocol, parse_sequences(sequences), split)
    if loop is not None:
        found = loop_dataset(found, loop)
    if restart is not None:
        found = window_dataset(found, restart)
    if composite is not None:
        found = composite_dataset(found, composite)
    if output is None:
        found.require_truth()
    for path in (output, report):
        if path is not None:
            refuse_existing(path)
    worst, meter, swaps = WorstFrames(), StabilityMeter(), SwapMeter()
    loaded = _load(model, weights, size, engine, threads)
    try:
        measured = measure_dataset(
            found, loaded, [worst, meter, swaps], output, shown, learn_outlines=learn_outlines
        )
        if shown is not None and not given:
            shown.try_frames(found, loaded)
    finally:
        loaded.close()
    for told in measured.assumed:
        typer.echo(f"{told}.", err=True)
    title = _title(found, loaded, loop, restart, composite)
    title += ", outlines learnt" if learn_outlines else ""
    prompt_lines = [] if shown is None else shown.lines()
    facts = _facts(loaded)
    peak = f"peak memory {facts['memory']['peak_rss_bytes'] / 1e6:.0f} MB"
    lines = [*summary(measured), *meter.lines(), *swaps.lines(), *prompt_lines, peak]
    document = {
        **measured.as_dict(),
        **facts,
        "stability": meter.as_dict(),
        "swaps": swaps.as_dict(),
        "loop": loop,
        "restart": restart,
        "composite": composite,
        "learn_outlines": learn_outlines,
        "prompt": None if shown is None else shown.as_dict(),
        "masks": None if output is None else str(output),
        "report": None if report is None else str(report),
    }
    if report is not None:
        write_report(report, title, measured, lines, document, worst)
    if json_output:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(title, rows(measured), lines)


def parse_sequences(text: str | None) -> list[str] | None:
    """Read the names of sequences: ``A,B``, or a file that has one a line; None is all.

    Raises:
        UsageError: if there is none in it.
    """
    if text is None:
        return None
    from edge_vos.evaluate.sequences import sequence_names

    path = Path(text)
    names = sequence_names(
        path.read_text(encoding="utf-8") if path.is_file() else text.replace(",", "\n")
    )
    if not names:
        raise UsageError(f"--sequences {text!r}", "names of sequences, such as bus,swing")
    return names


def _load(
    model: Path | None,
    weights: Path | None,
    size: str | None,
    engine: str | None,
    threads: int | None,
) -> "LoadedModel":
    from edge_vos.bundle import SHIPPED_SIZES, shipped_bundle_path
    from edge_vos.converters.recipe import parse_size
    from edge_vos.runtime.model import open_bundle

    wanted = SHIPPED_SIZES.get(size or "quality") or parse_size(size or "")
    if weights is None:
        shipped = None if model is not None else shipped_bundle_path(size or "quality")
        loaded = open_bundle(model or shipped, engine, threads)
        if size is None:
            return loaded
        if wanted != loaded.manifest.size:
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
        raise MissingPackageError(
            f"--weights needs {error.name}",
            "the train extra",
            'Run: pip install "edge-vos[train]", or leave --weights out',
        ) from error
    if threads is not None:
        torch.set_num_threads(threads)
    student = load_student(weights)
    return eager_model(student, wanted)


def measure_dataset(
    dataset: "Dataset",
    model: "LoadedModel",
    observers: "list[Observer]",
    output: Path | None = None,
    shown: "FirstMasks | None" = None,
    *,
    learn_outlines: bool = False,
) -> "EvalReport":
    """Score a model on a data set, with a bar of progress on stderr.

    Args:
        dataset: what ``read_dataset`` found.
        model: is not closed.
        observers: called with every frame, in order.
        output: a new folder for the masks; None writes none.
        shown: shows objects by boxes or clicks; None gives their true masks.
        learn_outlines: learn outlines from these; not where ``shown`` is given.

    Raises:
        DatasetError: if a picture cannot be read, a first mask is empty or sizes disagree.
        SinkError: if the masks cannot be written.
    """
    from contextlib import ExitStack
    from functools import partial

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from edge_vos.evaluate.pictures import mask_folder
    from edge_vos.evaluate.run import score_trackers
    from edge_vos.runtime.segmenter import Segmenter

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with ExitStack() as stack:
        progress = stack.enter_context(
            Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
        )
        task = progress.add_task("eval", total=sum(map(len, dataset.sequences)))

        def advance(scored: "ScoredFrame") -> None:
            progress.update(task, advance=1, description=scored.sequence.name)

        observers = [advance, *observers]
        if output is not None:
            observers.append(stack.enter_context(mask_folder(output)))
        fresh = partial(Segmenter, learn_outlines=learn_outlines)
        start = partial(shown.start if shown else fresh, model)
        return score_trackers(dataset, start, channels=model.graph.channels, observers=observers)


def _title(
    dataset: "Dataset",
    model: "LoadedModel",
    loop: int | None,
    restart: int | None,
    composite: int | None,
) -> str:
    height, width = model.manifest.size
    played = "" if loop is None else f", {loop} frames to and fro"
    played += "" if restart is None else f", masks given every {restart} frames"
    played += "" if composite is None else f", with other objects passing (seed {composite})"
    return (
        f"{dataset.protocol}{played}: {model.manifest.name} at {height}x{width} on {model.engine}"
    )


def _facts(model: "LoadedModel") -> dict[str, Any]:
    from edge_vos.devices.telemetry.memory import peak_rss_bytes

    return {
        "model": model.manifest.name,
        "size": list(model.manifest.size),
        "engine": model.engine,
        "precision": model.manifest.precision,
        "memory": {"peak_rss_bytes": peak_rss_bytes()},
    }


def _print(title: str, rows: "list[tuple[str, ...]]", lines: list[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from edge_vos.evaluate.report import HEADINGS

    table = Table(title=title, box=box.SIMPLE)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "sequence" else "right")
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_section()
    table.add_row(*rows[-1], style="bold")
    console = Console(highlight=False)
    console.print(table)
    for line in lines:
        console.print(line)
