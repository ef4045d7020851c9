"""Measure many settings, each in a process of its own, and put them into one table.

The peak of resident memory is a process's, and an engine that crashes takes its process along: one
process a cell keeps the cells apart.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_vos.bundle import MANIFEST_FILE, read_bundle
from edge_vos.devices.bench.report import row
from edge_vos.errors import BundleError, EdgeVosError

_MAIN = "from edge_vos.cli import main; main()"
_COLUMNS = ("bundle", "engine", "precision", "size", "objects", "threads", "p50 ms", "p90 ms",
            "p99 ms", "FPS", "peak MB", "mask IoU")  # fmt: skip
_LIVE_COLUMNS = ("display p50 ms", "dropped")
_DATASET_COLUMNS = ("J&F",)
_REPORTED = {"engine", "precision", "objects", "latency_ms", "fps", "memory"}


@dataclass(frozen=True)
class Cell:
    """Name one setting.

    Args:
        bundle: its path.
        size: (height, width) that the bundle has; None for one that cannot be read, which fails.
        objects: to follow; None leaves it to the source.
        threads: of the engine; None is its own choice.
    """

    bundle: str
    size: tuple[int, int] | None
    objects: int | None
    threads: int | None


@dataclass(frozen=True)
class Outcome:
    """Hold what came of a cell: a report as ``edge-vos bench --json`` prints it, or an error."""

    cell: Cell
    report: dict[str, Any] | None
    error: str | None


Measure = Callable[[Cell], dict[str, Any]]
Progress = Callable[[int, int, float | None], None]
Keep = Callable[[Sequence[Outcome]], None]


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles among paths, and those inside of folders that are none themselves.

    Raises:
        BundleError: if there is none in one of them.
    """
    found: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir() and not (path / MANIFEST_FILE).is_file():
            inside = sorted(manifest.parent for manifest in path.glob(f"*/{MANIFEST_FILE}"))
            inside += sorted(path.glob("*.zip"))
        if not inside:
            raise BundleError(f"There is no bundle in {path}", "bundles", "edge-vos convert -o DIR")
        found += inside
    return found


def make_cells(
    bundles: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    objects: Sequence[int | None],
    threads: Sequence[int | None],
) -> list[Cell]:
    """Return every combination; of the bundles those that have one of the sizes.

    A bundle that is broken has one cell, without a size: it fails and leaves the others alone.

    Args:
        sizes: (height, width) each; none takes every bundle.

    Raises:
        BundleError: if every bundle is broken, or none has one of the sizes.
    """
    cells: list[Cell] = []
    there: set[str] = set()
    broken: BundleError | None = None
    for path in bundles:
        try:
            size = read_bundle(path).manifest.size
        except BundleError as error:
            broken = broken or error
            cells.append(Cell(str(path), None, None, None))
            continue
        there.add("x".join(map(str, size)))
        if not sizes or size in sizes:
            cells += [
                Cell(str(path), size, count, some)
                for some, count in itertools.product(threads, objects)
            ]
    if broken and not there:
        raise broken
    if all(cell.size is None for cell in cells):
        sized = ", ".join(sorted(there))
        raise BundleError("No bundle has one of these sizes", f"one of {sized}", "Mend --size")
    return cells


def run_matrix(
    cells: Sequence[Cell],
    measure: Measure,
    on_progress: Progress,
    keep: Keep = lambda _: None,
) -> list[Outcome]:
    """Measure every cell; one that fails leaves its error and the next one follows.

    Args:
        cells: in the order of measuring.
        measure: measures one.
        on_progress: called before each cell and at the end with how many are done, of how many,
            and the seconds that the rest will take, None before the first is done.
        keep: called after each cell with what came of all so far.
    """
    outcomes: list[Outcome] = []
    start = time.monotonic()
    for done, cell in enumerate(cells):
        left_s = (time.monotonic() - start) / done * (len(cells) - done) if done else None
        on_progress(done, len(cells), left_s)
        try:
            outcomes.append(Outcome(cell, measure(cell), None))
        except EdgeVosError as error:
            outcomes.append(Outcome(cell, None, str(error)))
        keep(outcomes)
    on_progress(len(cells), len(cells), 0.0)
    return outcomes


