"""Draw a benchmark: latency over time, its histogram, the stages' shares, memory over time."""

import cv2
import numpy as np

from edge_vos.devices.bench.pictures.canvas import (
    COLOURS,
    LEFT,
    RIGHT,
    TOP,
    Floats,
    Image,
    Panel,
    encode_png,
    write,
)
from edge_vos.devices.bench.report import BenchReport

PANEL_HW = (330, 620)
HEADER = 56
_SPANS = ("display", "interval")
"""What reaches over several stages, and is none itself."""
_COLUMNS = 60  # of the histogram
_POINTS = 2_000  # of the curve; of a longer series the largest of each stretch


def draw_report(report: BenchReport) -> bytes:
    """Return a picture of a report as a PNG file.

    Raises:
        SinkError: if OpenCV cannot encode it.
    """
    whole_ms = np.asarray(report.samples_ms["end_to_end"], np.float64)
    panels = [
        _latency(whole_ms, np.asarray(report.samples_ms.get("interval", whole_ms), np.float64)),
        _histogram(whole_ms, report.latency_ms["end_to_end"]),
        _stages(report),
        _memory(report),
    ]
    body = np.vstack([np.hstack(panels[:2]), np.hstack(panels[2:])])
    head: Image = np.full((HEADER, body.shape[1], 3), 255, np.uint8)
    height, width = report.size
    write(
        head, f"{report.bundle} {height}x{width} {report.precision}, {report.objects} objects, "
        f"{report.engine} {report.engine_version}: {report.fps:.1f} FPS", (20, 24), 0.6
    )  # fmt: skip
    write(head, f"{report.device.name}, {report.measured_at}", (20, 46), 0.45)
    return encode_png(np.vstack([head, body]))


def _latency(whole_ms: Floats, lasts_ms: Floats) -> Image:
    at_s = np.cumsum(lasts_ms) / 1e3
    stretch = max(1, -(-len(whole_ms) // _POINTS))
    starts = np.arange(0, len(whole_ms), stretch)
    highest = np.maximum.reduceat(whole_ms, starts)
    spans = (0.0, float(at_s[-1])), (0.0, float(highest.max()))
    panel = Panel(PANEL_HW, "latency of a whole step, ms, over seconds", *spans)
    panel.draw_axes()
    panel.draw_curve(at_s[starts], highest, COLOURS[0])
    return panel.image


def _histogram(whole_ms: Floats, figures: dict[str, float]) -> Image:
    highest = figures["p99"] * 1.1
    counts, edges = np.histogram(whole_ms, _COLUMNS, (0.0, highest))
    top = float(max(1, counts.max()))
    title = "steps by latency, ms (beyond 1.1 x p99 left out)"
    panel = Panel(PANEL_HW, title, (0.0, highest), (0.0, top))
    panel.draw_axes()
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        start, end = panel.place(np.array([left, right]), np.array([count, 0.0]))
        cv2.rectangle(panel.image, start.tolist(), end.tolist(), COLOURS[1], cv2.FILLED)
    for colour, name in zip(COLOURS[2:5], ("p50", "p90", "p99"), strict=True):
        start, end = panel.place(np.full(2, figures[name]), np.array([0.0, top]))
        cv2.line(panel.image, start.tolist(), end.tolist(), colour, 2)
        write(panel.image, name, (int(end[0]) - 14, TOP - 4), 0.4, colour)
    return panel.image


def _stages(report: BenchReport) -> Image:
    panel = Panel(PANEL_HW, "mean of a step by stage, ms", (0.0, 1.0), (0.0, 1.0)).image
    means = {
        stage: float(np.mean(ms)) for stage, ms in report.samples_ms.items() if stage not in _SPANS
    }
    whole = means.pop("end_to_end")
    means["rest"] = max(0.0, whole - sum(means.values()))
    top = max(whole, sum(means.values())) or 1.0
    left, span = LEFT, PANEL_HW[1] - LEFT - RIGHT
    for row, (colour, (stage, mean)) in enumerate(zip(COLOURS, means.items(), strict=False)):
        right = left + round(span * mean / top)
        cv2.rectangle(panel, (left, TOP + 10), (right, TOP + 70), colour, cv2.FILLED)
        text_y = TOP + 100 + 26 * row
        cv2.rectangle(panel, (LEFT, text_y - 14), (LEFT + 16, text_y + 2), colour, cv2.FILLED)
        text = f"{stage}: {mean:.2f} ms ({100 * mean / top:.0f} %)"
        write(panel, text, (LEFT + 28, text_y), 0.5)
        left = right
    return panel


def _memory(report: BenchReport) -> Image:
    at_s = np.array([moment.at_s for moment in report.machine_samples])
    mb = np.array([moment.rss_bytes / 1e6 for moment in report.machine_samples])
    spans = (0.0, float(at_s[-1])), (0.0, float(mb.max()) * 1.1)
    panel = Panel(PANEL_HW, "resident memory, MB, over seconds", *spans)
    panel.draw_axes()
    panel.draw_curve(at_s, mb, COLOURS[2])
    return panel.image
