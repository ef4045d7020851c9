"""Measure the whole step on this machine, as a camera's user would meet it.

The protocol is a single stream, as in MLPerf: steps follow one another, the warm-up is counted
apart, and a step is one whole ``Segmenter.step`` with the bundle's own memory policy, from a frame
to its mask. Frames are drawn before anything is measured.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest, default_bundle_path, read_bundle
from edge_vos.devices.probe import probe_device
from edge_vos.devices.report import BenchReport, MemoryUse
from edge_vos.devices.telemetry import CpuWatch, peak_rss_bytes, rss_bytes
from edge_vos.errors import ShapeError, UsageError
from edge_vos.manifest import digest
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.source import open_source
from edge_vos.runtime.timing import percentiles

MAX_OBJECTS = 10
CAMERA_SIZE = (480, 640)
STAGES = ("pre", "infer", "memory", "post")
RING_FRAMES = 16
WARMUP_S = 1.0
TRUSTED_FOREIGN_PERCENT = 5.0
TRUSTED_SAMPLES = 300  # three of them lie beyond p99

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
    """

    first_infer_ms: float
    warmup: int
    samples_ms: dict[str, list[float]]
    duration_s: float
    foreign_cpu_percent: float | None

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
    _check(read_bundle(request.bundle or default_bundle_path()).manifest, request)
    clip = draw_clip(CAMERA_SIZE, request.objects)
    before_bytes = rss_bytes()
    model = open_bundle(request.bundle, request.engine, request.threads)
    try:
        measurement = measure(model, clip, request, on_progress)
    finally:
        model.runner.close()
    return _report(model, request, measurement, before_bytes)


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

    samples: dict[str, list[float]] = {stage: [] for stage in (*STAGES, "end_to_end")}
    next_report_s = 0.0
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
            next_report_s += 1.0
        if done >= 1.0:
            break
    duration_s = time.perf_counter() - start
    return Measurement(first_infer_ms, warmup, samples, duration_s, watch.foreign_percent())


def doubts(measurement: Measurement, model: LoadedModel) -> tuple[str, ...]:
    """Say what makes the figures untrustworthy."""
    found = []
    foreign = measurement.foreign_cpu_percent
    if foreign is None:
        found.append("Too short to tell whether other processes used the CPU.")
    elif foreign > TRUSTED_FOREIGN_PERCENT:
        found.append(
            f"Other processes took {foreign:.0f} % of the CPU meanwhile: do not trust these "
            "figures. Stop them and measure again."
        )
    if measurement.samples < TRUSTED_SAMPLES:
        found.append(
            f"Only {measurement.samples} steps were measured: p99 wants at least "
            f"{TRUSTED_SAMPLES}. Measure longer."
        )
    if not model.manifest.gate_passed:
        found.append("This bundle did not pass its verification: its masks may be wrong.")
    return tuple(found)


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
    model: LoadedModel, request: BenchRequest, measurement: Measurement, before_bytes: int
) -> BenchReport:
    manifest = model.manifest
    peak_bytes = peak_rss_bytes()
    return BenchReport(
        bundle=manifest.name,
        bundle_sha256=digest(manifest),
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
        latency_ms={stage: percentiles(ms) for stage, ms in measurement.samples_ms.items()},
        load_ms=model.load_ms,
        first_inference_ms=measurement.first_infer_ms,
        model_size_bytes=manifest.files[manifest.model_file].size_bytes,
        memory=MemoryUse(peak_bytes, max(0, peak_bytes - before_bytes)),
        foreign_cpu_percent=measurement.foreign_cpu_percent,
        warnings=doubts(measurement, model),
    )
