"""`edge-vos bench`: measure latency, FPS, memory and accuracy of a bundle on this machine."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import BoxOption, EngineOption, JsonOption, MaskOption
from edge_vos.cli.prompts import Prompts
from edge_vos.errors import DatasetError, EdgeVosError, UsageError

if TYPE_CHECKING:
    from edge_vos.cli.bench_matrix import MatrixRequest
    from edge_vos.devices.bench.live import LiveRequest
    from edge_vos.devices.bench.measure import BenchRequest
    from edge_vos.devices.bench.report import BenchReport, DatasetAccuracy
    from edge_vos.evaluate.sequences import Dataset

QUICK_S = 10.0
LONGEST_SETUP_S = 3600.0  # a board may build an engine for so long
LONGEST_STEP_S = 10.0
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def bench(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BUNDLE]...", help="Folder or zip; the shipped one by default."),
    ] = None,
    engine: EngineOption = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="The size that the bundle must have.")
    ] = None,
    objects: Annotated[
        str | None, typer.Option(metavar="N", help="Objects to follow, 1 to 10; 1 by default.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="N", help="Threads of the engine, not its own choice.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure for 10 seconds.")] = False,
    sustained: Annotated[
        str | None, typer.Option(metavar="10m", help="Measure for so long: 90s, 10m or 1h.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Measure exactly so many steps.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Measure from a camera, clip or synthetic:// to the screen, as `live` runs.",
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record meanwhile, to a file that is removed.")
    ] = False,
    mask: MaskOption = None,
    box: BoxOption = None,
    davis: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Then measure J and F on DAVIS 2016.")
    ] = None,
    sequences: Annotated[
        str | None,
        typer.Option(metavar="A,B|FILE", help="Only these of it; a file has one a line."),
    ] = None,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Measure every combination: --objects 1,10 --threads 1,2."),
    ] = False,
    json_output: JsonOption = False,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write the report: x.json, x.md or x.png; repeat."),
    ] = None,
) -> None:
    """Measure latency by stage, FPS at the wall clock, memory, and the masks' agreement.

    Takes 1,024 whole steps, or 60 seconds where that is less, after a warm-up of its own. A clip
    is drawn for it and stepped through as fast as can be. With --source the newest frame of a
    camera is taken, segmented and painted, and the time from capture to display and the frames
    dropped are told; a synthetic scene prompts itself, any other source wants a --box or --mask.

    Examples:

        edge-vos bench

        edge-vos bench --objects 10 --threads 2 --quick

        edge-vos bench student.bundle --sustained 10m -o report.json -o report.png

        edge-vos bench --source 0 --box 220,140,200,200 --record

        edge-vos bench --quick --davis DAVIS --sequences bus,swing

        edge-vos bench --matrix bundles/ --threads 1,2 --objects 1,10 --quick -o table.md
    """
    from edge_vos.devices.bench.report_file import refuse_report_paths

    length = _length(quick, sustained, frames)
    refuse_report_paths(output or ())
    live = _live(source, record, Prompts(() if mask is None else (str(mask),), tuple(box or ())))
    dataset = _dataset(davis, sequences)
    if matrix:
        from edge_vos.cli.bench_matrix import bench_matrix

        same = {"--engine": engine, "--source": source, "--mask": mask, "--davis": davis,
                "--sequences": sequences}  # fmt: skip
        options = [f"{name}={value}" for name, value in same.items() if value is not None]
        options += [*(f"--box={one}" for one in box or ()), *(["--record"] if record else ())]
        options += _length_options(length)
        bench_matrix(
            replace(
                _matrix(bundles, size, objects, threads, live, options, output or [], json_output),
                timeout_s=_timeout_s(length, dataset),
            )
        )
        return
    report = _measure(_request(bundles, engine, size, objects, threads, length, live))
    refused: list[EdgeVosError] = []  # told last: what was measured is not lost
    if dataset is not None:
        try:
            accuracy = _measure_dataset(dataset, _one_of(bundles), report)
            report = replace(report, dataset_accuracy=accuracy)
        except EdgeVosError as error:
            refused.append(error)
    for warning in report.warnings:
        typer.secho(f"WARNING: {warning}", fg=typer.colors.RED, bold=True, err=True)
    refused += _write(report, output or ())
    if json_output:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report)
    if refused:
        raise refused[0]


def parse_duration(text: str) -> float:
    """Read seconds out of a text such as ``90s``, ``10m`` or ``1h``.

    Raises:
        UsageError: if it is something else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"a duration of {text!r}", "such as 90s, 10m or 1h", "Mend --sustained")
    return float(found[1]) * _SECONDS[found[2]]


def _length(quick: bool, sustained: str | None, frames: int | None) -> dict[str, float]:
    """Return the option that says how long to measure; none is the usual."""
    given = {
        "--quick": QUICK_S if quick else None,
        "--sustained": None if sustained is None else parse_duration(sustained),
        "--frames": frames,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} together", "one of them", "Leave one out")
    return chosen


def _timeout_s(length: dict[str, float], dataset: "Dataset | None") -> float:
    """Return how long a setting of a matrix may take before it counts as hung."""
    from edge_vos.devices.bench.measure import BenchRequest

    seconds = BenchRequest.seconds or 0.0
    for option, value in length.items():
        seconds = value * LONGEST_STEP_S if option == "--frames" else value
    scored = 0 if dataset is None else sum(len(one) for one in dataset.sequences)
    return LONGEST_SETUP_S + 3 * seconds + scored * LONGEST_STEP_S


