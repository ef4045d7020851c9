"""`edge-vos bench --matrix`: many settings, each in a process of its own, in one table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.devices.matrix import Outcome


@dataclass(frozen=True)
class MatrixRequest:
    """Say which settings to measure, every combination of them.

    Args:
        bundles: bundles, or folders that hold some.
        sizes: (height, width) of the bundles to take; none takes all.
        objects: to follow; None leaves it to the source.
        threads: of the engine; None is its own choice.
        options: further options of ``edge-vos bench``, the same for all.
        output: where to write the table: .json or .md.
        json_output: print one JSON document on stdout and nothing else.

    Raises:
        UsageError: if a picture is asked for.
    """

    bundles: Sequence[Path]
    sizes: Sequence[tuple[int, int]]
    objects: Sequence[int | None]
    threads: Sequence[int | None]
    options: Sequence[str]
    output: Sequence[Path] = ()
    json_output: bool = False

    def __post_init__(self) -> None:
        if any(path.suffix == ".png" for path in self.output):
            raise UsageError("a picture of a matrix", "x.json or x.md", "Rename -o")


def bench_matrix(request: MatrixRequest) -> None:
    """Measure, write and print; exit with 1 if every setting failed.

    Raises:
        BundleError: if there is no such bundle.
        SinkError: if an output cannot be written.
    """
    from edge_vos.devices.matrix import (
        find_bundles,
        make_cells,
        measure_apart,
        run_matrix,
        to_document,
        to_markdown,
    )
    from edge_vos.devices.report_file import write_new

    cells = make_cells(
        find_bundles(request.bundles), request.sizes, request.objects, request.threads
    )
    outcomes = run_matrix(cells, lambda cell: measure_apart(cell, request.options), _show)
    document = json.dumps(to_document(outcomes), indent=2) + "\n"
    for path in request.output:
        text = to_markdown(outcomes) if path.suffix == ".md" else document
        write_new(path, text.encode())
    if request.json_output:
        typer.echo(document, nl=False)
    else:
        _print(outcomes)
    if all(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _show(done: int, total: int, left_s: float | None) -> None:
    if done < total:
        left = "" if left_s is None else f", {left_s / 60:.1f} min left"
        typer.echo(f"measuring {done + 1} of {total}{left}", err=True)


def _print(outcomes: "list[Outcome]") -> None:
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
