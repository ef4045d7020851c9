"""Collect the samples of a measurement, and look at the machine meanwhile."""

import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_vos.bundle import Manifest
from edge_vos.devices.bench.report import Drift, LiveRun
from edge_vos.devices.telemetry.conditions import (
    Conditions,
    MachineSample,
    read_conditions,
    sample_machine,
)
from edge_vos.devices.telemetry.cpu import CpuWatch
from edge_vos.devices.telemetry.power import PackageEnergy
from edge_vos.devices.telemetry.tegrastats import parse_tegrastats
from edge_vos.devices.telemetry.tools import BackgroundTool
from edge_vos.errors import UsageError
from edge_vos.runtime.timing.stage_timer import percentiles

STAGES = ("pre", "infer", "memory", "post")
"""The parts of a step."""

WARMUP_S = 1.0
DRIFT_WINDOW_S = 60.0

Progress = Callable[[float], None]


@dataclass(frozen=True)
class MeasurementLimit:
    """Say how long to measure: until ``steps`` or ``seconds``, the first to come.

    Args:
        steps: to measure; None is no limit.
        seconds: to measure; None is no limit.

    Raises:
        UsageError: if one is out of its range, or nothing ends the measurement.
    """

    steps: int | None = 1024
    seconds: float | None = 60.0

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"{self.steps} frames to measure", "at least 1", "Mend --frames")
        if self.seconds is not None and self.seconds <= 0:
            raise UsageError(f"{self.seconds} seconds to measure", "more than 0")
        if self.steps is None and self.seconds is None:
            raise UsageError("a measurement without an end", "a number of steps or of seconds")

    def is_warm(self, manifest: Manifest, steps: int, elapsed_s: float) -> bool:
        """Tell whether a warm-up was long enough: memory is full, and a second has passed.

        A measurement of so many steps alone does not wait for the second.
        """
        filled = manifest.memory.mem_every * manifest.slots
        return steps >= filled and (self.seconds is None or elapsed_s >= WARMUP_S)

    def share_done(self, steps: int, elapsed_s: float) -> float:
        """Return the share of the measurement that is done, in [0, 1]."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_time = elapsed_s / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


@dataclass(frozen=True)
class Measurement:
    """Hold the raw samples of one measurement.

    Args:
        objects: how many were followed.
        frame_size: (height, width) of the frames.
        first_infer_ms: the engine's first call, before the warm-up.
        warmup: steps before the first sample.
        samples_ms: milliseconds of every step, by stage; where steps overlap, ``interval`` is from
            the end of the one before to its own.
        duration_s: wall-clock time of all samples.
        other_cpu_percent: share of the CPU that others used meanwhile, 0-100, where known.
        before: how the machine was set before.
        after: and afterwards.
        machine_samples: of about every second.
        live: what the source did; None where a drawn clip was stepped through.
        package_mj: energy of the CPU's packages meanwhile; None where it cannot be read.
    """

    objects: int
    frame_size: tuple[int, int]
    first_infer_ms: float
    warmup: int
    samples_ms: dict[str, Sequence[float]]
    duration_s: float
    other_cpu_percent: float | None
    before: Conditions
    after: Conditions
    machine_samples: tuple[MachineSample, ...]
    live: LiveRun | None = None
    package_mj: float | None = None

    @property
    def samples(self) -> int:
        """Return the number of steps measured."""
        return len(self.samples_ms["end_to_end"])

    @property
    def step_ms(self) -> float:
        """Return the p50 of the step itself, without what comes before and after it."""
        parts = [np.asarray(self.samples_ms[stage]) for stage in STAGES]
        return float(np.median(np.sum(parts, axis=0)))

    @property
    def drift(self) -> Drift:
        """Return how the end compares with the beginning."""
        whole_ms = self.samples_ms["end_to_end"]
        return find_drift(whole_ms, self.samples_ms.get("interval", whole_ms))


class SampleCollector:
    """Take samples from its making on, until they are enough.

    Args:
        limit: how many, or for how long.
        on_progress: called now and then with the share that is done, in [0, 1].

    Attributes:
        last_s: when the last sample ended, on the clock of ``time.perf_counter``.
    """

    def __init__(self, limit: MeasurementLimit, on_progress: Progress) -> None:
        self._limit, self._on_progress = limit, on_progress
        self._samples: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self._machine_samples: list[MachineSample] = []
        self._count = 0
        self._next_look_s = 0.0
        self._before = read_conditions()
        self._tegra = BackgroundTool("tegrastats", "--interval", "1000")
        self._energy = PackageEnergy()
        self._watch = CpuWatch()
        self.last_s = self._start_s = time.perf_counter()

    def add(self, timings_ms: Mapping[str, float], now_s: float) -> bool:
        """Take one step's milliseconds by stage; return whether it was the last one."""
        for stage, value_ms in timings_ms.items():
            self._samples[stage].append(value_ms)
        self._count += 1
        self.last_s = now_s
        elapsed_s = now_s - self._start_s
        done = self._limit.share_done(self._count, elapsed_s)
        if done >= 1.0 or elapsed_s >= self._next_look_s:
            self._on_progress(done)
            line = self._tegra.last_line()
            self._machine_samples.append(
                sample_machine(elapsed_s, tegra=parse_tegrastats(line or ""))
            )
            self._energy.look()
            self._next_look_s += 1.0
        return done >= 1.0

    def finish(
        self,
        *,
        objects: int,
        frame_size: tuple[int, int],
        first_infer_ms: float,
        warmup: int,
        live: LiveRun | None = None,
    ) -> Measurement:
        """Return what was measured, at least one sample; see :class:`Measurement`."""
        self._energy.look()
        self._tegra.close()  # its CPU time counts as ours from here on
        return Measurement(
            objects=objects,
            frame_size=frame_size,
            first_infer_ms=first_infer_ms,
            warmup=warmup,
            samples_ms=dict(self._samples),
            duration_s=self.last_s - self._start_s,
            other_cpu_percent=self._watch.other_percent(),
            before=self._before,
            after=read_conditions(),
            machine_samples=tuple(self._machine_samples),
            live=live,
            package_mj=self._energy.total_mj,
        )


def find_drift(samples_ms: Sequence[float], lasts_ms: Sequence[float]) -> Drift:
    """Compare the first minute of a series of steps with its last, or half of it with the other.

    Args:
        samples_ms: of whole steps, at least one.
        lasts_ms: how much later each of them ended than the one before.
    """
    ends_s = np.cumsum(lasts_ms) / 1e3
    window_s = min(DRIFT_WINDOW_S, float(ends_s[-1]) / 2)
    first = samples_ms[: max(1, int(np.searchsorted(ends_s, window_s)))]
    last = samples_ms[
        min(len(samples_ms) - 1, int(np.searchsorted(ends_s, ends_s[-1] - window_s))) :
    ]
    return Drift(window_s, percentiles(first), percentiles(last))
