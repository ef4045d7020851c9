"""Measure one bundle, show how far it has got, and print its report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.cli.bench.printing import print_facts, print_table, print_warnings, write_all
from edge_vos.errors import DatasetError, EdgeVosError

if TYPE_CHECKING:
    from edge_vos.devices.bench.measure import BenchRequest
    from edge_vos.devices.bench.report import BenchReport, DatasetAccuracy
    from edge_vos.evaluate.sequences import Dataset


def bench_one(
    request: "BenchRequest", dataset: "Dataset | None", output: Sequence[Path], json_output: bool
) -> None:
    """Measure, score, write and print; what was measured is not lost where the rest fails.

    Args:
        request: what to measure.
        dataset: to score the masks on afterwards; None is none.
        output: where to write the report.
        json_output: print one JSON document on stdout and nothing else.

    Raises:
        EdgeVosError: if it cannot be measured, scored or written; the last two after printing.
    """
    from edge_vos.devices.bench.report_file import write_report
    from edge_vos.devices.bench.report_text import facts, latency_rows

    report = _measure(request)
    refused: list[EdgeVosError] = []
    if dataset is not None:
        try:
            accuracy = _score(dataset, request.bundle, report)
            report = replace(report, dataset_accuracy=accuracy)
        except EdgeVosError as error:
            refused.append(error)
    print_warnings(report.warnings)
    refused += write_all(output, lambda path: write_report(report, path))
    if json_output:
        typer.echo(report.to_json(), nl=False)
    else:
        title = "one whole step" if report.live is None else "from capture to display"
        print_table(latency_rows(report), title)
        print_facts(facts(report))
    if refused:
        raise refused[0]


def _measure(request: "BenchRequest") -> "BenchReport":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from edge_vos.devices.bench.measure import bench

    # Redrawn only when told to: a thread that draws would compete with what is measured.
    columns = (TextColumn("measuring"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as progress:
        task = progress.add_task("measuring", total=1.0)

        def show(done: float) -> None:
            progress.update(task, completed=done, refresh=True)

        return bench(request, show)


def _score(dataset: "Dataset", bundle: Path | None, report: "BenchReport") -> "DatasetAccuracy":
    """Score the bundle of a report, with its engine and threads."""
    from edge_vos.cli.evaluate import measure_dataset
    from edge_vos.devices.bench.report import DatasetAccuracy
    from edge_vos.runtime.model import open_bundle

    model = open_bundle(bundle, report.engine, report.threads)
    try:
        found = measure_dataset(dataset, model, [])
    finally:
        model.close()
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
