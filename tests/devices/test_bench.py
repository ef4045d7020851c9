from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.bench import (
    BenchRequest,
    Clip,
    bench,
    doubts,
    draw_clip,
    find_drift,
    measure,
)
from edge_vos.devices.conditions import Conditions, Vitals
from edge_vos.errors import BundleError, EngineError, ShapeError, UsageError
from edge_vos.runtime.model import LoadedModel

STAGES = ["pre", "infer", "memory", "post", "end_to_end"]
Scene = Callable[..., tuple[Any, Any]]


@pytest.fixture
def clip(scene: Scene) -> Clip:
    drawn = [scene((10 + 4 * step, 10), (100, 70)) for step in range(4)]
    return Clip(tuple(frame for frame, _ in drawn), drawn[0][1])


@pytest.mark.parametrize("objects", [1, 10])
def test_a_clip_shows_every_object_in_its_first_frame(objects: int) -> None:
    drawn = draw_clip((96, 160), objects)
    assert {frame.shape for frame in drawn.frames} == {(96, 160, 3)}
    assert set(np.unique(drawn.mask)) == set(range(objects + 1))


def test_a_clip_is_played_to_and_fro() -> None:
    frames = tuple(np.full((1, 1, 3), value, np.uint8) for value in range(4))
    played = islice(Clip(frames, frames[0][..., 0]).endless(), 9)
    assert [int(frame.max()) for frame in played] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_so_many_steps_are_measured_as_were_asked_for(tiny_model: LoadedModel, clip: Clip) -> None:
    shares: list[float] = []
    request = BenchRequest(objects=2, steps=25, seconds=None)
    measured = measure(tiny_model, clip, request, shares.append)
    assert measured.samples == 25
    assert {stage: len(samples) for stage, samples in measured.samples_ms.items()} == dict.fromkeys(
        STAGES, 25
    )
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    # The engine's first call and the warm-up, in which memory fills, are no samples.
    assert measured.warmup == tiny_model.manifest.memory.mem_every * tiny_model.manifest.slots


def test_a_measurement_ends_in_time(tiny_model: LoadedModel, clip: Clip) -> None:
    measured = measure(tiny_model, clip, BenchRequest(steps=None, seconds=0.05), lambda _: None)
    assert measured.samples >= 1
    assert measured.duration_s >= 0.05


def test_stages_are_parts_of_the_whole_step(tiny_model: LoadedModel, clip: Clip) -> None:
    request = BenchRequest(steps=10, seconds=None)
    samples = measure(tiny_model, clip, request, lambda _: None).samples_ms
    for whole, *parts in zip(samples["end_to_end"], *(samples[s] for s in STAGES[:4]), strict=True):
        assert whole >= sum(parts) > 0


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
    assert report.bundle_sha256 == tiny_bundle.sha256
    assert report.model_size_bytes == tiny_bundle.file("model.onnx").stat().st_size
    assert 0 <= report.memory.net_rss_bytes < report.memory.peak_rss_bytes
    assert report.load_ms > 0
    assert report.first_inference_ms > 0
    assert any("Only 5 steps" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"size": (480, 864)}, ShapeError, "edge-vos convert --target cpu --size 480x864"),
        ({"objects": 5}, UsageError, "at most 4"),
        ({"engine": "abacus"}, EngineError, "abacus"),
        ({"threads": 0}, UsageError, "0 threads"),
        ({"bundle": "nowhere.bundle"}, BundleError, "nowhere.bundle"),
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
     {"steps": None, "seconds": None}],
)  # fmt: skip
def test_a_request_checks_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BenchRequest(**wrong)


def test_doubts_are_loud(load_tiny: Callable[..., LoadedModel], clip: Clip) -> None:
    model = load_tiny()
    short = measure(model, clip, BenchRequest(steps=3, seconds=None), lambda _: None)
    quiet = Conditions(("performance",), False, 3)
    short = replace(short, before=quiet, after=quiet, vitals=())
    long = replace(short, samples_ms=dict.fromkeys(STAGES, [1.0] * 1024), foreign_cpu_percent=1.0)
    assert doubts(long, model) == ()
    (few,) = doubts(replace(short, foreign_cpu_percent=1.0), model)
    assert "Only 3 steps" in few
    (busy,) = doubts(replace(long, foreign_cpu_percent=51.0), model)
    assert "51 %" in busy
    (unknown,) = doubts(replace(long, foreign_cpu_percent=None), model)
    assert "whether other processes" in unknown
    failed = load_tiny(report={"executed": True, "passed": False})
    (gate,) = doubts(long, failed)
    assert "did not pass" in gate

    for changes, says in (
        ({"after": replace(quiet, throttled=4)}, "throttled meanwhile"),
        ({"after": replace(quiet, governors=("powersave",))}, "cpupower"),
        ({"after": replace(quiet, on_battery=True)}, "plug it in"),
        ({"vitals": [Vitals(t, 1, mhz, 80.0, None) for t, mhz in ((0.0, 2400.0), (1.0, 1500.0))]},
         "fell from 2400 to 1500 MHz"),
        ({"samples_ms": dict.fromkeys(STAGES, [1.0] * 512 + [1.3] * 512)}, "30 % slower"),
    ):  # fmt: skip
        (found,) = doubts(replace(long, **changes), model)
        assert says in found


def test_drift_compares_the_first_minute_with_the_last() -> None:
    long = find_drift([1000.0] * 100 + [2000.0] * 100)
    assert long.window_s == 60.0
    assert (long.first_ms["max"], long.last_ms["p50"]) == (1000.0, 2000.0)
    short = find_drift([10.0] * 4 + [20.0] * 2)
    assert short.window_s == pytest.approx(0.04)
    assert (short.first_ms["max"], short.last_ms["p50"]) == (10.0, 20.0)
    one = find_drift([5.0])
    assert one.first_ms == one.last_ms


def test_vitals_are_taken_once_a_second_at_most(tiny_model: LoadedModel, clip: Clip) -> None:
    measured = measure(tiny_model, clip, BenchRequest(steps=20, seconds=None), lambda _: None)
    assert 1 <= len(measured.vitals) <= 2 + measured.duration_s
    assert all(moment.rss_bytes > 1 << 20 for moment in measured.vitals)


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
