"""Compare two benchmark reports figure by figure, and find what became worse.

A figure's name is its path in the report. Latencies and FPS come with an interval from the
reports' own samples; what was taken once has none.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.ratio import Ratio, Statistic, series_spread
from edge_vos.errors import SourceError, UsageError

SEED = 0
DEFAULT_TOLERANCE_PERCENT = 5.0

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_ONCE = ("memory.peak_rss_bytes", "memory.net_rss_bytes", "model_size_bytes", "load_ms",
         "first_inference_ms", "accuracy.mask_iou", "dataset_accuracy.j", "dataset_accuracy.f",
         "dataset_accuracy.j_and_f")  # fmt: skip
HIGHER_IS_BETTER = {"fps", "accuracy.mask_iou", "dataset_accuracy.j", "dataset_accuracy.f",
                    "dataset_accuracy.j_and_f"}  # fmt: skip
JUDGED = {
    "fps", "latency_ms.infer.p50", "latency_ms.end_to_end.p50", "latency_ms.end_to_end.p90",
    "latency_ms.display.p50", "latency_ms.display.p90", "memory.peak_rss_bytes",
    "model_size_bytes", "accuracy.mask_iou", "dataset_accuracy.j_and_f",
}  # fmt: skip
"""Figures that make a regression. The rest hang on single moments, or are parts of these."""
_TICK_MS = 1e-6
_SETTINGS = ("device.name", "size", "objects", "threads", "engine", "precision", "bundle_sha256",
             "live.source", "live.recording", "dataset_accuracy.protocol",
             "dataset_accuracy.sequences")  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Hold how a report compares with an earlier one.

    Args:
        ratios: the second report's figure by the first's, by the figure's path.
        tolerance_percent: how much worse a figure may be.
        regressions: the figures that are worse by more.
        differences: settings in which the two differ, with both values.
        doubts: what the reports themselves warn of, by ``A`` and ``B``.
        without_interval: whether a report holds no samples, so that no interval is known.
    """

    ratios: dict[str, Ratio]
    tolerance_percent: float
    regressions: tuple[str, ...]
    differences: dict[str, tuple[Any, Any]]
    doubts: dict[str, tuple[str, ...]]
    without_interval: bool

    @property
    def regression(self) -> bool:
        """Return whether anything that is judged became worse."""
        return bool(self.regressions)


def compare_reports(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    tolerance_percent: float = DEFAULT_TOLERANCE_PERCENT,
) -> Comparison:
    """Compare two reports as ``read_report`` returns them.

    A figure has become worse when its ratio is off by more than the tolerance, and its interval
    leaves no doubt that it is off at all.

    Args:
        before: the report to measure against.
        after: the report to judge.
        tolerance_percent: at least 0.

    Raises:
        UsageError: if the tolerance is negative or no number.
        SourceError: if the two share no figure.
    """
    if not (math.isfinite(tolerance_percent) and tolerance_percent >= 0):
        raise UsageError(f"a tolerance of {tolerance_percent} %", "at least 0", "Mend --tolerance")
    ratios = dict(_ratios(before, after))
    if not ratios:
        raise SourceError("The two reports share no figure", "two reports of edge-vos bench")
    pairs = {path: (_at(before, path), _at(after, path)) for path in _SETTINGS}
    return Comparison(
        ratios=ratios,
        tolerance_percent=tolerance_percent,
        regressions=tuple(
            name
            for name, ratio in ratios.items()
            if name in JUDGED and _is_worse(name, ratio, tolerance_percent / 100)
        ),
        differences={path: pair for path, pair in pairs.items() if pair[0] != pair[1]},
        doubts={name: _doubts(report) for name, report in (("A", before), ("B", after))},
        without_interval=not (before.get("samples_ms") and after.get("samples_ms")),
    )


def read_report(path: Path) -> dict[str, Any]:
    """Read a report that ``edge-vos bench -o report.json`` wrote.

    Raises:
        SourceError: if it cannot be read, or is no such report.
    """
    expected, next_step = "a report in JSON", "edge-vos bench -o report.json"
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}", expected, next_step
        ) from error
    except ValueError as error:
        raise SourceError(f"{path} is no JSON: {error}", expected, next_step) from error
    latency = document.get("latency_ms") if isinstance(document, dict) else None
    samples = document.get("samples_ms", {}) if isinstance(document, dict) else None
    if not (isinstance(latency, dict) and all(isinstance(x, dict) for x in latency.values())):
        raise SourceError(f"{path} is no report: it holds no latency_ms", expected, next_step)
    if not (isinstance(samples, dict) and all(map(_is_series, samples.values()))):
        raise SourceError(f"{path}: samples_ms holds what are no samples", expected, next_step)
    return dict(document)


def _ratios(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Ratio]]:
    both = all(report.get("samples_ms", {}).get("interval") for report in (before, after))
    yield from _one(before, after, "fps", "interval" if both else "end_to_end", _rate)
    for stage in before["latency_ms"]:
        for name, share in _QUANTILES.items():
            quantile = _quantile(share)
            yield from _one(before, after, f"latency_ms.{stage}.{name}", stage, quantile)
    for path in _ONCE:
        yield from _one(before, after, path, "", _rate)


def _one(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, stage: str, figure: Statistic
) -> Iterator[tuple[str, Ratio]]:
    """Yield a figure's ratio, if both reports hold it."""
    old, new = _at(before, path), _at(after, path)
    if not (_is_positive(old) and _is_positive(new)):
        return
    ratio = float(new) / float(old)
    old_ms, new_ms = (report.get("samples_ms", {}).get(stage, ()) for report in (before, after))
    low = high = 1.0
    if old_ms and new_ms:
        # A stage may take less than the clock's tick.
        low, high = series_spread(
            np.maximum(new_ms, _TICK_MS), np.maximum(old_ms, _TICK_MS), figure, SEED
        )
    yield path, Ratio(ratio, ratio * low, ratio * high)


def _is_worse(name: str, ratio: Ratio, tolerance: float) -> bool:
    if name in HIGHER_IS_BETTER:
        return ratio.ratio < 1 - tolerance and ratio.high < 1
    return ratio.ratio > 1 + tolerance and ratio.low > 1


def _rate(series: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / series.mean(axis=1))


def _quantile(share: float) -> Statistic:
    return lambda series: np.asarray(np.quantile(series, share, axis=1))


def _doubts(report: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = report.get("warnings")
    return tuple(map(str, warnings)) if isinstance(warnings, list | tuple) else ()


def _at(report: Mapping[str, Any], path: str) -> Any:
    found: Any = report
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _is_series(samples: Any) -> bool:
    return isinstance(samples, list) and all(
        type(value) in (int, float) and 0 <= value < math.inf for value in samples
    )
