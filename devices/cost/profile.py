"""Name the operators of a bundle that cost most, and what they reach of the machine's peak."""

from dataclasses import dataclass
from pathlib import Path

from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.devices.bench.warnings import sharing_warnings
from edge_vos.devices.cost.engine_profile import CALLS, profile_onnx
from edge_vos.devices.cost.operators import Cost, OperatorCost, sum_by_kind, sum_by_part
from edge_vos.devices.cost.roofline import faster, measure_peak
from edge_vos.devices.subject import Subject, subject_of
from edge_vos.devices.tables import markdown_table
from edge_vos.devices.telemetry.cpu import CpuWatch
from edge_vos.devices.telemetry.probe import DeviceInfo, probe_device
from edge_vos.errors import EngineError
from edge_vos.runtime.model import choose_engine

TOP = 10
"""How many operators are named."""
PEAK_S = 0.5


@dataclass(frozen=True)
class ProfileReport(Subject):
    """Hold what the engine's own profiler told of one call.

    Args:
        engine_version: as the engine says.
        device: the machine.
        calls: how many were profiled.
        call_ms: the operators of one call together; more than it takes without the profiler.
        macs: multiply-adds of one call, as counted from the operators.
        share_percent: what the whole call reaches of the machine's peak, 0-100.
        fp32_gmacs: the machine's peak, 10^9 multiply-adds a second of a product in float32.
        int8_gmacs: the same of integers; None where the engine has no such.
        operator_count: how many operators a call runs.
        operators: those that cost most, the most expensive first.
        parts: what each part of the student costs.
        kinds: what each kind of operator costs.
        warnings: what makes these figures untrustworthy.
    """

    engine_version: str
    device: DeviceInfo
    calls: int
    call_ms: float
    macs: int
    share_percent: float
    fp32_gmacs: float
    int8_gmacs: float | None
    operator_count: int
    operators: tuple[OperatorCost, ...]
    parts: tuple[Cost, ...]
    kinds: tuple[Cost, ...]
    warnings: tuple[str, ...]


def profile_bundle(
    path: Path | None, engine: str | None = None, threads: int | None = None, calls: int = CALLS
) -> ProfileReport:
    """Profile a bundle with its engine's own profiler.

    Args:
        path: a bundle's folder or zip; None is the one that ships.
        engine: None is the bundle's own.
        threads: of the engine; None is its own choice.
        calls: how many to profile; of each operator the median counts.

    Raises:
        BundleError: if the bundle is missing or broken.
        EngineError: if the engine is missing, has no profiler that can be used from here, or the
            package that reads its file is not installed.
    """
    bundle = read_bundle(path or shipped_bundle_path())
    manifest = bundle.manifest
    chosen, _ = choose_engine(manifest.backend, engine)
    name = chosen.name
    if name != "onnx":
        raise EngineError(
            f"The engine {name!r} has no profiler that Python reaches",
            "a bundle for ONNX Runtime",
            "edge-vos convert --target cpu -o DIR, then edge-vos bench DIR --profile",
        )
    watch = CpuWatch()
    before = measure_peak(threads, PEAK_S)
    if before is None:
        raise chosen.missing()
    profile = profile_onnx(bundle.model_path, threads, calls)
    # Others may slow either down: the faster of two is nearer to what the machine can do.
    peak = faster(before, measure_peak(threads, PEAK_S) or before)
    costs = profile.costs(peak)
    call_ms = sum(cost.time_ms for cost in costs)
    ideal_ms = sum(cost.time_ms * (cost.share_percent or 0.0) for cost in costs) / 100
    return ProfileReport(
        **vars(subject_of(bundle, name, threads)),
        engine_version=chosen.version,
        device=probe_device(),
        calls=calls,
        call_ms=call_ms,
        macs=sum(cost.macs for cost in costs),
        share_percent=100 * ideal_ms / call_ms if call_ms else 0.0,
        fp32_gmacs=peak.fp32_gmacs,
        int8_gmacs=peak.int8_gmacs,
        operator_count=len(costs),
        operators=tuple(sorted(costs, key=lambda cost: -cost.time_ms)[:TOP]),
        parts=sum_by_part(costs),
        kinds=sum_by_kind(costs),
        warnings=(*sharing_warnings(watch.other_percent()), *_beyond_peak(costs)),
    )


def _beyond_peak(costs: tuple[OperatorCost, ...]) -> list[str]:
    beyond = [cost.name for cost in costs if (cost.share_percent or 0.0) > 100.0]
    if not beyond:
        return []
    return [
        f"{len(beyond)} operators are faster than the peak that was measured, {beyond[0]} among "
        "them: something slowed the peak down. Measure again when the machine is idle."
    ]


def operator_rows(report: ProfileReport) -> list[tuple[str, ...]]:
    """Return a header and a row for each of the most expensive operators."""
    header = ("operator", "type", "part", "ms", "% of call", "MMAC", "GMAC/s", "% of peak")
    return [
        header,
        *(
            (cost.name, cost.operator, cost.part or "not told", *_figures(cost))
            for cost in report.operators
        ),
    ]


def group_rows(name: str, costs: tuple[Cost, ...]) -> list[tuple[str, ...]]:
    """Return a header and a row for each group of operators.

    Args:
        name: of the first column.
        costs: one a group.
    """
    header = (name, "ms", "% of call", "MMAC", "GMAC/s", "% of peak")
    return [header, *((cost.name, *_figures(cost)) for cost in costs)]


def summary(report: ProfileReport) -> dict[str, str]:
    """Return what holds of the whole call, ready to print, by its name."""
    int8 = "" if report.int8_gmacs is None else f", int8 {report.int8_gmacs:.0f}"
    return {
        "whole call": f"{report.call_ms:.2f} ms under the profiler, {report.operator_count} "
        f"operators, {report.macs / 1e6:,.0f} MMAC, {report.share_percent:.0f} % of the peak",
        "machine's peak": f"GMAC/s: fp32 {report.fp32_gmacs:.0f}{int8}",
        "bundle": report.bundle_text,
        "engine": f"{report.engine} {report.engine_version}, {report.threads_text}, "
        f"median of {report.calls} calls",
        "device": f"{report.device.name}, {report.device.cores} cores",
    }


def to_markdown(report: ProfileReport) -> str:
    """Return the report as Markdown tables, warnings above them."""
    tables = (
        markdown_table(operator_rows(report), figures_from=3),
        markdown_table(group_rows("part", report.parts), figures_from=1),
        markdown_table(group_rows("kind", report.kinds), figures_from=1),
        markdown_table([("", ""), *summary(report).items()]),
    )
    warnings = [f"> **Warning:** {warning}\n" for warning in report.warnings]
    return "\n".join([*warnings, *tables])


def _figures(cost: Cost) -> tuple[str, ...]:
    share = "" if cost.share_percent is None else f"{cost.share_percent:.0f}"
    work = (f"{cost.macs / 1e6:.1f}", f"{cost.gmacs:.1f}") if cost.macs else ("", "")
    return (f"{cost.time_ms:.3f}", f"{cost.time_percent:.1f}", *work, share)
