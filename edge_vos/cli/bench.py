"""`edge-vos bench`: measure latency, FPS and memory of a bundle on this machine."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import EngineOption, JsonOption
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench import BenchRequest
    from edge_vos.devices.matrix import Outcome
    from edge_vos.devices.report import BenchReport

QUICK_S = 10.0
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
    objects: Annotated[str, typer.Option(metavar="N", help="Objects to follow, 1 to 10.")] = "1",
    threads: Annotated[
        str | None, typer.Option(metavar="N", help="Threads of the engine, not its own choice.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure for 10 seconds.")] = False,
    sustained: Annotated[
        str | None, typer.Option(metavar="10m", help="Measure for so long: 90s, 10m or 1h.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Measure exactly so many steps.")] = None,
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

    Takes 1,024 whole steps, or 60 seconds where that is less, after a warm-up of its own.

    Examples:

        edge-vos bench

        edge-vos bench --objects 10 --threads 2 --quick

        edge-vos bench student.bundle --sustained 10m -o report.json -o report.png

        edge-vos bench --matrix bundles/ --threads 1,2 --objects 1,10 --quick -o table.md
    """
    from edge_vos.devices.report import refuse_report_path, write_report

    length = _length(quick, sustained, frames)
    for path in output or ():
        refuse_report_path(path)
    if matrix:
        options = _options(engine, length)
        _matrix(bundles, size, objects, threads, options, json_output, output or [])
        return
    report = _measure(_request(bundles, engine, size, objects, threads, length))
    for warning in report.warnings:
        typer.secho(f"WARNING: {warning}", fg=typer.colors.RED, bold=True, err=True)
    for path in output or ():
        write_report(report, path)
    if json_output:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report)


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


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}", "a number, with --matrix also 1,2") from None


def _one(text: str, option: str) -> int:
    numbers = _numbers(text, option)
    if len(numbers) > 1:
        raise UsageError(f"{option} {text} of one measurement", "one number", "Add --matrix")
    return numbers[0]


def _request(
    bundles: list[Path] | None,
    engine: str | None,
    size: str | None,
    objects: str,
    threads: str | None,
    length: dict[str, float],
) -> "BenchRequest":
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.bench import BenchRequest

    if len(bundles or ()) > 1:
        raise UsageError("several bundles for one measurement", "one bundle", "Add --matrix")
    steps, seconds = BenchRequest.steps, BenchRequest.seconds
    for option, value in length.items():
        steps, seconds = (int(value), None) if option == "--frames" else (None, value)
    return BenchRequest(
        bundle=bundles[0] if bundles else None,
        engine=engine,
        size=None if size is None else parse_size(size),
        objects=_one(objects, "--objects"),
        threads=None if threads is None else _one(threads, "--threads"),
        steps=steps,
        seconds=seconds,
    )


def _options(engine: str | None, length: dict[str, float]) -> list[str]:
    options = [] if engine is None else ["--engine", engine]
    for name, value in length.items():
        if name == "--frames":
            options += [name, str(value)]
        else:
            options += ["--sustained", f"{value}s"]
    return options


def _measure(request: "BenchRequest") -> "BenchReport":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from edge_vos.devices.bench import bench as measure

    # Redrawn only when told to: a thread that draws would compete with what is measured.
    columns = (TextColumn("measuring"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as progress:
        task = progress.add_task("measuring", total=1.0)

        def show(done: float) -> None:
            progress.update(task, completed=done, refresh=True)

        return measure(request, show)


def _matrix(
    bundles: list[Path] | None,
    size: str | None,
    objects: str,
    threads: str | None,
    options: list[str],
    json_output: bool,
    output: list[Path],
) -> None:
    from edge_vos.bundle import default_bundle_path
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.matrix import (
        find_bundles,
        make_cells,
        measure_apart,
        run_matrix,
        to_document,
        to_markdown,
    )
    from edge_vos.devices.report import write_new

    if any(path.suffix == ".png" for path in output):
        raise UsageError("a picture of a matrix", "x.json or x.md", "Rename -o")
    cells = make_cells(
        find_bundles(bundles or [default_bundle_path()]),
        [parse_size(part) for part in size.split(",")] if size else [],
        _numbers(objects, "--objects"),
        [None] if threads is None else _numbers(threads, "--threads"),
    )
    outcomes = run_matrix(cells, lambda cell: measure_apart(cell, options), _show)
    document = json.dumps(to_document(outcomes), indent=2) + "\n"
    for path in output:
        text = to_markdown(outcomes) if path.suffix == ".md" else document
        write_new(path, text.encode())
    if json_output:
        typer.echo(document, nl=False)
    else:
        _print_matrix(outcomes)
    if all(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _show(done: int, total: int, left_s: float | None) -> None:
    if done < total:
        left = "" if left_s is None else f", {left_s / 60:.1f} min left"
        typer.echo(f"measuring {done + 1} of {total}{left}", err=True)


def _print_matrix(outcomes: "list[Outcome]") -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_vos.devices.matrix import table_rows

    header, *rows = table_rows(outcomes)
    table = Table(*header)
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)
    for number, outcome in enumerate(outcomes, start=1):
        for warning in (outcome.report or {}).get("warnings", ()):
            typer.secho(f"WARNING: row {number}: {warning}", fg=typer.colors.RED, err=True)


def _print(report: "BenchReport") -> None:
    from rich.console import Console
    from rich.table import Table

    header, *rows = report.latency_rows()
    latency = Table(title="one whole step")
    for name in header:
        latency.add_column(name, justify="left" if name == "ms" else "right")
    for row in rows:
        latency.add_row(*row)
    facts = Table(show_header=False, box=None)
    for name, value in report.facts().items():
        facts.add_row(f"[bold]{name}[/]", value)
    console = Console()
    console.print(latency)
    console.print(facts)
