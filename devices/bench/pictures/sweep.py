"""Draw a sweep: J&F against the milliseconds of a whole step, a colour for each engine."""

import cv2
import numpy as np

from edge_vos.devices.bench.pictures.canvas import (
    COLOURS,
    Floats,
    Panel,
    encode_png,
    write,
)
from edge_vos.devices.bench.sweep import SweepReport, SweepRow
from edge_vos.errors import SinkError

PICTURE_HW = (520, 860)
_MARGIN = 0.15  # of the span, on each side
_NAMES_LEFT, _NAMES_TOP = 660, 400  # of the engines' names, where curves seldom are
_LINE_PX = 18


def draw_sweep(sweep: SweepReport) -> bytes:
    """Return a picture of the rows that have both an accuracy and a latency, as a PNG file.

    Raises:
        SinkError: if no row has both, or OpenCV cannot encode it.
    """
    points = [
        (row, row.step_p50_ms, row.j_and_f)
        for row in sweep.rows
        if row.step_p50_ms is not None and row.j_and_f is not None
    ]
    if not points:
        raise SinkError("No row has both J&F and a latency", "at least one", "Add --davis DIR")
    ms, scores = (np.array([point[place] for point in points]) for place in (1, 2))
    title = f"J&F ({sweep.dataset}) against ms of a whole step, {sweep.device}"
    panel = Panel(PICTURE_HW, title, (0.0, float(ms.max()) * (1 + _MARGIN)), _span(scores))
    panel.draw_axes()
    engines = sorted({row.engine for row, _, _ in points})
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(engines)}
    for place, name in enumerate(engines):
        of_engine = np.array([row.engine == name for row, _, _ in points])
        order = np.argsort(ms[of_engine])
        panel.draw_curve(ms[of_engine][order], scores[of_engine][order], colours[name])
        write(panel.image, name, (_NAMES_LEFT, _NAMES_TOP + _LINE_PX * place), 0.5, colours[name])
    for (row, _, _), (x, y) in zip(points, panel.place(ms, scores).tolist(), strict=True):
        cv2.circle(panel.image, (x, y), 5, colours[row.engine], cv2.FILLED, cv2.LINE_AA)
        below = _LINE_PX * engines.index(row.engine)  # engines' points may lie side by side
        write(panel.image, _name(row), (x + 8, y - 8 + below), 0.42)
    return encode_png(panel.image)


def _span(scores: Floats) -> tuple[float, float]:
    low, high = float(scores.min()), float(scores.max())
    margin = max(1.0, _MARGIN * (high - low))
    return low - margin, high + margin


def _name(row: SweepRow) -> str:
    size = row.size_name or "x".join(map(str, row.size or ()))
    return f"{size} {row.precision}"
