"""Measure the whole step on this machine, as a camera's user would meet it.

The protocol is a single stream, as in MLPerf: steps follow one another, the warm-up is counted
apart, and a step is one whole ``Segmenter.step`` with the bundle's own memory policy, from a frame
to its mask. Frames are drawn before anything is measured.
"""

import itertools
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, default_bundle_path, read_bundle
from edge_vos.devices.conditions import (
    Conditions,
    Vitals,
    energy_mj,
    read_conditions,
    read_vitals,
)
from edge_vos.devices.doubts import (
    TRUSTED_FOREIGN_PERCENT,
    doubt_drift,
    doubt_machine,
    doubt_samples,
    doubt_sharing,
)
from edge_vos.devices.probe import probe_device
from edge_vos.devices.report import Accuracy, BenchReport, Drift, MemoryUse
from edge_vos.devices.roofline import measure_roofline
from edge_vos.devices.telemetry import CpuWatch, peak_rss_bytes, rss_bytes
from edge_vos.errors import ShapeError, UsageError
from edge_vos.runtime.golden import Golden, check_golden, tolerance_of
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.source import open_source
from edge_vos.runtime.timing import percentiles

MAX_OBJECTS = 10
CAMERA_SIZE = (480, 640)
__all__ = [
    "TRUSTED_FOREIGN_PERCENT",
    "BenchRequest",
    "Clip",
    "Measurement",
    "bench",
    "doubts",
    "draw_clip",
    "find_drift",
    "measure",
]

STAGES = ("pre", "infer", "memory", "post")
RING_FRAMES = 16
WARMUP_S = 1.0
DRIFT_WINDOW_S = 60.0

_UNVERIFIED = "This bundle did not pass its verification: its masks may be wrong."

Progress = Callable[[float], None]


@dataclass(frozen=True)
class BenchRequest:
    """Say what to measure, and for how long: until ``steps`` or ``seconds``, the first to come.

    Args:
        bundle: a bundle's folder or zip; None is the one that ships.
        engine: None is the bundle's own.
        size: (height, width) that the bundle must have; None takes any.
        objects: objects to follow, 1 to 10.
        threads: threads of the engine; None is its own choice.
        steps: steps to measure; None is no limit.
        seconds: time to measure; None is no limit.

    Raises:
        UsageError: if a number is out of its range, or nothing ends the measurement.
    """

    bundle: Path | None = None
    engine: str | None = None
    size: tuple[int, int] | None = None
    objects: int = 1
    threads: int | None = None
    steps: int | None = 1024
    seconds: float | None = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.objects <= MAX_OBJECTS:
            raise UsageError(f"{self.objects} objects", f"1 to {MAX_OBJECTS}", "Mend --objects")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"{self.steps} frames to measure", "at least 1", "Mend --frames")
        if self.seconds is not None and self.seconds <= 0:
            raise UsageError(f"{self.seconds} seconds to measure", "more than 0")
        if self.steps is None and self.seconds is None:
            raise UsageError("a measurement without an end", "a number of steps or of seconds")


@dataclass(frozen=True)
class Clip:
    """Hold the frames that are fed again and again.

    Args:
        frames: each (H, W, 3) uint8 BGR.
        mask: (H, W) uint8 label map of the first frame; every object is in it.
    """

    frames: tuple[NDArray[np.uint8], ...]
    mask: NDArray[np.uint8]

    def endless(self) -> Iterator[NDArray[np.uint8]]:
        """Play it forwards and backwards, so that nothing ever jumps."""
        return itertools.cycle(self.frames + self.frames[-2:0:-1])


@dataclass(frozen=True)
class Measurement:
    """Hold the raw samples of one measurement.

    Args:
        first_infer_ms: the engine's first call, before the warm-up.
        warmup: steps before the first sample.
        samples_ms: milliseconds of every step, by stage.
        duration_s: wall-clock time of all samples.
        foreign_cpu_percent: share of the CPU that others used meanwhile, 0-100, where known.
        before: how the machine was set before.
        after: and afterwards.
        vitals: of about every second.
    """

    first_infer_ms: float
    warmup: int
    samples_ms: dict[str, Sequence[float]]
    duration_s: float
    foreign_cpu_percent: float | None
    before: Conditions
    after: Conditions
    vitals: tuple[Vitals, ...]

    @property
    def samples(self) -> int:
        """Return the number of steps measured."""
        return len(self.samples_ms["end_to_end"])


