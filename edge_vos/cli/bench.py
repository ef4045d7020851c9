"""`edge-vos bench`: measure latency, FPS and memory of a bundle on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import EngineOption, JsonOption

if TYPE_CHECKING:
    from edge_vos.devices.bench import BenchRequest
    from edge_vos.devices.report import BenchReport

QUICK_S = 10.0


def bench(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle's folder or zip; the shipped one by default.")
    ] = None,
    engine: EngineOption = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="The size that the bundle must have.")
    ] = None,
    objects: Annotated[int, typer.Option(help="Objects to follow, 1 to 10.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the engine; its own choice by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure for 10 seconds.")] = False,
    frames: Annotated[int | None, typer.Option(help="Measure exactly so many steps.")] = None,
    json_output: JsonOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report: x.json or x.md.")
    ] = None,
) -> None:
    """Measure latency by stage, FPS at the wall clock, and memory.

    Takes 1,024 whole steps, or 60 seconds where that is less, after a warm-up of its own.

    Examples:

        edge-vos bench

        edge-vos bench --objects 10 --threads 2 --quick

        edge-vos bench student.bundle --json -o report.json
    """
    from edge_vos.devices.report import refuse_report_path, write_report

    request = _request(bundle, engine, size, objects, threads, quick, frames)
    if output is not None:
        refuse_report_path(output)
    report = _measure(request)
    for warning in report.warnings:
        typer.secho(f"WARNING: {warning}", fg=typer.colors.RED, bold=True, err=True)
    if output is not None:
        write_report(report, output)
    if json_output:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report)


def _request(
    bundle: Path | None,
    engine: str | None,
    size: str | None,
    objects: int,
    threads: int | None,
    quick: bool,
    frames: int | None,
) -> "BenchRequest":
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.bench import BenchRequest
    from edge_vos.errors import UsageError

    if quick and frames is not None:
        raise UsageError("--quick and --frames together", "one of them", "Leave one out")
    steps, seconds = BenchRequest.steps, BenchRequest.seconds
    if frames is not None:
        steps, seconds = frames, None
    elif quick:
        steps, seconds = None, QUICK_S
    return BenchRequest(
        bundle=bundle,
        engine=engine,
        size=None if size is None else parse_size(size),
        objects=objects,
        threads=threads,
        steps=steps,
        seconds=seconds,
    )


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
