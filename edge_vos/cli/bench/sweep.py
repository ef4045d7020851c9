"""`edge-vos bench --sweep`: accuracy, latency and memory over sizes and installed engines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.cli.bench.matrix import measure_each, print_notes
from edge_vos.cli.bench.printing import print_table
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench.matrix import MatrixReport


@dataclass(frozen=True)
class SweepRequest:
    """Say what to sweep over.

    Args:
        bundles: bundles, or folders that hold some; none is those that ship.
        sizes: (height, width) of the bundles to take; none takes all.
        objects: to follow.
        threads: of the engine; None is its own choice.
        options: further options of ``edge-vos bench``, the same for all.
        scored: whether they ask for J and F.
        timeout_s: how long one row may take.
        output: where to write it: .json, .md, or the picture, .png.
        json_output: print one JSON document on stdout and nothing else.

    Raises:
        UsageError: if a picture is asked for and nothing is scored.
    """

    bundles: Sequence[Path]
    sizes: Sequence[tuple[int, int]]
    objects: int | None
    threads: int | None
    options: Sequence[str]
    scored: bool
    timeout_s: float
    output: Sequence[Path] = ()
    json_output: bool = False

    def __post_init__(self) -> None:
        if not self.scored and any(path.suffix == ".png" for path in self.output):
            raise UsageError("a picture of a sweep without accuracy", "J&F", "Add --davis DIR")


def bench_sweep(request: SweepRequest) -> None:
    """Measure each bundle on each engine that runs it here, write and print.

    Raises:
        BundleError: if there is no such bundle, or all are broken.
        SinkError: if an output cannot be written; the table is printed before.
    """
    from edge_vos.devices.bench.matrix import find_bundles, make_settings
    from edge_vos.devices.bench.pictures.sweep import draw_sweep
    from edge_vos.devices.bench.sweep import (
        add_engines,
        build_sweep,
        shipped_bundles,
        table_rows,
        to_markdown,
    )
    from edge_vos.devices.report_json import to_json

    bundles = find_bundles(request.bundles or shipped_bundles())
    settings = make_settings(bundles, request.sizes, [request.objects], [request.threads])

    def content(matrix: "MatrixReport", path: Path) -> bytes:
        sweep = build_sweep(matrix)
        if path.suffix == ".png":
            return draw_sweep(sweep)
        return (to_markdown(sweep) if path.suffix == ".md" else to_json(sweep)).encode()

    def tell(matrix: "MatrixReport") -> None:
        sweep = build_sweep(matrix)
        if request.json_output:
            typer.echo(to_json(sweep), nl=False)
            return
        print_table(table_rows(sweep), figures=4)
        print_notes(sweep.notes)

    measure_each(
        add_engines(settings), request.options, request.timeout_s, request.output, content, tell
    )
