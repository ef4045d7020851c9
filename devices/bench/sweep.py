"""Set accuracy, latency and memory side by side, over sizes and the engines installed.

Each row is one setting of a matrix, measured in a process of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.devices.bench.matrix import MatrixCell, MatrixReport, Setting, notes_of
from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.tables import markdown_table
from edge_vos.engines import ENGINES, find_engine
from edge_vos.errors import BundleError

SIZE_NAMES = {(240, 432): "fast", (352, 640): "quality"}
"""The sizes that have a name."""


@dataclass(frozen=True)
class SweepRow:
    """Hold one bundle on one engine; where it failed, ``error`` says why and figures are None.

    Args:
        bundle: its path.
        engine: that ran it.
        precision: of the bundle.
        size: (height, width); None where the bundle cannot be read.
        size_name: ``fast``, ``quality`` or empty.
        objects: that were followed.
        threads: of the engine; None left it to the engine.
        j_and_f: J&F over the data set, in per cent; None where none was asked for.
        infer_p50_ms: of one call.
        step_p50_ms: of one whole step, frame in and mask out.
        fps: at the wall clock.
        peak_rss_bytes: of the process.
        net_rss_bytes: that, less what it held before it loaded engine and model.
        model_size_bytes: the engine's file.
        error: why it failed; None where it did not.
    """

    bundle: str
    engine: str
    precision: str
    size: tuple[int, int] | None
    size_name: str
    objects: int | None
    threads: int | None
    j_and_f: float | None = None
    infer_p50_ms: float | None = None
    step_p50_ms: float | None = None
    fps: float | None = None
    peak_rss_bytes: int | None = None
    net_rss_bytes: int | None = None
    model_size_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class SweepReport:
    """Hold accuracy, latency and memory over sizes and engines.

    Args:
        device: the machine; empty where every row failed.
        dataset: the protocol of ``j_and_f``; empty where none was asked for.
        sequences: of the data set.
        rows: in the order of measuring.
        notes: why a row failed or may mislead, each with the row's number, from 1.
    """

    device: str
    dataset: str
    sequences: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    notes: tuple[tuple[int, str], ...]


def shipped_bundles() -> list[Path]:
    """Return every bundle that ships with the package.

    Raises:
        BundleError: if this copy of the package has none.
    """
    return sorted(shipped_bundle_path().parent.glob("*.bundle"))


def add_engines(settings: Sequence[Setting]) -> list[Setting]:
    """Return each setting once for each installed engine that runs its bundle.

    Where none is installed the bundle's own is named, so that its row says what is missing.
    """
    found = []
    for setting in settings:
        try:
            made_for = read_bundle(setting.bundle).manifest.backend
        except BundleError:  # it has a row, which fails
            found.append(setting)
            continue
        able = (made_for, *find_engine(made_for).also_run_by)
        installed = [name for name in able if ENGINES[name].is_available]
        found += [replace(setting, engine=name) for name in installed or [made_for]]
    return found


def build_sweep(matrix: MatrixReport) -> SweepReport:
    """Return the sweep that a matrix of bundles and engines amounts to."""
    reports = [cell.report for cell in matrix.cells if cell.report]
    scored = next((one.dataset_accuracy for one in reports if one.dataset_accuracy), None)
    return SweepReport(
        device=reports[0].device.name if reports else "",
        dataset=scored.protocol if scored else "",
        sequences=scored.sequences if scored else (),
        rows=tuple(_row(cell) for cell in matrix.cells),
        notes=tuple(notes_of(matrix)),
    )


def table_rows(sweep: SweepReport) -> list[tuple[str, ...]]:
    """Return a header and a row for each bundle and engine; J&F only where it was asked for."""
    scored = bool(sweep.dataset)
    header = ("bundle", "size", "engine", "precision", *(("J&F",) if scored else ()),
              "call ms", "step ms", "FPS", "peak MB", "file MB")  # fmt: skip
    rows = [_cells(row, scored) for row in sweep.rows]
    return [header, *(row + ("",) * (len(header) - len(row)) for row in rows)]


def to_markdown(sweep: SweepReport) -> str:
    """Return the table in Markdown, and below it what was scored and what is doubtful."""
    text = markdown_table(table_rows(sweep), figures_from=4)
    notes = [f"- row {number}: {warning}\n" for number, warning in sweep.notes]
    if sweep.dataset:
        notes.insert(0, f"- J&F: {sweep.dataset}, {len(sweep.sequences)} sequences\n")
    return text + "\n" * bool(notes) + "".join(notes)


def _row(cell: MatrixCell) -> SweepRow:
    report: BenchReport | None = cell.report
    row = SweepRow(
        bundle=cell.bundle,
        engine=cell.engine or "",
        precision=report.precision if report else "",
        size=cell.size,
        size_name=SIZE_NAMES.get(cell.size, "") if cell.size else "",
        objects=report.objects if report else cell.objects,
        threads=cell.threads,
        error=cell.error,
    )
    if report is None:
        return row
    scored = report.dataset_accuracy
    return replace(
        row,
        j_and_f=scored.j_and_f if scored else None,
        infer_p50_ms=report.latency_ms["infer"]["p50"],
        step_p50_ms=report.latency_ms["end_to_end"]["p50"],
        fps=report.fps,
        peak_rss_bytes=report.memory.peak_rss_bytes,
        net_rss_bytes=report.memory.net_rss_bytes,
        model_size_bytes=report.model_size_bytes,
    )


def _cells(row: SweepRow, scored: bool) -> tuple[str, ...]:
    size = "x".join(map(str, row.size or ()))
    named = f"{size} ({row.size_name})" if row.size_name else size
    head = (Path(row.bundle).name, named, row.engine, row.precision)
    if row.error is not None:
        return (*head, "FAILED")
    figures = (
        *((row.j_and_f,) if scored else ()),
        row.infer_p50_ms,
        row.step_p50_ms,
        row.fps,
        (row.peak_rss_bytes or 0) / 1e6,
        (row.model_size_bytes or 0) / 1e6,
    )
    return (*head, *("" if figure is None else f"{figure:.1f}" for figure in figures))
