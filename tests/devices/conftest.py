"""A bundle with a recording in it, as convert writes one; a clip for it; reports."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, write_bundle
from edge_vos.converters.verify.golden import run_script
from edge_vos.devices.bench.clip import Clip
from edge_vos.devices.bench.report import (
    Accuracy,
    BenchReport,
    DatasetAccuracy,
    Drift,
    LiveRun,
    MemoryUse,
)
from edge_vos.devices.cost.operators import Cost
from edge_vos.devices.cost.roofline import Roofline
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample
from edge_vos.devices.telemetry.probe import DeviceInfo
from edge_vos.runtime.golden import Script
from edge_vos.runtime.model import LoadedModel

FRAMES = 3
FIGURES = {"p50": 12.5, "p90": 13.0, "p99": 15.25, "max": 20.0}
REPORT = BenchReport(
    bundle="student",
    bundle_sha256="ab" * 32,
    target="cpu",
    engine="onnx",
    engine_version="1.32.0",
    precision="fp32",
    sampler="native",
    size=(240, 432),
    frame_size=(480, 640),
    objects=10,
    threads=2,
    device=DeviceInfo("AMD EPYC", "x86_64", 2, 24 << 30, "Linux 6.1", "3.11.7"),
    warmup=20,
    samples=1024,
    duration_s=15.0,
    fps=68.27,
    latency_ms={"infer": FIGURES, "end_to_end": FIGURES},
    load_ms=90.0,
    first_inference_ms=31.0,
    model_size_bytes=4_500_000,
    memory=MemoryUse(150_000_000, 70_000_000),
    other_cpu_percent=0.4,
    warnings=("Something is amiss.",),
    measured_at="2026-01-31T12:00:00Z",
    drift=Drift(7.5, FIGURES, FIGURES),
    accuracy=Accuracy(True, 12, 0.9991, 1e-5),
    placement={"left_on_cpu": []},
    conditions=Conditions(("performance",), None, 0),
    machine_samples=(
        MachineSample(0.0, 140_000_000, 2400.0, 51.5, None),
        MachineSample(1.0, 150_000_000, None, None, None),
    ),
    energy_per_step_mj=None,
    roofline=Roofline(
        40.0,
        150.0,
        714_305_952,
        70.0,
        60.0,
        (
            Cost("image encoder", 9.0, 60.0, 508_000_000, 56.4, 40.0),
            Cost("mask encoder", 6.0, 40.0, 0, 0.0, None),
        ),
    ),
    samples_ms={"infer": [12.0, 12.5, 13.0], "end_to_end": [12.0, 12.5, 13.0]},
)
STAGES = ("capture", "pre", "infer", "post", "memory", "draw", "display", "end_to_end", "interval")
LIVE = replace(
    REPORT,
    latency_ms=dict.fromkeys(STAGES, FIGURES),
    samples_ms={stage: [12.0, 12.5, 13.0] for stage in STAGES},
    live=LiveRun("/dev/video0", 30.0, True, 256, "stopped"),
    dataset_accuracy=DatasetAccuracy("davis2016", ("bus", "swing"), 2, 148, 71.25, 69.0, 70.125),
)  # fmt: skip


@pytest.fixture
def fake_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put shell scripts onto the path, by the names of tools that a board has."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return make


@pytest.fixture
def clip_report() -> BenchReport:
    """A report of a drawn clip."""
    return REPORT


@pytest.fixture
def live_report() -> BenchReport:
    """A report of a camera, recorded meanwhile, with J and F."""
    return LIVE


@pytest.fixture
def clip(scene: Callable[..., tuple[Any, Any]]) -> Clip:
    """Draw two squares, one of which moves."""
    drawn = [scene((10 + 4 * step, 10), (100, 70)) for step in range(4)]
    return Clip(tuple(frame for frame, _ in drawn), drawn[0][1])


@pytest.fixture
def golden_bundle(
    tmp_path: Path, tiny_manifest: Manifest, tiny_onnx: bytes, tiny_model: LoadedModel
) -> Callable[..., Bundle]:
    """Make a bundle with a recording; a broken one's masks are not what the engine finds."""
    k = tiny_manifest.channels
    prompt = np.zeros((FRAMES, *tiny_manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 4:12, 4:12] = 1
    first = np.array([[1], [0], [0]], np.float32)
    script = Script(
        image=np.random.default_rng(0).integers(
            0, 255, (FRAMES, 3, *tiny_manifest.size), dtype=np.uint8
        ),
        prompt=prompt,
        prompted=np.eye(k, dtype=np.float32)[[1, 0, 0]] * first,
        active=np.tile(np.array([1, 1, 0, 0, 0], np.float32), (FRAMES, 1)),
        writes=np.eye(tiny_manifest.slots, dtype=np.bool_)[:FRAMES],
    )
    golden = run_script(tiny_model.runner, tiny_manifest.graph, script)
    limits = {"mask_iou": 0.99, "max_abs_error": 1e-3, "mean_abs_error": None}

    def make(*, broken: bool = False, backend: str = "onnx") -> Bundle:
        probability = golden.probability[:, ::-1].copy() if broken else golden.probability
        manifest = replace(
            tiny_manifest,
            backend=backend,
            report={"executed": True, "passed": True, "tolerance": limits},
        )
        kept = replace(golden, probability=probability).to_bytes()
        files = {"model.onnx": tiny_onnx, GOLDEN_FILE: kept}
        return write_bundle(tmp_path / f"golden-{backend}-{broken}.bundle", manifest, files)

    return make
