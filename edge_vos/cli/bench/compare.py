"""``edge-vos compare``: set two benchmark reports side by side and find what became worse."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption

if TYPE_CHECKING:
    from edge_vos.devices.bench.compare import Comparison


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The report to go by.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The report to judge.")],
    tolerance: Annotated[
        float, typer.Option(metavar="PERCENT", help="How much worse a figure may be.")
    ] = 5.0,
    json_output: JsonOption = False,
) -> None:
    """Print each figure's ratio, B by A, with its 95 % interval; exit with 1 on a regression.

    A figure has become worse when its ratio is off by more than the tolerance and its interval
    does not hold 1; one whose interval is too wide to tell is undecided. Accuracy may lose 1
    point of 100 at a tolerance of 5 %, 2 at 10 %. A judged figure that B lacks, and masks that
    are off in B alone, are regressions.

    Example: edge-vos compare before.json after.json --tolerance 10
    """
    from edge_vos.devices.bench.compare import compare_reports, read_report
    from edge_vos.devices.report_json import to_json

    found = compare_reports(read_report(before), read_report(after), tolerance)
    for name, warnings in found.warnings.items():
        for warning in warnings:
            typer.echo(f"WARNING: {name}: {warning}", err=True)
    for path, (old, new) in found.differences.items():
        typer.echo(f"NOTE: {path} differs: {old} and {new}", err=True)
    for path in found.added:
        typer.echo(f"NOTE: {path} is not in A, so it is not judged.", err=True)
    if found.without_interval:
        typer.echo("WARNING: a report holds no samples, so intervals are not known.", err=True)
    if json_output:
        typer.echo(to_json(found), nl=False)
    else:
        _print(found)
    if found.regression:
        raise typer.Exit(1)


def _print(found: "Comparison") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="B by A")
    for name in ("figure", "ratio", "from", "to", ""):
        table.add_column(name, justify="left" if name in ("figure", "") else "right")
    for name, ratio in found.ratios.items():
        bounds = (
            ("", "") if name in found.without_samples else (f"{ratio.low:.3f}", f"{ratio.high:.3f}")
        )
        table.add_row(escape(name), f"{ratio.ratio:.3f}", *bounds, _verdict(found, name))
    for name in found.regressions:
        if name not in found.ratios:
            table.add_row(escape(name), "", "", "", _verdict(found, name))
    console = Console()
    console.print(table)
    limit = f"{found.tolerance_percent:g} % (accuracy: {found.tolerance_points:g} of 100 points)"
    if found.regression:
        worse = ", ".join(
            f"{name} (not in B)" if name in found.missing else name for name in found.regressions
        )
        console.print(
            f"[red]Regression[/] beyond {limit}: {worse}", highlight=False, soft_wrap=True
        )
    elif not found.undecided:
        console.print(f"No regression beyond {limit}.", highlight=False, soft_wrap=True)
    if found.undecided:
        console.print(
            f"[yellow]Undecided[/] at {limit}: {', '.join(found.undecided)}. "
            "Measure both again, and longer.",
            highlight=False,
            soft_wrap=True,
        )


def _verdict(found: "Comparison", name: str) -> str:
    if name in found.missing:
        return "[red]not in B[/]"
    if name == "accuracy.passed":
        return "[red]failed[/]"
    if name in found.regressions:
        return "[red]worse[/]"
    return "[yellow]undecided[/]" if name in found.undecided else ""
