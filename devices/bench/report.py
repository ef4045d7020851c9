"""Hold what a benchmark measured; ``report_text`` says it in words."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from edge_vos.devices.cost.roofline import Roofline
from edge_vos.devices.subject import Subject
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample
from edge_vos.devices.telemetry.probe import DeviceInfo

SCHEMA_VERSION = 2
"""2 names ``machine_samples`` and ``other_cpu_percent`` anew; every figure is as in 1."""


@dataclass(frozen=True)
class MemoryUse:
    """Hold the resident memory of the process.

    Args:
        peak_rss_bytes: the largest it ever was.
        net_rss_bytes: that, less what the process held before it loaded engine and model.
    """

    peak_rss_bytes: int
    net_rss_bytes: int


@dataclass(frozen=True)
class Drift:
    """Hold how the whole step did at the beginning and at the end.

    Args:
        window_s: how long either is: a minute, or half of the measurement.
        first_ms: p50, p90, p99 and max of the first window.
        last_ms: the same of the last.
    """

    window_s: float
    first_ms: dict[str, float]
    last_ms: dict[str, float]


@dataclass(frozen=True)
class Accuracy:
    """Hold how this engine did on the golden inside the bundle, on this machine.

    Args:
        passed: within the bundle's own tolerances.
        frames: how many were run.
        mask_iou: mean agreement with the recorded masks, 0-1.
        max_abs_error: largest error of a probability.
    """

    passed: bool
    frames: int
    mask_iou: float
    max_abs_error: float


@dataclass(frozen=True)
class LiveRun:
    """Hold what a source did while it was measured.

    Args:
        source: its URI.
        source_fps: frames a second that it gives, nominal.
        recording: whether a video was recorded meanwhile.
        dropped: frames that came and were left out, because newer ones came.
        ended: ``stopped`` when enough was measured; or the source came to its ``end``, was
            ``lost``, or gave nothing for too long: ``timeout``.
    """

    source: str
    source_fps: float
    recording: bool
    dropped: int
    ended: str


@dataclass(frozen=True)
class DatasetAccuracy:
    """Hold J and F of the same bundle, engine and threads over a data set, in per cent.

    Args:
        protocol: the data set's, such as ``davis2016``.
        sequences: what was segmented.
        objects: how many were scored.
        frames: how many were segmented.
        j: region similarity, the mean over objects.
        f: boundary accuracy, likewise.
        j_and_f: the mean of both.
    """

    protocol: str
    sequences: tuple[str, ...]
    objects: int
    frames: int
    j: float
    f: float
    j_and_f: float


@dataclass(frozen=True)
class BenchReport(Subject):
    """Hold every figure of one benchmark, and all that is needed to repeat it.

    Args:
        target: the kind of device that it was converted for.
        engine_version: as the engine says.
        sampler: of the bundle.
        frame_size: (height, width) of the frames that were fed.
        objects: how many were followed.
        device: the machine.
        warmup: steps that were taken before and not counted.
        samples: steps that were measured.
        duration_s: wall-clock time of these, everything in between included.
        fps: samples by duration.
        latency_ms: p50, p90, p99 and max by stage; ``end_to_end`` is one whole step, frame in and
            mask out. On a source it is from capture to the last output, ``display`` from capture
            to the painted screen, and ``interval`` from the result before to this one.
        load_ms: time to check the bundle and load it into the engine.
        first_inference_ms: the engine's first call.
        model_size_bytes: the engine's file.
        memory: of the process.
        other_cpu_percent: share of all cores' time that other processes took meanwhile, 0-100;
            None where that is not known.
        warnings: what makes these figures untrustworthy.
        measured_at: when it ended, UTC, as in 2026-01-31T12:00:00Z.
        drift: the first against the last minute.
        accuracy: on the same artifact; None where the bundle holds no golden.
        placement: of the operators, as the bundle's own report says; empty where it does not.
        conditions: how the machine was set.
        machine_samples: memory, clock, heat and power, about once a second.
        energy_per_step_mj: of the whole board; None where its power is not told.
        package_energy_per_step_mj: of the CPU's packages alone; None where it cannot be read.
        roofline: against what the machine can multiply; None where that cannot be measured.
        samples_ms: milliseconds of every step, by stage, in the order of their coming.
        live: what the source did; None where a drawn clip was stepped through.
        dataset_accuracy: J and F over a data set; None where none was asked for.
        schema_version: of the JSON document.
    """

    target: str
    engine_version: str
    sampler: str
    frame_size: tuple[int, int]
    objects: int
    device: DeviceInfo
    warmup: int
    samples: int
    duration_s: float
    fps: float
    latency_ms: dict[str, dict[str, float]]
    load_ms: float
    first_inference_ms: float
    model_size_bytes: int
    memory: MemoryUse
    other_cpu_percent: float | None
    warnings: tuple[str, ...]
    measured_at: str
    drift: Drift
    accuracy: Accuracy | None
    placement: dict[str, Any]
    conditions: Conditions
    machine_samples: tuple[MachineSample, ...]
    energy_per_step_mj: float | None
    roofline: Roofline | None
    samples_ms: dict[str, list[float]]
    live: LiveRun | None = None
    dataset_accuracy: DatasetAccuracy | None = None
    package_energy_per_step_mj: float | None = None
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Return one JSON document, the fields of this record by their names; samples come last."""
        document = asdict(self)
        samples = {
            stage: [round(value, 6) for value in series]
            for stage, series in document.pop("samples_ms").items()
        }
        # A line for each of thousands of numbers would hide the rest.
        rows = [f"{json.dumps(stage)}: {json.dumps(row)}" for stage, row in samples.items()]
        head = json.dumps(document, indent=2).removesuffix("\n}")
        body = ",\n    ".join(rows)
        return f'{head},\n  "samples_ms": {{\n    {body}\n  }}\n}}\n'