def bench(request: BenchRequest, on_progress: Progress = lambda _: None) -> BenchReport:
    """Load a bundle and measure it.

    Args:
        request: what to measure.
        on_progress: called now and then with the share of the measurement that is done, in [0, 1].

    Raises:
        BundleError: if the bundle is missing or broken.
        EngineError: if the engine is unknown or missing, or fails.
        ShapeError: if the bundle is of another size than asked for.
        UsageError: if the bundle has no room for so many objects.
    """
    bundle = read_bundle(request.bundle or default_bundle_path())
    _check(bundle.manifest, request)
    clip = draw_clip(CAMERA_SIZE, request.objects)
    before_bytes = rss_bytes()
    model = open_bundle(bundle.path, request.engine, request.threads)
    try:
        measurement = measure(model, clip, request, on_progress)
        peak_bytes = peak_rss_bytes()  # before the recording is read
        accuracy = measure_accuracy(model, bundle)
    finally:
        model.runner.close()
    memory = MemoryUse(peak_bytes, max(0, peak_bytes - before_bytes))
    return _report(model, bundle, request, measurement, memory, accuracy)


def measure_accuracy(model: LoadedModel, bundle: Bundle) -> Accuracy | None:
    """Repeat the recording inside a bundle; None where it holds none.

    Raises:
        BundleError: if the recording is broken, or the bundle states no tolerance for it.
    """
    if GOLDEN_FILE not in bundle.manifest.files:
        return None
    limits = tolerance_of(bundle)
    found = check_golden(model.runner, bundle.manifest, Golden.load(bundle), **limits)
    return Accuracy(found.passed, found.frames, found.mask_iou, found.max_abs_error)


def draw_clip(size: tuple[int, int], objects: int) -> Clip:
    """Draw a short synthetic clip with so many moving objects, all of them in its first frame.

    Args:
        size: (height, width) of its frames.
        objects: how many, 1 to 10.
    """
    uri = f"synthetic://?size={size[0]}x{size[1]}&objects={objects}&frames={RING_FRAMES}&seed=0"
    with open_source(uri) as source:
        drawn = list(source)
    mask = drawn[0].truth
    if mask is None or len(np.unique(mask)) != objects + 1:
        raise RuntimeError(f"the first frame of {uri} does not show every object")
    return Clip(tuple(frame.image for frame in drawn), mask)


def measure(
    model: LoadedModel, clip: Clip, request: BenchRequest, on_progress: Progress
) -> Measurement:
    """Step through a clip: a warm-up until memory is full, then what the request asks for."""
    segmenter = Segmenter(model)
    segmenter.prompt(clip.mask)
    frames = clip.endless()
    first_infer_ms = segmenter.step(next(frames)).timings_ms["infer"]
    warmup = 1
    filled = model.manifest.memory.mem_every * model.manifest.slots
    start = time.perf_counter()
    while warmup < filled or (request.seconds and time.perf_counter() - start < WARMUP_S):
        segmenter.step(next(frames))
        warmup += 1

    samples = {stage: array("d") for stage in (*STAGES, "end_to_end")}
    vitals: list[Vitals] = []
    next_report_s = 0.0
    before = read_conditions()
    watch = CpuWatch()
    start = time.perf_counter()
    for count, frame in enumerate(frames, start=1):
        step_start = time.perf_counter()
        timings_ms = segmenter.step(frame).timings_ms
        now = time.perf_counter()
        for stage in STAGES:
            samples[stage].append(timings_ms[stage])
        samples["end_to_end"].append((now - step_start) * 1e3)
        done = _share_done(request, count, now - start)
        if done >= 1.0 or now - start >= next_report_s:
            on_progress(done)
            vitals.append(read_vitals(now - start))
            next_report_s += 1.0
        if done >= 1.0:
            break
    duration_s = time.perf_counter() - start
    return Measurement(
        first_infer_ms=first_infer_ms,
        warmup=warmup,
        samples_ms=dict(samples),
        duration_s=duration_s,
        foreign_cpu_percent=watch.foreign_percent(),
        before=before,
        after=read_conditions(),
        vitals=tuple(vitals),
    )


