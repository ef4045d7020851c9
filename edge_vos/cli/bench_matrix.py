"""`edge-vos bench --matrix`: many settings, each in a process of its own, in one table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.errors import SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench.matrix import Outcome


@dataclass(frozen=True)
class MatrixRequest:
    """Say which settings to measure, every combination of them.

    Args:
        bundles: bundles, or folders that hold some.
        sizes: (height, width) of the bundles to take; none takes all.
        objects: to follow; None leaves it to the source.
        threads: of the engine; None is its own choice.
        options: further options of ``edge-vos bench``, the same for all.
        timeout_s: how long one setting may take; None waits for ever.
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
    timeout_s: float | None = None
    output: Sequence[Path] = ()
    json_output: bool = False

    def __post_init__(self) -> None:
        if any(path.suffix == ".png" for path in self.output):
            raise UsageError("a picture of a matrix", "x.json or x.md", "Rename -o")


def bench_matrix(request: MatrixRequest) -> None:
    """Measure, write and print; exit with 1 if a setting failed.

    The outputs are written anew after each setting, so an end by Ctrl-C loses none that is done.

    Raises:
        BundleError: if there is no such bundle, or all are broken.
        SinkError: if an output cannot be written; the table is printed before.
    """
    from edge_vos.devices.bench.matrix import (
        find_bundles,
        make_cells,
        measure_apart,
        run_matrix,
    )
    from edge_vos.devices.bench.report_file import refuse_report_path

    for path in request.output:
        refuse_report_path(path)
    cells = make_cells(
        find_bundles(request.bundles), request.sizes, request.objects, request.threads
    )
    done: list[Outcome] = []
    refused: list[SinkError] = []
    ours: set[Path] = set()

    def keep(outcomes: "Sequence[Outcome]") -> None:
        done[:] = outcomes
        refused[:] = _write(request.output, outcomes, ours)

    try:
        run_matrix(
            cells,
            lambda cell: measure_apart(cell, request.options, request.timeout_s),
            _show,
            keep,
        )
    except KeyboardInterrupt:
        if done:
            _tell(request, done)
        raise
    _tell(request, done)
    if refused:
        raise refused[0]
    if any(outcome.error for outcome in done):
        raise typer.Exit(1)


def _write(
    paths: Sequence[Path], outcomes: "Sequence[Outcome]", ours: set[Path]
) -> list[SinkError]:
    """Write what is done so far to every path; return what went wrong, for more is to come.

    Args:
        ours: the paths that were written before, which alone may be replaced; it grows.
    """
    from edge_vos.devices.bench.matrix import to_markdown
    from edge_vos.devices.bench.report_file import write_again, write_new

    refused = []
    for path in paths:
        text = to_markdown(outcomes) if path.suffix == ".md" else _document(outcomes)
        try:
            (write_again if path in ours else write_new)(path, text.encode())
            ours.add(path)
        except SinkError as error:
            refused.append(error)
    return refused


def _tell(request: MatrixRequest, outcomes: "Sequence[Outcome]") -> None:
    if request.json_output:
        typer.echo(_document(outcomes), nl=False)
    else:
        _print(outcomes)


def _document(outcomes: "Sequence[Outcome]") -> str:
    from edge_vos.devices.bench.matrix import to_document

    return json.dumps(to_document(outcomes), indent=2) + "\n"


def _show(done: int, total: int, left_s: float | None) -> None:
    if done < total:
        left = "" if left_s is None else f", {left_s / 60:.1f} min left"
        typer.echo(f"measuring {done + 1} of {total}{left}", err=True)


def _print(outcomes: "Sequence[Outcome]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edge_vos.devices.bench.matrix import table_rows

    header, *rows = table_rows(outcomes)
    table = Table(*header)
    for cells in rows:
        table.add_row(*map(escape, cells))
    Console().print(table)
    for number, outcome in enumerate(outcomes, start=1):
        for warning in (outcome.report or {}).get("warnings", ()):
            typer.secho(f"WARNING: row {number}: {warning}", fg=typer.colors.RED, err=True)
