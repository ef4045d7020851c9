import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_vos.devices.bench.compare import compare_reports, read_report
from edge_vos.errors import SourceError, UsageError

STEPS = 600


def report(seed: int, slower: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Make what a run would have left: a periodic step, as memory is written every five."""
    rng = np.random.default_rng(seed)
    step_ms = slower * (20 + rng.gamma(2, 0.3, STEPS) + 2 * (np.arange(STEPS) % 5 == 0))
    samples = {"infer": step_ms * 0.9, "end_to_end": step_ms}
    return {
        "fps": float(1e3 / step_ms.mean()),
        "latency_ms": {
            stage: {name: float(np.percentile(ms, q)) for name, q in (("p50", 50), ("p90", 90))}
            for stage, ms in samples.items()
        },
        "memory": {"peak_rss_bytes": 100_000_000, "net_rss_bytes": 40_000_000},
        "load_ms": 80.0 + seed,
        "samples_ms": {stage: ms.tolist() for stage, ms in samples.items()},
    } | changes


def test_two_runs_of_the_same_agree() -> None:
    found = compare_reports(report(0), report(1))
    assert not found.regression
    p50 = found.ratios["latency_ms.end_to_end.p50"]
    assert 0.95 < p50.low <= p50.ratio <= p50.high < 1.05
    assert p50.low < p50.high
    assert set(found.ratios) == {
        "fps", "latency_ms.infer.p50", "latency_ms.infer.p90", "latency_ms.end_to_end.p50",
        "latency_ms.end_to_end.p90", "memory.peak_rss_bytes", "memory.net_rss_bytes", "load_ms",
    }  # fmt: skip


def test_a_slowdown_of_15_percent_is_caught_and_a_gain_is_not() -> None:
    found = compare_reports(report(0), report(1, slower=1.15))
    assert set(found.regressions) == {
        "fps", "latency_ms.infer.p50", "latency_ms.end_to_end.p50", "latency_ms.end_to_end.p90",
    }  # fmt: skip
    assert found.ratios["latency_ms.end_to_end.p50"].low > 1.1
    assert not compare_reports(report(0), report(1, slower=1.15), 20.0).regression
    assert not compare_reports(report(1, slower=1.15), report(0)).regression


def test_a_difference_within_the_noise_is_no_regression() -> None:
    old, new = report(0), report(1)
    for document, level in ((old, 20.0), (new, 21.5)):
        noisy = level * np.exp(np.random.default_rng(int(level)).normal(0, 1, 30))
        document["samples_ms"]["infer"] = noisy.tolist()
        document["latency_ms"]["infer"] = {"p50": level}
    found = compare_reports(old, new, 0.0)
    assert found.ratios["latency_ms.infer.p50"].low < 1 < found.ratios["latency_ms.infer.p50"].ratio
    assert "latency_ms.infer.p50" not in found.regressions


def test_memory_and_accuracy_count_and_single_moments_do_not() -> None:
    worse = {
        "memory": {"peak_rss_bytes": 120_000_000, "net_rss_bytes": 90_000_000},
        "load_ms": 800.0,
        "accuracy": {"mask_iou": 0.9},
    }
    found = compare_reports(report(0, accuracy={"mask_iou": 0.999}), report(0, **worse))
    assert found.regressions == ("memory.peak_rss_bytes", "accuracy.mask_iou")


def test_j_and_f_count_and_more_is_better() -> None:
    good, bad = ({"j": j, "f": j + 2.0, "j_and_f": j + 1.0} for j in (70.0, 60.0))
    old, new = report(0, dataset_accuracy=good), report(0, dataset_accuracy=bad)
    assert compare_reports(old, new).regressions == ("dataset_accuracy.j_and_f",)
    assert not compare_reports(new, old).regression
    before = report(0)  # one that was written before there were such figures
    assert not compare_reports(before, new).regression
    assert "dataset_accuracy.j" not in compare_reports(before, new).ratios


def test_accuracy_may_lose_a_point_and_not_five_percent() -> None:
    def judged(iou: float, j_and_f: float, tolerance: float = 5.0) -> tuple[str, ...]:
        old = report(0, accuracy={"mask_iou": 0.99}, dataset_accuracy={"j_and_f": 75.0})
        new = report(0, accuracy={"mask_iou": iou}, dataset_accuracy={"j_and_f": j_and_f})
        return compare_reports(old, new, tolerance).regressions

    assert judged(0.98, 74.0) == ()
    assert judged(0.979, 73.9) == ("accuracy.mask_iou", "dataset_accuracy.j_and_f")
    assert judged(0.96, 71.3, 20.0) == ()
    assert judged(0.0, 0.0, 20.0) == ("accuracy.mask_iou", "dataset_accuracy.j_and_f")


def test_masks_that_are_no_longer_right_are_a_regression() -> None:
    passed = {"mask_iou": 0.99, "passed": True}
    failed = passed | {"passed": False}
    assert compare_reports(report(0, accuracy=passed), report(0, accuracy=failed)).regressions == (
        "accuracy.passed",
    )
    assert not compare_reports(report(0, accuracy=failed), report(0, accuracy=failed)).regression
    found = compare_reports(report(0, accuracy=passed), report(0, accuracy=None))
    assert found.regressions == found.missing == ("accuracy.mask_iou",)
    found = compare_reports(report(0, accuracy=None), report(0, accuracy=passed))
    assert (found.regressions, found.added) == ((), ("accuracy.mask_iou",))


@pytest.mark.parametrize("fps", [None, float("nan"), float("inf"), -1.0, "fast", 10**400])
def test_a_figure_that_is_missing_is_a_regression(fps: Any) -> None:
    found = compare_reports(report(0), report(0, fps=fps))
    assert found.regressions == found.missing == ("fps",)


def test_no_frames_at_all_is_the_worst_rate() -> None:
    found = compare_reports(report(0), report(0, fps=0))
    assert found.regressions == ("fps",)
    assert found.ratios["fps"].ratio == 0
    assert found.missing == ()


def test_what_varies_too_much_is_undecided() -> None:
    old, new = report(0), report(1)
    for document in (old, new):
        noisy = 20 * np.exp(np.random.default_rng(0).normal(0, 1, 30))
        document["samples_ms"]["infer"] = noisy.tolist()
        document["latency_ms"]["infer"] = {"p50": 20.0}
    found = compare_reports(old, new)
    assert found.undecided == ("latency_ms.infer.p50",)
    assert not found.regression
    assert compare_reports(report(0), report(1)).undecided == ()


def test_of_a_phone_the_mean_counts() -> None:
    def phone(mean_ms: float) -> dict[str, Any]:
        return {"latency_ms": {"infer": {"mean": mean_ms}}, "load_ms": None, "memory_mb": 41.5}

    found = compare_reports(phone(10.0), phone(12.0))
    assert found.regressions == ("latency_ms.infer.mean",)
    assert set(found.ratios) == set(found.without_samples) == {"latency_ms.infer.mean", "memory_mb"}
    assert not compare_reports(phone(10.0), phone(10.4)).regression


def test_of_a_source_what_is_shown_counts() -> None:
    """Steps overlap: the rate comes from how they follow, not from how long they take."""

    def live(seed: int, slower: float, uri: str) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        interval_ms = 33 + rng.normal(0, 0.5, STEPS)
        whole_ms = slower * (60 + rng.normal(0, 1, STEPS))
        samples = {"display": whole_ms - 2, "end_to_end": whole_ms, "interval": interval_ms}
        return report(
            seed,
            fps=float(1e3 / interval_ms.mean()),
            latency_ms={
                stage: {"p50": float(np.median(ms)), "p90": float(np.percentile(ms, 90))}
                for stage, ms in samples.items()
            },
            samples_ms={stage: ms.tolist() for stage, ms in samples.items()},
            live={"source": uri, "recording": False},
        )

    found = compare_reports(live(0, 1.0, "0"), live(1, 1.15, "1"))
    assert set(found.regressions) == {
        "latency_ms.display.p50", "latency_ms.display.p90", "latency_ms.end_to_end.p50",
        "latency_ms.end_to_end.p90",
    }  # fmt: skip
    fps = found.ratios["fps"]
    assert fps.ratio == pytest.approx(1.0, abs=0.01)
    assert 0.99 < fps.low < fps.high < 1.01
    assert found.differences == {"live.source": ("0", "1")}


def test_what_differs_is_named() -> None:
    old = report(0, device={"name": "a"}, size=[64, 96], objects=1)
    found = compare_reports(old, report(0, device={"name": "b"}, size=[64, 96], objects=2))
    assert found.differences == {"device.name": ("a", "b"), "objects": (1, 2)}


def test_without_samples_there_is_no_interval() -> None:
    found = compare_reports(report(0, samples_ms={}), report(1, slower=1.15))
    assert found.without_interval
    p50 = found.ratios["latency_ms.end_to_end.p50"]
    assert p50.low == p50.ratio == p50.high
    assert found.regression


def test_it_is_repeatable() -> None:
    assert compare_reports(report(0), report(1)) == compare_reports(report(0), report(1))


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_is_checked(tolerance: float) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        compare_reports(report(0), report(1), tolerance)


def test_reports_without_a_common_figure_are_refused() -> None:
    with pytest.raises(SourceError, match="share no figure"):
        compare_reports({"latency_ms": {}}, {"latency_ms": {}})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"latency_ms": 3}', '{"latency_ms": {"infer": 3}}',
     '{"latency_ms": {}, "samples_ms": {"infer": "12"}}',
     '{"latency_ms": {}, "samples_ms": {"infer": [1, -1]}}',
     '{"latency_ms": {}, "samples_ms": {"infer": [NaN]}}',
     '{"latency_ms": {}, "samples_ms": null}', "[" * 200_000,
     '{"latency_ms": {}, "schema_version": 99}', '{"latency_ms": {}, "schema_version": null}',
     '{"latency_ms": {}, "samples_ms": {"infer": [1' + "0" * 400 + "]}}"],
)  # fmt: skip
def test_what_is_no_report_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"odd\.json"):
        read_report(path)
    with pytest.raises(SourceError, match="cannot be read"):
        read_report(tmp_path / "missing.json")


def test_a_report_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(0)))
    assert read_report(path) == report(0)
