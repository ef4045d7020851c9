from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.bench.live import LiveRequest
from edge_vos.devices.bench.measure import BenchRequest, bench
from edge_vos.errors import BundleError, EngineError, ShapeError, SourceError, UsageError
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.model import LoadedModel, open_bundle

STAGES = ["pre", "infer", "memory", "post", "end_to_end"]


def test_a_report_of_a_bundle(tiny_bundle: Bundle) -> None:
    request = BenchRequest(
        bundle=tiny_bundle.path, size=(64, 96), objects=4, threads=1, steps=5, seconds=None
    )
    report = bench(request)
    assert report.samples == 5
    assert list(report.latency_ms) == STAGES
    for figures in report.latency_ms.values():
        assert 0 <= figures["p50"] <= figures["p90"] <= figures["p99"] <= figures["max"]
    assert report.fps == pytest.approx(5 / report.duration_s)
    assert (report.engine, report.threads, report.size) == ("onnx", 1, (64, 96))
    assert (report.objects, report.frame_size) == (4, (480, 640))
    assert (report.live, report.dataset_accuracy) == (None, None)
    assert report.bundle_sha256 == tiny_bundle.sha256
    assert report.model_size_bytes == tiny_bundle.file("model.onnx").stat().st_size
    assert 0 <= report.memory.net_rss_bytes < report.memory.peak_rss_bytes
    assert report.load_ms > 0
    assert report.first_inference_ms > 0
    assert any("Only 5 steps" in warning for warning in report.warnings)


def test_a_report_of_a_source(tiny_bundle: Bundle) -> None:
    live = LiveRequest("synthetic://?size=64x96&objects=3&fps=200", record=True)
    report = bench(BenchRequest(bundle=tiny_bundle.path, steps=20, seconds=None, live=live))
    assert (report.samples, report.warmup, report.objects) == (20, 12, 3)
    assert report.frame_size == (64, 96)
    assert {"capture", "draw", "display", "end_to_end", "interval"} < set(report.latency_ms)
    assert report.live is not None
    assert (report.live.source, report.live.recording) == (live.source, True)


def test_another_way_to_open_a_bundle_is_taken(tiny_bundle: Bundle) -> None:
    calls: list[str] = []
    asked: list[tuple[Any, ...]] = []

    def open_model(path: Path, engine: str | None, threads: int | None) -> LoadedModel:
        asked.append((path, engine, threads))
        model = open_bundle(path, engine, threads)

        def counted(inputs: Any) -> Any:
            calls.append("run")
            return model.runner.run(inputs)

        return replace(model, runner=CallableRunner(counted))

    request = BenchRequest(bundle=tiny_bundle.path, threads=1, steps=3, seconds=None)
    report = bench(request, open_model=open_model)
    assert asked == [(tiny_bundle.path, None, 1)]
    assert len(calls) == report.warmup + 3 + 1  # the first frame takes two


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"size": (480, 864)}, ShapeError, "edge-vos convert --target cpu --size 480x864"),
        ({"objects": 5}, UsageError, "at most 4"),
        ({"engine": "abacus"}, EngineError, "abacus"),
        ({"threads": 0}, UsageError, "0 threads"),
        ({"bundle": "nowhere.bundle"}, BundleError, "nowhere.bundle"),
        ({"live": LiveRequest("nowhere.mp4")}, SourceError, r"nowhere\.mp4"),
    ],
)
def test_what_does_not_fit_is_refused(
    tiny_bundle: Bundle, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    request = BenchRequest(bundle=tiny_bundle.path, steps=1, seconds=None)
    with pytest.raises(error, match=says):
        bench(replace(request, **changes))


@pytest.mark.parametrize(
    "wrong",
    [{"objects": 0}, {"objects": 11}, {"steps": 0}, {"seconds": 0.0},
     {"steps": None, "seconds": None}, {"objects": 1, "live": LiveRequest("0")}],
)  # fmt: skip
def test_a_request_checks_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BenchRequest(**wrong)


@pytest.mark.parametrize("broken", [False, True])
def test_masks_are_compared_with_the_recording(
    golden_bundle: Callable[..., Bundle], broken: bool
) -> None:
    bundle = golden_bundle(broken=broken)
    report = bench(BenchRequest(bundle=bundle.path, threads=1, steps=2, seconds=None))
    assert report.accuracy is not None
    assert report.accuracy.frames == 3
    assert report.accuracy.passed is not broken
    assert (report.accuracy.mask_iou > 0.99) is not broken
    assert any("masks are off" in text for text in report.warnings) is broken
