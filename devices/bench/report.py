"""Hold what a benchmark measured, and say it as JSON, as rows of a table and as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_vos.devices.cost.roofline import Roofline
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample, name_flags
from edge_vos.devices.telemetry.probe import DeviceInfo

SCHEMA_VERSION = 1
SCHEMA_FILE = "report.schema.json"
"""Lies beside this module: what ``to_json`` writes, as JSON Schema."""

_FIGURES = ("p50", "p90", "p99", "max")


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
    """Hold how this engine did on the recording inside the bundle, on this machine.

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
class BenchReport:
    """Hold every figure of one benchmark, and all that is needed to repeat it.

    Args:
        bundle: the bundle's name.
        bundle_sha256: the bundle's digest.
        target: the kind of device that it was converted for.
        engine: the engine that ran it.
        engine_version: as the engine says.
        precision: of the bundle, such as ``fp32``.
        sampler: of the bundle.
        size: (height, width) of the network's image.
        frame_size: (height, width) of the frames that were fed.
        objects: how many were followed.
        threads: what the engine was told to use; None left it to the engine.
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
        accuracy: on the same artifact; None where the bundle holds no recording.
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

    bundle: str
    bundle_sha256: str
    target: str
    engine: str
    engine_version: str
    precision: str
    sampler: str
    size: tuple[int, int]
    frame_size: tuple[int, int]
    objects: int
    threads: int | None
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

    def latency_rows(self) -> list[tuple[str, ...]]:
        """Return a header and, for each stage, its name and its figures in milliseconds."""
        figures = [
            (stage.replace("_", " "), *(f"{values[figure]:.2f}" for figure in _FIGURES))
            for stage, values in self.latency_ms.items()
        ]
        return [("ms", *_FIGURES), *figures]

    def facts(self) -> dict[str, str]:
        """Return every other figure, ready to print, by its name."""
        device = self.device
        other = self.other_cpu_percent
        return {
            "FPS": f"{self.fps:.1f} at the wall clock ({self.samples} steps, "
            f"{self.duration_s:.1f} s, after {self.warmup} to warm up)",
            **self._live_facts(),
            "bundle": f"{self.bundle} ({self.bundle_sha256[:12]}), {self.precision}, "
            f"{self.sampler} sampler, {_by(self.size)}",
            "engine": f"{self.engine} {self.engine_version}, {_threads(self.threads)}",
            "objects": f"{self.objects}, frames {_by(self.frame_size)}",
            "load": f"{self.load_ms:.0f} ms, first inference {self.first_inference_ms:.0f} ms",
            "memory": f"peak {_mb(self.memory.peak_rss_bytes)}, "
            f"net {_mb(self.memory.net_rss_bytes)}; model file {_mb(self.model_size_bytes)}",
            "device": f"{device.name}, {device.cores} cores, {device.memory_bytes / 1e9:.0f} GB, "
            f"{device.system} {device.machine}",
            "others' CPU": "not known" if other is None else f"{other:.1f} %",
            f"first and last {self.drift.window_s:.0f} s": f"p50 {self.drift.first_ms['p50']:.2f} "
            f"and {self.drift.last_ms['p50']:.2f} ms",
            "accuracy": _accuracy(self.accuracy),
            **self._dataset_facts(),
            "of the machine's peak": _share(self.roofline),
            **_part_facts(self.roofline),
            "energy": _energy(self.energy_per_step_mj, self.package_energy_per_step_mj),
            "placement": _placement(self.placement),
            "machine set to": _setting(self.conditions),
            **_span_facts(self.machine_samples),
        }

    def _live_facts(self) -> dict[str, str]:
        live = self.live
        if live is None:
            return {}
        share = 100 * live.dropped / (live.dropped + self.samples)
        return {
            "source": f"{live.source}, {live.source_fps:g} frames a second, "
            f"recording {'on' if live.recording else 'off'}",
            "dropped": f"{live.dropped} frames ({share:.1f} %)",
        }

    def _dataset_facts(self) -> dict[str, str]:
        found = self.dataset_accuracy
        if found is None:
            return {}
        return {
            "J&F": f"{found.j_and_f:.1f} (J {found.j:.1f}, F {found.f:.1f}) on {found.protocol}: "
            f"{len(found.sequences)} sequences, {found.objects} objects, {found.frames} frames",
        }

    def to_markdown(self) -> str:
        """Return the report as two Markdown tables, warnings above them."""
        header, *rows = self.latency_rows()
        lines = [f"> **Warning:** {warning}\n" for warning in self.warnings]
        lines += [row(header), row(("---", *["---:"] * len(_FIGURES))), *map(row, rows), ""]
        lines += [row(("", "")), row(("---", "---")), *map(row, self.facts().items()), ""]
        return "\n".join(lines)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _threads(threads: int | None) -> str:
    if threads is None:
        return "its own choice of threads"
    return f"{threads} thread" if threads == 1 else f"{threads} threads"


def _accuracy(found: Accuracy | None) -> str:
    if found is None:
        return "not known: the bundle holds no recording"
    verdict = "passed" if found.passed else "FAILED"
    return f"{verdict}, mask IoU {found.mask_iou:.5f} over {found.frames} recorded frames"


def _share(roofline: Roofline | None) -> str:
    if roofline is None:
        return "not known: ONNX Runtime is missing, or the student ran on an accelerator"
    int8 = "" if roofline.int8_gmacs is None else f", int8 {roofline.int8_gmacs:.0f}"
    return (
        f"infer {roofline.infer_share_percent:.0f} %, whole step "
        f"{roofline.step_share_percent:.0f} % (GMAC/s: fp32 {roofline.fp32_gmacs:.0f}{int8})"
    )


def _part_facts(roofline: Roofline | None) -> dict[str, str]:
    """Return a row for each part of the network, as the engine's profile has it."""
    stages = () if roofline is None else roofline.stages or ()
    return {
        f"- {stage.name}": f"{stage.time_percent:.0f} % of the call"
        + ("" if stage.share_percent is None else f", {stage.share_percent:.0f} % of the peak")
        for stage in stages
    }


