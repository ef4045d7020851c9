"""Put a measurement, the bundle and the machine together into a report."""

from datetime import datetime, timezone

from edge_vos.bundle import Bundle, Manifest
from edge_vos.devices.bench.measurement import Measurement
from edge_vos.devices.bench.report import Accuracy, BenchReport, MemoryUse
from edge_vos.devices.bench.warnings import (
    drift_warning,
    machine_warnings,
    samples_warnings,
    sharing_warnings,
    source_warnings,
    variation_warnings,
)
from edge_vos.devices.cost.engine_profile import profile_onnx
from edge_vos.devices.cost.model_parts import is_onnx_installed
from edge_vos.devices.cost.operators import sum_by_part
from edge_vos.devices.cost.roofline import Roofline, hold_against, measure_peak
from edge_vos.devices.subject import subject_of
from edge_vos.devices.telemetry.conditions import energy_mj
from edge_vos.devices.telemetry.probe import probe_device
from edge_vos.engines import find_engine
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.timing.stage_timer import percentiles

_UNVERIFIED = "This bundle did not pass its verification: its masks may be wrong."


def build_report(
    model: LoadedModel,
    bundle: Bundle,
    measurement: Measurement,
    memory: MemoryUse,
    accuracy: Accuracy | None,
) -> BenchReport:
    """Return the report of a measurement; it measures what the machine can multiply.

    Args:
        model: what was measured; its engine may be closed.
        bundle: what it was loaded from.
        measurement: of its steps.
        memory: of the process.
        accuracy: on the bundle's golden; None where it holds none.
    """
    manifest = bundle.manifest
    latency_ms = {stage: percentiles(ms) for stage, ms in measurement.samples_ms.items()}
    warnings = find_warnings(measurement, manifest)
    if accuracy and not accuracy.passed:
        warnings += (f"Its masks are off on this machine: mask IoU {accuracy.mask_iou:.3f}.",)
    return BenchReport(
        **vars(subject_of(bundle, model.engine, model.threads)),
        target=manifest.target,
        engine_version=model.engine_version,
        sampler=manifest.sampler,
        frame_size=measurement.frame_size,
        objects=measurement.objects,
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
        other_cpu_percent=measurement.other_cpu_percent,
        warnings=warnings,
        measured_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        drift=measurement.drift,
        accuracy=accuracy,
        placement=manifest.report.get("placement", {}),
        conditions=measurement.after,
        machine_samples=measurement.machine_samples,
        energy_per_step_mj=energy_mj(
            measurement.machine_samples, measurement.duration_s, measurement.samples
        ),
        package_energy_per_step_mj=None
        if measurement.package_mj is None
        else measurement.package_mj / measurement.samples,
        roofline=_hold_against_peak(model, bundle, measurement, latency_ms["infer"]["p50"]),
        samples_ms={stage: list(ms) for stage, ms in measurement.samples_ms.items()},
        live=measurement.live,
    )


def _hold_against_peak(
    model: LoadedModel, bundle: Bundle, measurement: Measurement, infer_ms: float
) -> Roofline | None:
    """Measure the machine's peak; None where it says nothing of the engine, or is not known."""
    manifest = bundle.manifest
    on_cpu = find_engine(manifest.backend).on_cpu  # whose peak says nothing of others
    peak = measure_peak(model.threads) if on_cpu else None
    if peak is None:
        return None
    stages, macs = None, manifest.macs
    if manifest.backend == "onnx" and is_onnx_installed():
        profile = profile_onnx(bundle.model_path, model.threads, objects=measurement.objects)
        stages = sum_by_part(profile.costs(peak))
        macs = sum(stage.macs for stage in stages)
    return hold_against(peak, macs, infer_ms, measurement.step_ms, manifest.precision, stages)


def find_warnings(measurement: Measurement, manifest: Manifest) -> tuple[str, ...]:
    """Say what makes the figures untrustworthy."""
    drift = measurement.drift
    slowed = drift_warning(
        drift.first_ms["p50"], drift.last_ms["p50"], drift.window_s, measurement.samples
    )
    whole_ms = measurement.samples_ms["end_to_end"]
    lasts_ms = measurement.samples_ms.get("interval", whole_ms)
    ended = measurement.live.ended if measurement.live else "stopped"
    return (
        *sharing_warnings(measurement.other_cpu_percent),
        *samples_warnings(measurement.samples),
        *source_warnings(ended),
        *([slowed] if slowed else variation_warnings(whole_ms, lasts_ms)),
        *machine_warnings(measurement.before, measurement.after, measurement.machine_samples),
        *([] if manifest.gate_passed else [_UNVERIFIED]),
    )