def measure_apart(
    cell: Cell, options: Sequence[str], timeout_s: float | None = None
) -> dict[str, Any]:
    """Measure a cell in a process of its own.

    Args:
        options: further options of ``edge-vos bench``.
        timeout_s: how long it may take before it is ended; None waits for ever.

    Raises:
        EdgeVosError: if the process fails, with its last line; or takes too long, or prints no
            report.
    """
    threads = [] if cell.threads is None else ["--threads", str(cell.threads)]
    objects = [] if cell.objects is None else ["--objects", str(cell.objects)]
    command = [
        sys.executable, "-c", _MAIN, "bench", cell.bundle, *objects, *threads, *options, "--json",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EdgeVosError(f"It was not done after {timeout_s:g} s and was ended") from None
    except OSError as error:
        raise EdgeVosError(f"Its process cannot be started: {error.strerror}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise EdgeVosError(f"{last.removeprefix('error: ')} (the process ended with {how})")
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise EdgeVosError(f"The process printed no report: {error}") from error
    if not (isinstance(report, dict) and report.keys() >= _REPORTED):
        raise EdgeVosError("The process printed JSON that is no report")
    return report


def table_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return a header and a row for each cell; a failed one has its error in place of figures.

    What only some benchmarks measure has a column where any of these did.
    """
    reports = [outcome.report or {} for outcome in outcomes]
    extra = {
        "live": _LIVE_COLUMNS if any(report.get("live") for report in reports) else (),
        "dataset_accuracy": _DATASET_COLUMNS
        if any(report.get("dataset_accuracy") for report in reports)
        else (),
    }
    header = (*_COLUMNS, *extra["live"], *extra["dataset_accuracy"])
    rows = [_row_of(outcome, extra) for outcome in outcomes]
    return [header, *(row + ("",) * (len(header) - len(row)) for row in rows)]


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table in Markdown, and below it what makes which figure untrustworthy."""
    header, *rows = table_rows(outcomes)
    lines = [row(header), row(("---",) * len(header)), *map(row, rows), ""]
    for number, outcome in enumerate(outcomes, start=1):
        lines += [f"- row {number}: {text}" for text in (outcome.report or {}).get("warnings", ())]
    return "\n".join(lines).rstrip() + "\n"


def to_document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the matrix as JSON can hold it; each report without its samples."""
    return {
        "cells": [
            {
                **asdict(outcome.cell),
                "error": outcome.error,
                "report": outcome.report
                and {name: value for name, value in outcome.report.items() if name != "samples_ms"},
            }
            for outcome in outcomes
        ]
    }


def _row_of(outcome: Outcome, extra: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    cell, report = outcome.cell, outcome.report
    size, threads = "x".join(map(str, cell.size or ())), str(cell.threads or "auto")
    name = Path(cell.bundle).name
    if report is None:
        objects = str(cell.objects or "")
        return (name, "", "", size, objects, threads, f"FAILED: {outcome.error}")
    latency: Mapping[str, Mapping[str, float]] = report["latency_ms"]
    accuracy, live, dataset = (
        report.get(part) for part in ("accuracy", "live", "dataset_accuracy")
    )
    figures = [
        *(f"{latency['end_to_end'][figure]:.2f}" for figure in ("p50", "p90", "p99")),
        f"{report['fps']:.1f}",
        f"{report['memory']['peak_rss_bytes'] / 1e6:.1f}",
        f"{accuracy['mask_iou']:.4f}" if accuracy else "",
    ]
    if extra["live"]:
        figures += [f"{latency['display']['p50']:.2f}", str(live["dropped"])] if live else ["", ""]
    if extra["dataset_accuracy"]:
        figures.append(f"{dataset['j_and_f']:.1f}" if dataset else "")
    objects = str(cell.objects or report["objects"])
    return (name, report["engine"], report["precision"], size, objects, threads, *figures)
