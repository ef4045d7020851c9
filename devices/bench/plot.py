"""Draw a benchmark: latency over time, its histogram, the stages' shares, memory over time.

Drawn with OpenCV, which the base install has, in the palette of Okabe and Ito (2008).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.report import BenchReport
from edge_vos.errors import SinkError

PANEL_HW = (330, 620)
HEADER = 56
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 40
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (167, 121, 204), (0, 94, 213),
            (233, 180, 86), (66, 228, 240))  # fmt: skip
"""BGR, one for each stage."""
_SPANS = ("display", "interval")
"""What reaches over several stages, and is none itself."""
_TICKS = 5
_COLUMNS = 60  # of the histogram
_POINTS = 2_000  # of the curve; of a longer series the largest of each stretch

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]


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
    head = np.full((HEADER, body.shape[1], 3), 255, np.uint8)
    height, width = report.size
    _write(
        head, f"{report.bundle} {height}x{width} {report.precision}, {report.objects} objects, "
        f"{report.engine} {report.engine_version}: {report.fps:.1f} FPS", (20, 24), 0.6
    )  # fmt: skip
    _write(head, f"{report.device.name}, {report.measured_at}", (20, 46), 0.45)
    done, encoded = cv2.imencode(".png", np.vstack([head, body]))
    if not done:
        raise SinkError("OpenCV could not encode the picture", "a PNG file")
    return encoded.tobytes()


def _latency(whole_ms: Floats, lasts_ms: Floats) -> Image:
    at_s = np.cumsum(lasts_ms) / 1e3
    stretch = max(1, -(-len(whole_ms) // _POINTS))
    starts = np.arange(0, len(whole_ms), stretch)
    highest = np.maximum.reduceat(whole_ms, starts)
    panel = _panel("latency of a whole step, ms, over seconds")
    _axes(panel, float(at_s[-1]), float(highest.max()))
    _curve(panel, at_s[starts], highest, float(at_s[-1]), float(highest.max()), _COLOURS[0])
    return panel


def _histogram(whole_ms: Floats, figures: dict[str, float]) -> Image:
    highest = figures["p99"] * 1.1
    counts, edges = np.histogram(whole_ms, _COLUMNS, (0.0, highest))
    panel = _panel("steps by latency, ms (beyond 1.1 x p99 left out)")
    top = float(max(1, counts.max()))
    _axes(panel, highest, top)
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        corners = _place(np.array([left, right]), np.array([count, 0.0]), highest, top)
        cv2.rectangle(panel, corners[0].tolist(), corners[1].tolist(), _COLOURS[1], cv2.FILLED)
    for colour, name in zip(
        (_COLOURS[2], _COLOURS[3], _COLOURS[4]), ("p50", "p90", "p99"), strict=True
    ):
        line = _place(np.full(2, figures[name]), np.array([0.0, top]), highest, top)
        cv2.line(panel, line[0].tolist(), line[1].tolist(), colour, 2)
        _write(panel, name, (int(line[1][0]) - 14, _TOP - 4), 0.4, colour)
    return panel


def _stages(report: BenchReport) -> Image:
    panel = _panel("mean of a step by stage, ms")
    means = {
        stage: float(np.mean(ms)) for stage, ms in report.samples_ms.items() if stage not in _SPANS
    }
    whole = means.pop("end_to_end")
    means["rest"] = max(0.0, whole - sum(means.values()))
    top = max(whole, sum(means.values())) or 1.0
    left, span = _LEFT, PANEL_HW[1] - _LEFT - _RIGHT
    for row, (colour, (stage, mean)) in enumerate(zip(_COLOURS, means.items(), strict=False)):
        right = left + round(span * mean / top)
        cv2.rectangle(panel, (left, _TOP + 10), (right, _TOP + 70), colour, cv2.FILLED)
        text_y = _TOP + 100 + 26 * row
        cv2.rectangle(panel, (_LEFT, text_y - 14), (_LEFT + 16, text_y + 2), colour, cv2.FILLED)
        _write(
            panel, f"{stage}: {mean:.2f} ms ({100 * mean / top:.0f} %)", (_LEFT + 28, text_y), 0.5
        )
        left = right
    return panel


def _memory(report: BenchReport) -> Image:
    at_s = np.array([moment.at_s for moment in report.machine_samples])
    mb = np.array([moment.rss_bytes / 1e6 for moment in report.machine_samples])
    last, top = float(at_s[-1]), float(mb.max()) * 1.1
    panel = _panel("resident memory, MB, over seconds")
    _axes(panel, last, top)
    _curve(panel, at_s, mb, last, top, _COLOURS[2])
    return panel


def _panel(title: str) -> Image:
    panel = np.full((*PANEL_HW, 3), 255, np.uint8)
    _write(panel, title, (_LEFT, 20), 0.5)
    return panel


def _axes(panel: Image, right: float, top: float) -> None:
    for tick in np.linspace(0, 1, _TICKS):
        (start, end) = _place(np.array([0, right]), np.full(2, tick * top), right, top)
        cv2.line(panel, start.tolist(), end.tolist(), _GRID, 1)
        _write(panel, f"{tick * top:.4g}", (8, int(start[1]) + 4), 0.4)
        (foot,) = _place(np.array([tick * right]), np.zeros(1), right, top)
        _write(panel, f"{tick * right:.3g}", (int(foot[0]) - 10, PANEL_HW[0] - _BOTTOM + 20), 0.4)


def _curve(
    panel: Image, x: Floats, y: Floats, right: float, top: float, colour: Sequence[int]
) -> None:
    points = _place(x, y, right, top)
    cv2.polylines(panel, [points.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)


def _place(x: Floats, y: Floats, right: float, top: float) -> NDArray[np.int32]:
    """Return (n, 2) int32 pixels (x, y) of figures in [0, right] and [0, top]."""
    height, width = PANEL_HW
    across = _LEFT + x / (right or 1.0) * (width - _LEFT - _RIGHT)
    down = height - _BOTTOM - y / (top or 1.0) * (height - _TOP - _BOTTOM)
    return np.stack([across, down], axis=1).round().astype(np.int32)


def _write(
    panel: Image, text: str, at_xy: tuple[int, int], scale: float, colour: Sequence[int] = _INK
) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(panel, plain, at_xy, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
