"""`edge-vos bench --matrix`: many settings, each in a process of its own, in one table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.cli.bench.printing import print_table, write_all
from edge_vos.cli.own_process import own_command
from edge_vos.errors import EdgeVosError, UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench.matrix import MatrixReport, Setting
    from edge_vos.devices.bench.report import BenchReport


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
            raise UsageError("a picture of a matrix", "x.json or x.md", "Rename -o, or use --sweep")


def bench_matrix(request: MatrixRequest) -> None:
    """Measure, write and print; exit with 1 if a setting failed.

    Raises:
        BundleError: if there is no such bundle, or all are broken.
        SinkError: if an output cannot be written; the table is printed before.
    """
    from edge_vos.devices.bench.matrix import find_bundles, make_settings, to_markdown
    from edge_vos.devices.report_json import to_json

    settings = make_settings(
        find_bundles(request.bundles), request.sizes, request.objects, request.threads
    )

    def content(matrix: "MatrixReport", path: Path) -> bytes:
        return (to_markdown(matrix) if path.suffix == ".md" else to_json(matrix)).encode()

    def tell(matrix: "MatrixReport") -> None:
        if request.json_output:
            typer.echo(to_json(matrix), nl=False)
        else:
            print_matrix(matrix)

    measure_each(settings, request.options, request.timeout_s, request.output, content, tell)


def measure_each(
    settings: "Sequence[Setting]",
    options: Sequence[str],
    timeout_s: float | None,
    output: Sequence[Path],
    content: "Callable[[MatrixReport, Path], bytes]",
    tell: "Callable[[MatrixReport], None]",
) -> None:
    """Measure each setting; write after each, so an end by Ctrl-C loses none that is done.

    Args:
        settings: what to measure.
        options: of ``edge-vos bench``, the same for all.
        timeout_s: how long one may take; None waits for ever.
        output: paths to write to; what was written before this process is never replaced.
        content: what to write to a path.
        tell: prints what came of it, once, at the end.

    Raises:
        SinkError: if an output cannot be written; it is told before.
        typer.Exit: with 1, if a setting failed.
    """
    from edge_vos.devices.bench.matrix import MatrixReport, measure_apart, run_matrix
    from edge_vos.devices.bench.report_file import write_again, write_new

    done = MatrixReport(())
    refused: list[EdgeVosError] = []
    ours: set[Path] = set()  # written before, which alone may be replaced

    def keep(matrix: MatrixReport) -> None:
        nonlocal done
        done = matrix

        def write(path: Path) -> None:
            (write_again if path in ours else write_new)(path, content(matrix, path))
            ours.add(path)

        refused[:] = write_all(output, write)

    def measure(setting: "Setting") -> "BenchReport":
        return measure_apart(setting, own_command(), options, timeout_s)

    try:
        run_matrix(settings, measure, _show, keep)
    except KeyboardInterrupt:
        if done.cells:
            tell(done)
        raise
    tell(done)
    if refused:
        raise refused[0]
    if any(cell.error for cell in done.cells):
        raise typer.Exit(1)


def print_matrix(matrix: "MatrixReport") -> None:
    """Print the table, and what is to say of its rows."""
    from edge_vos.devices.bench.matrix import notes_of, table_rows

    print_table(table_rows(matrix), figures=6)
    print_notes(notes_of(matrix))


def print_notes(notes: Sequence[tuple[int, str]]) -> None:
    """Print what is to say of a table's rows on stderr."""
    for number, note in notes:
        typer.secho(f"WARNING: row {number}: {note}", fg=typer.colors.RED, err=True)


def _show(done: int, total: int, left_s: float | None) -> None:
    if done < total:
        left = "" if left_s is None else f", {left_s / 60:.1f} min left"
        typer.echo(f"measuring {done + 1} of {total}{left}", err=True)
