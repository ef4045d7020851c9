"""Compare two benchmark reports figure by figure, and find what became worse.

A figure's name is its path in the report. Latencies and FPS come with an interval from the
reports' own samples; what was taken once has none. Speed and sizes are judged by their ratio,
accuracy by how many points it lost, for 5 % of it would be far too much to lose unseen.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.ratio import Ratio, Statistic, series_spread
from edge_vos.devices.bench.report import SCHEMA_VERSION
from edge_vos.errors import SourceError, UsageError
from edge_vos.manifest_json import MAX_DEPTH, json_depth

SEED = 0
COMPARABLE_VERSIONS = (1, SCHEMA_VERSION)
DEFAULT_TOLERANCE_PERCENT = 5.0

POINTS_PER_PERCENT = 0.2
"""Points of accuracy that may be lost, by the percents that speed may lose: 1 point at 5 %."""

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_SINGLE_VALUES = ("memory.peak_rss_bytes", "memory.net_rss_bytes", "memory_mb", "model_size_bytes",
         "load_ms", "first_inference_ms", "accuracy.mask_iou", "dataset_accuracy.j",
         "dataset_accuracy.f", "dataset_accuracy.j_and_f")  # fmt: skip
_POINTS = {"accuracy.mask_iou": 100.0, "dataset_accuracy.j": 1.0, "dataset_accuracy.f": 1.0,
           "dataset_accuracy.j_and_f": 1.0}  # fmt: skip
HIGHER_IS_BETTER = {"fps", *_POINTS}
JUDGED = (
    "fps", "latency_ms.infer.p50", "latency_ms.infer.mean", "latency_ms.end_to_end.p50",
    "latency_ms.end_to_end.p90", "latency_ms.display.p50", "latency_ms.display.p90",
    "memory.peak_rss_bytes", "model_size_bytes", "accuracy.mask_iou", "dataset_accuracy.j_and_f",
)  # fmt: skip
"""Figures that make a regression. The rest hang on single moments, or are parts of these."""
PASSED = "accuracy.passed"
"""Is judged too: a bundle whose masks are off on this machine is worse than any slow one."""
_LONGEST_MS = 1e12
_LARGEST = 1e100
_TICK_MS = 1e-6
_SETTINGS = ("device.name", "size", "objects", "threads", "engine", "precision", "bundle_sha256",
             "live.source", "live.recording", "dataset_accuracy.protocol",
             "dataset_accuracy.sequences")  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Hold how a report compares with an earlier one.

    Args:
        ratios: the second report's figure by the first's, by the figure's path; what was taken
            once has an interval of no width.
        tolerance_percent: how much worse a figure may be.
        tolerance_points: how many points of accuracy, of 100, may be lost.
        regressions: what is worse by more, the missing figures among it.
        missing: judged figures that the first report holds and the second does not.
        added: those that only the second holds, so that nothing can be said of them.
        undecided: judged figures that vary too much to tell.
        without_samples: figures in ``ratios`` that have no samples, and so no interval.
        differences: settings in which the two differ, with both values.
        warnings: what the reports themselves warn of, by ``A`` and ``B``.
        without_interval: whether a report holds no samples, so that no interval is known.
        regression: whether anything that is judged became worse.
    """

    ratios: dict[str, Ratio]
    tolerance_percent: float
    tolerance_points: float
    regressions: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    undecided: tuple[str, ...]
    without_samples: tuple[str, ...]
    differences: dict[str, tuple[Any, Any]]
    warnings: dict[str, tuple[str, ...]]
    without_interval: bool
    regression: bool