def _energy(board_mj: float | None, package_mj: float | None) -> str:
    known = [
        f"{value:.1f} mJ a step, {of}"
        for value, of in ((board_mj, "the whole board"), (package_mj, "the CPU alone"))
        if value is not None
    ]
    return "; ".join(known) or "not known: this machine does not tell its power"


def _placement(placement: Mapping[str, Any]) -> str:
    """Say where the operators run, as far as the bundle's report tells."""
    accelerator, left = placement.get("accelerator"), placement.get("left")
    if not accelerator:
        off = placement.get("left_on_cpu") or ()
        if not placement:
            return "not known: the bundle does not tell"
        return f"left on the CPU: {', '.join(off)}" if off else "the engine takes every operator"
    how = ", predicted" if placement.get("predicted") else ""
    counts = left.items() if isinstance(left, Mapping) else ()
    names = ", ".join(f"{count} {name}" for name, count in counts)
    return f"{accelerator}{how}; off the accelerator: {names or 'none'}"


def _setting(conditions: Conditions) -> str:
    battery = {None: "", True: "on its battery", False: "plugged in"}[conditions.on_battery]
    governors, mode = " and ".join(conditions.governors), conditions.power_mode
    flags = conditions.firmware_flags
    known = (
        governors and f"governor {governors}",
        mode and f"power mode {mode}",
        battery,
        "" if flags is None else ", ".join(name_flags(flags)) or "not throttled",
    )
    return ", ".join(part for part in known if part) or "not known: this machine does not tell"


def _span_facts(machine_samples: Sequence[MachineSample]) -> dict[str, str]:
    """Return what the clock, heat, GPU and memory were between, where they are told."""
    series: dict[str, tuple[str, list[float | None]]] = {
        "clock": ("MHz", [one.clock_mhz for one in machine_samples]),
        "temperature": ("°C", [one.temperature_c for one in machine_samples]),
        "GPU load": ("%", [one.gpu_percent for one in machine_samples]),
        "GPU clock": ("MHz", [one.gpu_mhz for one in machine_samples]),
        "board's memory": ("MB", [
            None if one.board_used_bytes is None else one.board_used_bytes / 1e6
            for one in machine_samples
        ]),
    }  # fmt: skip
    told = {
        name: (unit, [value for value in values if value is not None])
        for name, (unit, values) in series.items()
    }
    return {
        name: f"{min(values):.0f} to {max(values):.0f} {unit}"
        for name, (unit, values) in told.items()
        if values
    }


def row(cells: tuple[str, ...]) -> str:
    """Return a row of a Markdown table, whatever its cells hold."""
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
