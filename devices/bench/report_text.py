"""Say what a benchmark measured: as rows of a table, as facts and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from edge_vos.devices.bench.report import Accuracy, BenchReport
from edge_vos.devices.cost.roofline import Roofline
from edge_vos.devices.tables import markdown_table
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample, name_flags

FIGURES = ("p50", "p90", "p99", "max")


def latency_rows(report: BenchReport) -> list[tuple[str, ...]]:
    """Return a header and, for each stage, its name and its figures in milliseconds."""
    figures = [
        (stage.replace("_", " "), *(f"{values[figure]:.2f}" for figure in FIGURES))
        for stage, values in report.latency_ms.items()
    ]
    return [("ms", *FIGURES), *figures]


def facts(report: BenchReport) -> dict[str, str]:
    """Return every other figure, ready to print, by its name."""
    device = report.device
    other = report.other_cpu_percent
    return {
        "FPS": f"{report.fps:.1f} at the wall clock ({report.samples} steps, "
        f"{report.duration_s:.1f} s, after {report.warmup} to warm up)",
        **_live_facts(report),
        "bundle": f"{report.bundle_text}, {report.sampler} sampler",
        "engine": f"{report.engine} {report.engine_version}, {report.threads_text}",
        "objects": f"{report.objects}, frames {_by(report.frame_size)}",
        "load": f"{report.load_ms:.0f} ms, first inference {report.first_inference_ms:.0f} ms",
        "memory": f"peak {_mb(report.memory.peak_rss_bytes)}, "
        f"net {_mb(report.memory.net_rss_bytes)}; model file {_mb(report.model_size_bytes)}",
        "device": f"{device.name}, {device.cores} cores, {device.memory_bytes / 1e9:.0f} GB, "
        f"{device.system} {device.machine}",
        "others' CPU": "not known" if other is None else f"{other:.1f} %",
        f"first and last {report.drift.window_s:.0f} s": f"p50 {report.drift.first_ms['p50']:.2f} "
        f"and {report.drift.last_ms['p50']:.2f} ms",
        "accuracy": _accuracy(report.accuracy),
        **_dataset_facts(report),
        "of the machine's peak": _share(report.roofline),
        **_part_facts(report.roofline),
        "energy": _energy(report.energy_per_step_mj, report.package_energy_per_step_mj),
        "placement": _placement(report.placement),
        "machine set to": _setting(report.conditions),
        **_span_facts(report.machine_samples),
    }


def _live_facts(report: BenchReport) -> dict[str, str]:
    live = report.live
    if live is None:
        return {}
    share = 100 * live.dropped / (live.dropped + report.samples)
    return {
        "source": f"{live.source}, {live.source_fps:g} frames a second, "
        f"recording {'on' if live.recording else 'off'}",
        "dropped": f"{live.dropped} frames ({share:.1f} %)",
    }


def _dataset_facts(report: BenchReport) -> dict[str, str]:
    found = report.dataset_accuracy
    if found is None:
        return {}
    return {
        "J&F": f"{found.j_and_f:.1f} (J {found.j:.1f}, F {found.f:.1f}) on {found.protocol}: "
        f"{len(found.sequences)} sequences, {found.objects} objects, {found.frames} frames",
    }


def to_markdown(report: BenchReport) -> str:
    """Return the report as two Markdown tables, warnings above them."""
    warnings = "".join(f"> **Warning:** {warning}\n\n" for warning in report.warnings)
    figures = markdown_table(latency_rows(report), figures_from=1)
    return f"{warnings}{figures}\n{markdown_table([('', ''), *facts(report).items()])}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _accuracy(found: Accuracy | None) -> str:
    if found is None:
        return "not known: the bundle holds no golden"
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