def _length_options(length: dict[str, float]) -> list[str]:
    return [
        f"--frames={value}" if name == "--frames" else f"--sustained={value}s"
        for name, value in length.items()
    ]


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}", "a number, with --matrix also 1,2") from None


def _one(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    numbers = _numbers(text, option)
    if len(numbers) > 1:
        raise UsageError(f"{option} {text} of one measurement", "one number", "Add --matrix")
    return numbers[0]


def _one_of(bundles: list[Path] | None) -> Path | None:
    if len(bundles or ()) > 1:
        raise UsageError("several bundles for one measurement", "one bundle", "Add --matrix")
    return bundles[0] if bundles else None


def _live(source: str | None, record: bool, prompts: Prompts) -> "LiveRequest | None":
    if source is None:
        if record or prompts:
            raise UsageError(
                f"{'--record' if record else '--box or --mask'} without a source",
                "the camera or clip that it is for",
                "Add --source URI",
            )
        return None
    from edge_vos.cli.session import prepare_process

    prepare_process()
    from edge_vos.devices.bench.live import LiveRequest

    return LiveRequest(source, record, prompts.give if prompts else None)


def _dataset(davis: Path | None, sequences: str | None) -> "Dataset | None":
    """Find the sequences before anything is measured, which takes a while."""
    if davis is None:
        if sequences is not None:
            raise UsageError("--sequences without --davis", "a data set", "Add --davis DIR")
        return None
    from edge_vos.cli.evaluate import parse_sequences
    from edge_vos.evaluate.run import read_dataset

    dataset = read_dataset(davis, "davis2016", parse_sequences(sequences))
    dataset.require_truth()
    return dataset


def _request(
    bundles: list[Path] | None,
    engine: str | None,
    size: str | None,
    objects: str | None,
    threads: str | None,
    length: dict[str, float],
    live: "LiveRequest | None",
) -> "BenchRequest":
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.bench.measure import BenchRequest

    steps, seconds = BenchRequest.steps, BenchRequest.seconds
    for option, value in length.items():
        steps, seconds = (int(value), None) if option == "--frames" else (None, value)
    return BenchRequest(
        bundle=_one_of(bundles),
        engine=engine,
        size=None if size is None else parse_size(size),
        objects=_one(objects, "--objects"),
        threads=_one(threads, "--threads"),
        steps=steps,
        seconds=seconds,
        live=live,
    )


def _matrix(
    bundles: list[Path] | None,
    size: str | None,
    objects: str | None,
    threads: str | None,
    live: "LiveRequest | None",
    options: list[str],
    output: list[Path],
    json_output: bool,
) -> "MatrixRequest":
    from edge_vos.bundle import shipped_bundle_path
    from edge_vos.cli.bench_matrix import MatrixRequest
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.bench.measure import BenchRequest

    by_source = objects is None and live is not None
    counts = [None] if by_source else _numbers(objects or "1", "--objects")
    for count in counts:
        BenchRequest(objects=count, live=live)  # refused before any of them is measured
    return MatrixRequest(
        bundles=bundles or [shipped_bundle_path()],
        sizes=[parse_size(part) for part in size.split(",")] if size else [],
        objects=counts,
        threads=[None] if threads is None else _numbers(threads, "--threads"),
        options=options,
        output=output,
        json_output=json_output,
    )


def _measure(request: "BenchRequest") -> "BenchReport":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from edge_vos.devices.bench.measure import bench as measure

    # Redrawn only when told to: a thread that draws would compete with what is measured.
    columns = (TextColumn("measuring"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as progress:
        task = progress.add_task("measuring", total=1.0)

        def show(done: float) -> None:
            progress.update(task, completed=done, refresh=True)

        return measure(request, show)


def _measure_dataset(
    dataset: "Dataset", bundle: Path | None, report: "BenchReport"
) -> "DatasetAccuracy":
    """Score the bundle of a report, with its engine and threads."""
    from edge_vos.cli.evaluate import measure_dataset
    from edge_vos.devices.bench.report import DatasetAccuracy
    from edge_vos.runtime.model import open_bundle

    model = open_bundle(bundle, report.engine, report.threads)
    try:
        found = measure_dataset(dataset, model, [])
    finally:
        model.runner.close()
    j, f, j_and_f = found.j_mean, found.f_mean, found.jf_mean
    if j is None or f is None or j_and_f is None:
        raise DatasetError(f"{dataset.root} gives no J and F", "masks of every sequence")
    return DatasetAccuracy(
        protocol=found.protocol,
        sequences=tuple(found.sequences),
        objects=found.objects,
        frames=found.frames,
        j=j,
        f=f,
        j_and_f=j_and_f,
    )


def _write(report: "BenchReport", paths: Sequence[Path]) -> list[EdgeVosError]:
    """Write a report to every path; return what went wrong, for it is yet to be printed."""
    from edge_vos.devices.bench.report_file import write_report

    refused: list[EdgeVosError] = []
    for path in paths:
        try:
            write_report(report, path)
        except EdgeVosError as error:
            refused.append(error)
    return refused


def _print(report: "BenchReport") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header, *rows = report.latency_rows()
    latency = Table(title="one whole step" if report.live is None else "from capture to display")
    for name in header:
        latency.add_column(name, justify="left" if name == "ms" else "right")
    for row in rows:
        latency.add_row(*map(escape, row))
    facts = Table(show_header=False, box=None)
    for name, value in report.facts().items():
        facts.add_row(f"[bold]{name}[/]", escape(value))
    console = Console()
    console.print(latency)
    console.print(facts)
