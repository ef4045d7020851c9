"""Measure what each part of a live run adds to the memory that the process holds.

A fresh process takes the steps one by one, as ``memory_steps`` lists them, and reads its resident
memory after each. A page that two parts share counts for the first that touches it.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.devices.cost import memory_steps
from edge_vos.devices.subject import Subject, subject_of
from edge_vos.devices.tables import markdown_table
from edge_vos.devices.telemetry.probe import DeviceInfo, probe_device
from edge_vos.errors import EngineError
from edge_vos.runtime.model import choose_engine

TIMEOUT_S = 600.0
SHORT_LIVED = "short-lived"

WHAT = {
    "interpreter": "Python itself, before any import",
    "command line": "typer, rich and the commands",
    "numpy": "import numpy",
    "OpenCV": "import cv2",
    "edge-vos": "the runtime's own modules, and what else they import",
    "engine library": "the engine's library, without a model",
    "given back": "library pages that imports alone used; the parts below bring some back",
    "weights and model": "weights, and what the engine makes of them when it loads",
    "arena": "what the engine keeps after its first call",
    "frames and the rest": f"{memory_steps.STEPS} steps on 480x640 frames: memory bank, masks",
    SHORT_LIVED: "the peak, less what is held at the end",
}
"""What each part is, in the order of the steps."""


@dataclass(frozen=True)
class MemoryPart:
    """Hold what one part adds.

    Args:
        name: of the part.
        what: it is.
        added_bytes: resident memory after the step, less that before it.
        rss_bytes: resident memory after the step.
        peak_rss_bytes: the largest that it ever was until then.
    """

    name: str
    what: str
    added_bytes: int
    rss_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class MemoryReport(Subject):
    """Hold the memory of a live run by its parts, which add up to the peak.

    Args:
        device: the machine.
        model_size_bytes: the engine's file.
        parts: in the order of the steps.
        rss_bytes: resident memory at the end.
        peak_rss_bytes: the largest that it ever was.
    """

    device: DeviceInfo
    model_size_bytes: int
    parts: tuple[MemoryPart, ...]
    rss_bytes: int
    peak_rss_bytes: int


def measure_memory(
    path: Path | None,
    engine: str | None = None,
    threads: int | None = None,
    command_line: str = "",
) -> MemoryReport:
    """Measure the memory of a live run by its parts, in a fresh process.

    Args:
        path: a bundle's folder or zip; None is the one that ships.
        engine: None is the bundle's own.
        threads: of the engine; None is its own choice.
        command_line: the module that a command of edge-vos imports first; empty leaves it out.

    Raises:
        BundleError: if the bundle is missing or broken.
        EngineError: if the engine is missing, or the process fails.
    """
    bundle = read_bundle(path or shipped_bundle_path())
    manifest = bundle.manifest
    name = choose_engine(manifest.backend, engine)[0].name
    asked = [str(bundle.path), name, "" if threads is None else str(threads), command_line]
    parts = _parts(_take_steps(asked))
    return MemoryReport(
        **vars(subject_of(bundle, name, threads)),
        device=probe_device(),
        model_size_bytes=bundle.model_bytes,
        parts=parts,
        rss_bytes=parts[-1].rss_bytes,
        peak_rss_bytes=parts[-1].peak_rss_bytes,
    )


def budget_rows(report: MemoryReport) -> list[tuple[str, ...]]:
    """Return a header, a row for each part, and the sum."""
    header = ("part", "what", "MB", "% of peak", "MB so far")
    peak = report.peak_rss_bytes
    return [
        header,
        *(
            (
                part.name,
                part.what,
                f"{part.added_bytes / 1e6:.1f}",
                f"{100 * part.added_bytes / peak:.0f}",
                f"{part.rss_bytes / 1e6:.1f}",
            )
            for part in report.parts[:-1]
        ),
        (SHORT_LIVED, WHAT[SHORT_LIVED], f"{report.parts[-1].added_bytes / 1e6:.1f}",
         f"{100 * report.parts[-1].added_bytes / peak:.0f}", ""),
        ("peak", "", f"{peak / 1e6:.1f}", "100", ""),
    ]  # fmt: skip


def summary(report: MemoryReport) -> dict[str, str]:
    """Return what was measured, ready to print, by its name."""
    return {
        "bundle": f"{report.bundle_text}, model file {report.model_size_bytes / 1e6:.1f} MB",
        "engine": f"{report.engine}, {report.threads_text}",
        "device": f"{report.device.name}, {report.device.system}",
    }


def to_markdown(report: MemoryReport) -> str:
    """Return the report as two Markdown tables."""
    budget = markdown_table(budget_rows(report), figures_from=2)
    return f"{budget}\n{markdown_table([('', ''), *summary(report).items()])}"


def _take_steps(arguments: list[str]) -> list[tuple[str, int, int]]:
    """Return the name of each step, and resident memory and its peak after it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", memory_steps.__name__, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            timeout=TIMEOUT_S, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EngineError(f"The steps were not done after {TIMEOUT_S:g} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EngineError(
            f"The process that takes the steps failed: {last}",
            "a bundle that runs here",
            "edge-vos verify BUNDLE",
        )
    rows: list[tuple[str, int, int]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows


def _parts(rows: list[tuple[str, int, int]]) -> tuple[MemoryPart, ...]:
    found, before = [], 0
    for name, rss, peak in rows:
        found.append(MemoryPart(name, WHAT[name], rss - before, rss, peak))
        before = rss
    peak = found[-1].peak_rss_bytes
    found.append(MemoryPart(SHORT_LIVED, WHAT[SHORT_LIVED], peak - before, before, peak))
    return tuple(found)
