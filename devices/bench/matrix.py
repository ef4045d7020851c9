"""Measure many settings, each in a process of its own, and put them into one table.

The peak of resident memory is a process's, and an engine that crashes takes its process along: one
process a setting keeps them apart.
"""

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.bundle import MANIFEST_FILE, read_bundle
from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.report_json import read_report_as
from edge_vos.devices.tables import markdown_table
from edge_vos.errors import BundleError, EdgeVosError

_COLUMNS = ("bundle", "engine", "precision", "size", "objects", "threads", "p50 ms", "p90 ms",
            "p99 ms", "FPS", "peak MB", "mask IoU")  # fmt: skip
_LIVE_COLUMNS = ("display p50 ms", "dropped")
_DATASET_COLUMNS = ("J&F",)


@dataclass(frozen=True)
class Setting:
    """Name one setting.

    Args:
        bundle: its path.
        size: (height, width) that the bundle has; None for one that cannot be read, which fails.
        objects: to follow; None leaves it to the source.
        threads: of the engine; None is its own choice.
        engine: None is the bundle's own.
    """

    bundle: str
    size: tuple[int, int] | None
    objects: int | None
    threads: int | None
    engine: str | None = None


@dataclass(frozen=True)
class MatrixCell(Setting):
    """Hold what came of a setting.

    Args:
        report: of the benchmark, without its samples; None where it failed.
        error: why it failed; None where it did not.
    """

    report: BenchReport | None = None
    error: str | None = None


@dataclass(frozen=True)
class MatrixReport:
    """Hold what came of many settings.

    Args:
        cells: one a setting, in the order of measuring.
    """

    cells: tuple[MatrixCell, ...]


Measure = Callable[[Setting], BenchReport]
Progress = Callable[[int, int, float | None], None]
Keep = Callable[[MatrixReport], None]


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


def make_settings(
    bundles: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    objects: Sequence[int | None],
    threads: Sequence[int | None],
) -> list[Setting]:
    """Return every combination; of the bundles those that have one of the sizes.

    A bundle that is broken has one setting, without a size: it fails and leaves the others alone.

    Args:
        sizes: (height, width) each; none takes every bundle.

    Raises:
        BundleError: if every bundle is broken, or none has one of the sizes.
    """
    settings: list[Setting] = []
    there: set[str] = set()
    broken: BundleError | None = None
    for path in bundles:
        try:
            size = read_bundle(path).manifest.size
        except BundleError as error:
            broken = broken or error
            settings.append(Setting(str(path), None, None, None))
            continue
        there.add("x".join(map(str, size)))
        if not sizes or size in sizes:
            settings += [
                Setting(str(path), size, count, some)
                for some, count in itertools.product(threads, objects)
            ]
    if broken and not there:
        raise broken
    if all(setting.size is None for setting in settings):
        sized = ", ".join(sorted(there))
        raise BundleError("No bundle has one of these sizes", f"one of {sized}", "Mend --size")
    return settings


def run_matrix(
    settings: Sequence[Setting],
    measure: Measure,
    on_progress: Progress,
    keep: Keep = lambda _: None,
) -> MatrixReport:
    """Measure every setting; one that fails leaves its error and the next one follows.

    Args:
        settings: in the order of measuring.
        measure: measures one.
        on_progress: called before each setting and at the end with how many are done, of how many,
            and the seconds that the rest will take, None before the first is done.
        keep: called after each setting with what came of all so far.
    """
    found = MatrixReport(())
    start = time.monotonic()
    for done, setting in enumerate(settings):
        left_s = (time.monotonic() - start) / done * (len(settings) - done) if done else None
        on_progress(done, len(settings), left_s)
        report, error = None, None
        try:
            report = replace(measure(setting), samples_ms={})
        except EdgeVosError as failure:
            error = str(failure)
        cell = MatrixCell(
            setting.bundle, setting.size, setting.objects, setting.threads, setting.engine,
            report, error,
        )  # fmt: skip
        found = MatrixReport((*found.cells, cell))
        keep(found)
    on_progress(len(settings), len(settings), 0.0)
    return found


def measure_apart(
    setting: Setting,
    edge_vos: Sequence[str],
    options: Sequence[str],
    timeout_s: float | None = None,
) -> BenchReport:
    """Measure a setting in a process of its own.

    Args:
        setting: what to measure.
        edge_vos: the command that runs edge-vos.
        options: further options of ``edge-vos bench``.
        timeout_s: how long it may take before it is ended; None waits for ever.

    Raises:
        EdgeVosError: if the process fails, with its last line; or takes too long, or prints no
            report.
    """
    given = {
        "--threads": setting.threads, "--objects": setting.objects, "--engine": setting.engine
    }  # fmt: skip
    chosen = [f"{name}={value}" for name, value in given.items() if value is not None]
    command = [*edge_vos, "bench", setting.bundle, *chosen, *options, "--json"]
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
        return read_report_as(BenchReport, json.loads(done.stdout))
    except ValueError as error:
        raise EdgeVosError(f"The process printed no report: {error}") from error


def table_rows(matrix: MatrixReport) -> list[tuple[str, ...]]:
    """Return a header and a row for each setting; a failed one has no figures.

    What only some benchmarks measure has a column where any of these did.
    """
    reports = [cell.report for cell in matrix.cells if cell.report]
    live = _LIVE_COLUMNS if any(report.live for report in reports) else ()
    dataset = _DATASET_COLUMNS if any(report.dataset_accuracy for report in reports) else ()
    header = (*_COLUMNS, *live, *dataset)
    rows = [_row(cell, bool(live), bool(dataset)) for cell in matrix.cells]
    return [header, *(row + ("",) * (len(header) - len(row)) for row in rows)]


def to_markdown(matrix: MatrixReport) -> str:
    """Return the table in Markdown, and below it what makes which figure untrustworthy."""
    notes = [f"- row {number}: {text}\n" for number, text in notes_of(matrix)]
    return markdown_table(table_rows(matrix)) + "\n" * bool(notes) + "".join(notes)


def notes_of(matrix: MatrixReport) -> list[tuple[int, str]]:
    """Return the number of a row, from 1, and why it failed or may mislead, for each such note."""
    return [
        (number, text)
        for number, cell in enumerate(matrix.cells, start=1)
        for text in (cell.report.warnings if cell.report else (f"FAILED: {cell.error}",))
    ]


def _row(cell: MatrixCell, live: bool, dataset: bool) -> tuple[str, ...]:
    report = cell.report
    size, threads = "x".join(map(str, cell.size or ())), str(cell.threads or "auto")
    name = Path(cell.bundle).name
    if report is None:
        objects = str(cell.objects or "")
        return (name, cell.engine or "", "", size, objects, threads, "FAILED")
    latency, scored = report.latency_ms, report.dataset_accuracy
    figures = [
        *(f"{latency['end_to_end'][figure]:.2f}" for figure in ("p50", "p90", "p99")),
        f"{report.fps:.1f}",
        f"{report.memory.peak_rss_bytes / 1e6:.1f}",
        f"{report.accuracy.mask_iou:.4f}" if report.accuracy else "",
    ]
    if live:
        shown = report.live
        figures += [f"{latency['display']['p50']:.2f}", str(shown.dropped)] if shown else ["", ""]
    if dataset:
        figures.append(f"{scored.j_and_f:.1f}" if scored else "")
    objects = str(cell.objects or report.objects)
    return (name, report.engine, report.precision, size, objects, threads, *figures)
