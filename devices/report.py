"""Hold what a benchmark measured, and say it as JSON, as rows of a table and as Markdown."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_vos.devices.probe import DeviceInfo
from edge_vos.errors import SinkError

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
            mask out.
        load_ms: time to check the bundle and load it into the engine.
        first_inference_ms: the engine's first call.
        model_size_bytes: the engine's file.
        memory: of the process.
        foreign_cpu_percent: share of all cores' time that other processes took meanwhile, 0-100;
            None where that is not known.
        warnings: what makes these figures untrustworthy.
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
    foreign_cpu_percent: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """Return one JSON document, the fields of this record by their names."""
        return json.dumps(asdict(self), indent=2) + "\n"

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
        foreign = self.foreign_cpu_percent
        return {
            "FPS": f"{self.fps:.1f} at the wall clock ({self.samples} steps, "
            f"{self.duration_s:.1f} s, after {self.warmup} to warm up)",
            "bundle": f"{self.bundle} ({self.bundle_sha256[:12]}), {self.precision}, "
            f"{self.sampler} sampler, {_by(self.size)}",
            "engine": f"{self.engine} {self.engine_version}, {_threads(self.threads)}",
            "objects": f"{self.objects}, frames {_by(self.frame_size)}",
            "load": f"{self.load_ms:.0f} ms, first inference {self.first_inference_ms:.0f} ms",
            "memory": f"peak {_mb(self.memory.peak_rss_bytes)}, "
            f"net {_mb(self.memory.net_rss_bytes)}; model file {_mb(self.model_size_bytes)}",
            "device": f"{device.name}, {device.cores} cores, {device.memory_bytes / 1e9:.0f} GB, "
            f"{device.system} {device.machine}",
            "others' CPU": "not known" if foreign is None else f"{foreign:.1f} %",
        }

    def to_markdown(self) -> str:
        """Return the report as two Markdown tables, warnings above them."""
        header, *rows = self.latency_rows()
        lines = [f"> **Warning:** {warning}\n" for warning in self.warnings]
        lines += [_row(header), _row(("---", *["---:"] * len(_FIGURES))), *map(_row, rows), ""]
        lines += [_row(("", "")), _row(("---", "---")), *map(_row, self.facts().items()), ""]
        return "\n".join(lines)


def refuse_report_path(path: Path) -> None:
    """Refuse a path that a report cannot be written to, before anything is measured.

    Raises:
        SinkError: if it exists, does not end in .json or .md, or lies in no folder.
    """
    if path.suffix not in (".json", ".md"):
        raise SinkError(f"{path} is no report", "a name that ends in .json or .md", "Rename -o")
    if path.exists():
        raise SinkError(f"{path} exists", "a new path", "Name another with -o")
    if not path.parent.is_dir():
        raise SinkError(f"{path.parent} is no folder", "a folder", f"mkdir -p {path.parent}")


def write_report(report: BenchReport, path: Path) -> None:
    """Write a report in one step, as JSON or, with the ending .md, as Markdown.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    refuse_report_path(path)
    text = report.to_markdown() if path.suffix == ".md" else report.to_json()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}",
            "a folder that can be written",
            "Name another with -o",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _threads(threads: int | None) -> str:
    if threads is None:
        return "its own choice of threads"
    return f"{threads} thread" if threads == 1 else f"{threads} threads"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