def compare_reports(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    tolerance_percent: float = DEFAULT_TOLERANCE_PERCENT,
) -> Comparison:
    """Compare two reports as ``read_report`` returns them.

    A figure has become worse when its ratio is off by more than the tolerance, and its interval
    does not hold 1. Where its interval is wider than the tolerance on both
    sides, or holds 1 though the ratio is off by more, it is undecided. Accuracy has become worse
    when it lost more than ``POINTS_PER_PERCENT`` of the tolerance in points, or is no longer
    within the bundle's own limits. A judged figure that the second report lacks is a regression.

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
    found = list(_ratios(before, after))
    ratios = {name: ratio for name, ratio, _ in found}
    if not ratios:
        raise SourceError("The two reports share no figure", "two reports of edge-vos bench")
    tolerance = tolerance_percent / 100
    points = POINTS_PER_PERCENT * tolerance_percent
    judged = [name for name in JUDGED if name in ratios]
    worse = {
        name
        for name in judged
        if (
            _lost_points(before, after, name) > points
            if name in _POINTS
            else _is_worse(name, ratios[name], tolerance)
        )
    }
    held = [(name, _holds(before, name), _holds(after, name)) for name in JUDGED]
    missing = tuple(name for name, old, new in held if old and not new and name not in ratios)
    failed = _at(after, PASSED) is False and _at(before, PASSED) is not False
    pairs = {path: (_at(before, path), _at(after, path)) for path in _SETTINGS}
    regressions = (
        *(name for name in judged if name in worse),
        *missing,
        *([PASSED] if failed else ()),
    )
    return Comparison(
        ratios=ratios,
        tolerance_percent=tolerance_percent,
        tolerance_points=points,
        regressions=regressions,
        missing=missing,
        added=tuple(name for name, old, new in held if new and not old),
        undecided=tuple(
            name
            for name in judged
            if name not in worse
            and name not in _POINTS
            and _is_undecided(name, ratios[name], tolerance)
        ),
        without_samples=tuple(name for name, _, once in found if once),
        differences={path: pair for path, pair in pairs.items() if pair[0] != pair[1]},
        warnings={name: _warnings(report) for name, report in (("A", before), ("B", after))},
        without_interval=not (before.get("samples_ms") and after.get("samples_ms")),
        regression=bool(regressions),
    )


def read_report(path: Path) -> dict[str, Any]:
    """Read a report that ``edge-vos bench -o report.json`` wrote.

    Raises:
        SourceError: if it cannot be read, is no such report, or is one of another schema.
    """
    expected, next_step = "a report in JSON", "edge-vos bench -o report.json"
    try:
        text = path.read_bytes()
        # Some converters raise Python's recursion limit beyond what its JSON parser survives.
        if json_depth(text) > MAX_DEPTH:
            raise SourceError(f"{path} is nested too deep", expected, next_step)
        document: Any = json.loads(text.decode())
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
    version = document.get("schema_version", SCHEMA_VERSION)
    if version not in COMPARABLE_VERSIONS:
        raise SourceError(
            f"{path} is a report of schema version {version!r}",
            f"version {' or '.join(map(str, COMPARABLE_VERSIONS))}",
            "Measure again, or compare with the edge-vos that wrote it",
        )
    return dict(document)


def _ratios(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, Ratio, bool]]:
    """Yield the path of each figure that both hold, its ratio, and whether it was taken once."""
    both = all(report.get("samples_ms", {}).get("interval") for report in (before, after))
    yield from _one(before, after, "fps", "interval" if both else "end_to_end", _rate)
    for stage in before["latency_ms"]:
        for name, share in _QUANTILES.items():
            quantile = _quantile(share)
            yield from _one(before, after, f"latency_ms.{stage}.{name}", stage, quantile)
        yield from _one(before, after, f"latency_ms.{stage}.mean", stage, _mean)
    for path in _SINGLE_VALUES:
        yield from _one(before, after, path, "", _mean)


def _one(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, stage: str, figure: Statistic
) -> Iterator[tuple[str, Ratio, bool]]:
    """Yield a figure's ratio, if both reports hold it; one that fell to 0 may be worst of all."""
    old, new = _figure(_at(before, path)), _figure(_at(after, path))
    if not old or new is None or (new == 0 and path not in HIGHER_IS_BETTER):
        return
    ratio = min(new / old, _LARGEST)
    old_ms, new_ms = (report.get("samples_ms", {}).get(stage, ()) for report in (before, after))
    low = high = 1.0
    sampled = bool(old_ms and new_ms)
    if sampled:
        # A stage may take less than the clock's tick.
        low, high = series_spread(
            np.maximum(new_ms, _TICK_MS), np.maximum(old_ms, _TICK_MS), figure, SEED
        )
    yield path, Ratio(ratio, ratio * low, ratio * high), not sampled


def _is_worse(name: str, ratio: Ratio, tolerance: float) -> bool:
    if name in HIGHER_IS_BETTER:
        return ratio.ratio < 1 - tolerance and ratio.high < 1
    return ratio.ratio > 1 + tolerance and ratio.low > 1


def _is_undecided(name: str, ratio: Ratio, tolerance: float) -> bool:
    """Tell whether a figure that is not worse may yet be."""
    down, up = 1 - tolerance, 1 + tolerance
    off = ratio.ratio < down if name in HIGHER_IS_BETTER else ratio.ratio > up
    return off or ratio.low < down <= up < ratio.high


def _lost_points(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> float:
    lost = (_figure(_at(before, name)) or 0.0) - (_figure(_at(after, name)) or 0.0)
    return round(_POINTS[name] * lost, 9)  # 0.99 - 0.98 is not quite 0.01


def _holds(report: Mapping[str, Any], name: str) -> bool:
    return bool(_figure(_at(report, name)))


def _mean(series: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(series.mean(axis=1))


def _rate(series: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / series.mean(axis=1))


def _quantile(share: float) -> Statistic:
    return lambda series: np.asarray(np.quantile(series, share, axis=1))


def _warnings(report: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = report.get("warnings")
    return tuple(map(str, warnings)) if isinstance(warnings, list | tuple) else ()


def _at(report: Mapping[str, Any], path: str) -> Any:
    found: Any = report
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _figure(value: Any) -> float | None:
    """Return a finite number that is not negative; None for what is none."""
    if type(value) not in (int, float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None


def _is_series(samples: Any) -> bool:
    return isinstance(samples, list) and all(
        type(value) in (int, float) and 0 <= value < _LONGEST_MS for value in samples
    )
