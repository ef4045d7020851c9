"""What `segment` and `live` tell at the end: latencies, memory, and J where the truth is known."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_vos.cli.video.session import SessionRequest
    from edge_vos.runtime.model import LoadedModel
    from edge_vos.runtime.pipeline import RunReport
    from edge_vos.runtime.segmenter import FrameResult
    from edge_vos.runtime.sinks.output import Sink
    from edge_vos.runtime.sources.frame import Frame

SETTLED_FRAMES = 500


class Watch:
    """Look at each result as it comes: memory of the process, and J where the truth is known.

    Attributes:
        rss_bytes: at frame 500, by which everything was used once, and at the last frame.
    """

    def __init__(self) -> None:
        self.rss_bytes: dict[str, int | None] = {str(SETTLED_FRAMES): None, "end": None}
        self._frames = 0
        self._j_sum = 0.0
        self._j_count = 0

    @property
    def j(self) -> float | None:
        """Return the mean J over objects and frames after the first, 0-100."""
        return 100 * self._j_sum / self._j_count if self._j_count else None

    def __call__(self, frame: "Frame", result: "FrameResult") -> None:
        """Look at one frame's result."""
        from edge_vos.devices.telemetry.memory import rss_bytes

        self._frames += 1
        self.rss_bytes["end"] = rss_bytes()
        if self._frames == SETTLED_FRAMES:
            self.rss_bytes[str(SETTLED_FRAMES)] = self.rss_bytes["end"]
        if frame.truth is not None and self._frames > 1:
            self._score(result, frame.truth)

    def _score(self, result: "FrameResult", truth: "NDArray[np.uint8]") -> None:
        from edge_vos.runtime.masks import jaccard

        for state in result.objects:
            self._j_sum += jaccard(result.mask == state.id, truth == state.id)
            self._j_count += 1


def print_report(
    request: "SessionRequest",
    report: "RunReport",
    sinks: "Sequence[Sink]",
    watch: Watch,
    model: "LoadedModel",
    size_reason: str,
    assumed: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print what a run did, as a table for people or as one JSON document.

    Args:
        request: what was asked for.
        report: of the run.
        sinks: that took the results.
        watch: what was seen meanwhile.
        model: that did it.
        size_reason: why it has that size.
        assumed: what was taken for granted in reading masks.
        notes: what was said of the run, beside what the sinks say of how they write.
    """
    from edge_vos.devices.telemetry.memory import peak_rss_bytes

    document: dict[str, Any] = {
        "frames": report.frames,
        "dropped": report.dropped,
        "fps": round(report.fps, 3),
        "objects": len(report.object_ids),
        "object_ids": list(report.object_ids),
        "outputs": [file for sink in sinks for file in sink.files],
        "notes": [
            *(note for sink in sinks for note in getattr(sink, "notes", ())),
            *notes,
        ],
        "ended": report.ended,
        "assumed": list(assumed),
        "refused": list(report.refused),
        "j": watch.j,
        "latency_ms": report.latency_ms,
        "peak_rss_bytes": peak_rss_bytes(),
        "rss_bytes": watch.rss_bytes,
        "engine": model.engine,
        "engine_version": model.engine_version,
        "engine_reason": model.engine_reason,
        "precision": model.manifest.precision,
        "size": list(model.manifest.size),
        "size_reason": size_reason,
    }
    if request.options.json_output:
        print(json.dumps(document))
        return
    _print_table(document, request.live)
    if not request.outputs:
        print("Nothing was written: add `-o overlay.mkv` or `-o masks/`.", file=sys.stderr)


def _print_table(document: dict[str, Any], live: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="latency, ms", title_justify="left")
    table.add_column("stage")
    for column in ("p50", "p90", "p99", "max"):
        table.add_column(column, justify="right")
    for stage, values in document["latency_ms"].items():
        table.add_row(stage, *(f"{value:.2f}" for value in values.values()))
    if document["latency_ms"]:
        console.print(table)
    facts = [f"{document['frames']} frames", f"{document['fps']:.1f} frames/s"]
    if live:
        facts.append(f"{document['dropped']} dropped")
    facts.append(f"{document['objects']} objects")
    if document["j"] is not None:
        facts.append(f"mean J {document['j']:.1f} %")
    if document["peak_rss_bytes"] is not None:
        facts.append(f"peak memory {document['peak_rss_bytes'] / 1e6:.0f} MB")
    if document["ended"] == "stopped":
        facts.append("stopped")
    console.print(", ".join(facts), highlight=False, soft_wrap=True)
    height, width = document["size"]
    engine = f"{document['engine']} {document['engine_version']}, {document['engine_reason']}"
    network = f"{document['precision']} at {height}x{width} ({document['size_reason']})"
    console.print(f"{engine}; {network}", highlight=False, soft_wrap=True)
    for uri in document["outputs"]:
        console.print(f"wrote {uri}", highlight=False, soft_wrap=True)