def find_drift(samples_ms: Sequence[float]) -> Drift:
    """Compare the first minute of a series of steps with its last, or half of it with the other.

    Args:
        samples_ms: of whole steps, at least one.
    """
    ends_s = np.cumsum(samples_ms) / 1e3
    window_s = min(DRIFT_WINDOW_S, float(ends_s[-1]) / 2)
    first = samples_ms[: max(1, int(np.searchsorted(ends_s, window_s)))]
    last = samples_ms[
        min(len(samples_ms) - 1, int(np.searchsorted(ends_s, ends_s[-1] - window_s))) :
    ]
    return Drift(window_s, percentiles(first), percentiles(last))


def doubts(measurement: Measurement, model: LoadedModel) -> tuple[str, ...]:
    """Say what makes the figures untrustworthy."""
    drift = find_drift(measurement.samples_ms["end_to_end"])
    slowed = doubt_drift(
        drift.first_ms["p50"], drift.last_ms["p50"], drift.window_s, measurement.samples
    )
    return (
        *doubt_sharing(measurement.foreign_cpu_percent),
        *doubt_samples(measurement.samples),
        *([slowed] if slowed else []),
        *doubt_machine(measurement.before, measurement.after, measurement.vitals),
        *([] if model.manifest.gate_passed else [_UNVERIFIED]),
    )


def _share_done(request: BenchRequest, steps: int, elapsed_s: float) -> float:
    by_steps = steps / request.steps if request.steps else 0.0
    by_time = elapsed_s / request.seconds if request.seconds else 0.0
    return min(1.0, max(by_steps, by_time))


def _check(manifest: Manifest, request: BenchRequest) -> None:
    size = manifest.size
    if request.size not in (None, size):
        asked = "x".join(map(str, request.size or ()))
        raise ShapeError(
            f"The bundle takes {size[0]}x{size[1]} images, not {asked}",
            "the size that the bundle was converted for",
            f"edge-vos convert --target {manifest.target} --size {asked} -o DIR",
        )
    if request.objects > manifest.channels - 1:
        raise UsageError(
            f"{request.objects} objects",
            f"at most {manifest.channels - 1}, the bundle's channels",
            "Mend --objects",
        )


def _report(
    model: LoadedModel,
    bundle: Bundle,
    request: BenchRequest,
    measurement: Measurement,
    memory: MemoryUse,
    accuracy: Accuracy | None,
) -> BenchReport:
    manifest = bundle.manifest
    latency_ms = {stage: percentiles(ms) for stage, ms in measurement.samples_ms.items()}
    warnings = doubts(measurement, model)
    if accuracy and not accuracy.passed:
        warnings += (f"Its masks are off on this machine: mask IoU {accuracy.mask_iou:.3f}.",)
    return BenchReport(
        bundle=manifest.name,
        bundle_sha256=bundle.sha256,
        target=manifest.target,
        engine=model.engine,
        engine_version=model.engine_version,
        precision=manifest.precision,
        sampler=manifest.sampler,
        size=manifest.size,
        frame_size=CAMERA_SIZE,
        objects=request.objects,
        threads=model.threads,
        device=probe_device(),
        warmup=measurement.warmup,
        samples=measurement.samples,
        duration_s=measurement.duration_s,
        fps=measurement.samples / measurement.duration_s,
        latency_ms=latency_ms,
        load_ms=model.load_ms,
        first_inference_ms=measurement.first_infer_ms,
        model_size_bytes=bundle.model_bytes,
        memory=memory,
        foreign_cpu_percent=measurement.foreign_cpu_percent,
        warnings=warnings,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        drift=find_drift(measurement.samples_ms["end_to_end"]),
        accuracy=accuracy,
        placement=manifest.report.get("placement", {}),
        conditions=measurement.after,
        vitals=measurement.vitals,
        energy_per_step_mj=energy_mj(
            measurement.vitals, measurement.duration_s, measurement.samples
        ),
        roofline=measure_roofline(
            manifest.macs,
            latency_ms["infer"]["p50"],
            latency_ms["end_to_end"]["p50"],
            manifest.precision,
            model.threads,
        ),
        samples_ms={stage: list(ms) for stage, ms in measurement.samples_ms.items()},
    )
