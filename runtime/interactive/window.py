"""Show results in a window and let the user prompt in it."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.interaction import ACCEPT, Interaction
from edge_vos.runtime.interactive.prompt_draft import Stroke
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import (
    FONT,
    PLATE,
    Painter,
    caption,
    darken,
    draw_label,
    text_scale,
    wrapped,
)
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame

TITLE = "edge-vos"
HELP = (
    "drag: box around an object",
    "click: point on an object",
    "right click: point beside it",
    "b: brush (left adds, right takes away); [ ]: its size",
    "Enter: follow it, Esc: leave it",
    "u: undo",
    "n: next object id",
    "d: drop the object under the pointer",
    "r: forget all objects",
    "space: pause, go on",
    "v: record, stop recording",
    "s: save this picture",
    "i: show or hide the figures",
    "h: show or hide this",
    "q: quit",
)
_LEAST_DRAG_PX = 5  # less is a click
_BRUSH_STEP = 1.25
_LARGEST_BRUSH_PX = 500
_ESCAPE = 27
_RED = (40, 40, 230)


class Window(Sink):
    """Show the overlay; keys and mouse act on the run.

    Everything here belongs to one thread: the one that made it.

    Args:
        size: height and width of the frames.
        interaction: what keys and mouse do.
        painter: draws the overlay.

    Raises:
        SinkError: if OpenCV can open no window.
    """

    shows = True

    def __init__(self, size: tuple[int, int], interaction: Interaction, painter: Painter) -> None:
        self.uri = "window"
        self._interaction = interaction
        self._controls = interaction.controls
        self._painter = painter
        self._frame: tuple[Frame, FrameResult] | None = None
        self._canvas = np.empty((0, 0, 3), np.uint8)
        self._drag_xyxy: tuple[int, int, int, int] | None = None
        self._pointer_xy = (-1, -1)
        self._radius_px = max(size[0] // 30, 2)
        self._brushes = False
        self._stroke: Stroke | None = None
        self._help, self._figures = False, True
        self._open = True
        self._keys: dict[str, Callable[[], object]] = {
            "q": self._controls.stop.set,
            "\r": interaction.accept,
            "\n": interaction.accept,
            "u": interaction.undo,
            "n": interaction.choose_next,
            "d": lambda: interaction.drop_under(self._pointer_xy),
            "r": interaction.reset,
            " ": interaction.pause,
            "v": interaction.record,
            "s": interaction.snapshot,
            "b": self._switch_brush,
            "[": lambda: self._resize_brush(1 / _BRUSH_STEP),
            "]": lambda: self._resize_brush(_BRUSH_STEP),
        }
        try:
            # Plain: Qt's toolbar would take the space that the picture needs.
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(TITLE, size[1], size[0])
            cv2.setMouseCallback(TITLE, self._on_mouse)
        except cv2.error as error:
            raise SinkError(
                "OpenCV can open no window here",
                "opencv-python, not opencv-python-headless, and a desktop session",
                "Run it with --headless, and record with `--record clip.mkv`",
            ) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Show one frame and act on the keys that were pressed."""
        self._frame = (frame, result)
        self._interaction.see(frame, result)
        self.pump()

    def pump(self) -> None:
        """Redraw, and act on the keys that were pressed; call it while no frames come."""
        if not self._open:
            return
        if self._frame is not None:
            cv2.imshow(TITLE, self._compose(*self._frame))
        key = cv2.pollKey() & 0xFF
        if key != 0xFF:
            self._on_key(key)
        if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:  # its own close button
            self._controls.stop.set()

    def close(self) -> None:
        """Close the window; closing twice does nothing."""
        if self._open:
            self._open = False
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1:
                cv2.destroyWindow(TITLE)

    def _on_key(self, key: int) -> None:
        letter = chr(key)
        if key == _ESCAPE:
            leave = self._interaction.draft is not None
            self._interaction.cancel() if leave else self._controls.stop.set()
        elif letter == "h":
            self._help = not self._help
        elif letter == "i":
            self._figures = not self._figures
        elif letter in self._keys:
            self._keys[letter]()

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        self._pointer_xy = (x, y)
        if self._brushes:
            self._on_brush(event, (x, y), flags)
        elif event == cv2.EVENT_LBUTTONDOWN:
            self._drag_xyxy = (x, y, x, y)
        elif event == cv2.EVENT_RBUTTONDOWN:
            self._interaction.click((x, y), positive=False)
        elif self._drag_xyxy is not None:
            self._drag_xyxy = (*self._drag_xyxy[:2], x, y)
            box_xywh = _box(self._drag_xyxy)
            is_click = max(box_xywh[2:]) < _LEAST_DRAG_PX
            if event == cv2.EVENT_LBUTTONUP:
                self._drag_xyxy = None
                if is_click:
                    self._interaction.drag(None)
                    self._interaction.click((x, y))
                else:
                    self._interaction.box(box_xywh)
            elif not flags & cv2.EVENT_FLAG_LBUTTON:  # released outside the window
                self._drag_xyxy = None
                self._interaction.drag(None)
            elif not is_click:
                self._interaction.drag(box_xywh)

    def _on_brush(self, event: int, xy: tuple[int, int], flags: int) -> None:
        stroke = self._stroke
        if event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_RBUTTONDOWN):
            self._stroke = Stroke((xy,), self._radius_px, event == cv2.EVENT_LBUTTONDOWN)
            self._interaction.drag(self._stroke)
        elif stroke is not None:
            self._stroke = replace(stroke, points=(*stroke.points, xy))
            if event in (cv2.EVENT_LBUTTONUP, cv2.EVENT_RBUTTONUP):
                self._interaction.paint(self._stroke)
                self._stroke = None
            elif not flags & (cv2.EVENT_FLAG_LBUTTON | cv2.EVENT_FLAG_RBUTTON):
                self._stroke = None  # released outside the window
                self._interaction.drag(None)
            else:
                self._interaction.drag(self._stroke)

    def _switch_brush(self) -> None:
        self._brushes = not self._brushes
        self._drag_xyxy = self._stroke = None
        self._interaction.drag(None)

    def _resize_brush(self, factor: float) -> None:
        self._radius_px = min(max(round(self._radius_px * factor), 1), _LARGEST_BRUSH_PX)

    def _compose(self, frame: Frame, result: FrameResult) -> NDArray[np.uint8]:
        """Draw what only the window shows: the drag, the figures, help and messages."""
        draft = self._interaction.draft
        picture = draft.picture if draft is not None else self._painter.paint(frame, result)
        if self._canvas.shape != picture.shape:
            self._canvas = np.empty_like(picture)
        canvas = self._canvas
        np.copyto(canvas, picture)
        scale = text_scale(canvas)
        object_id = draft.object_id if draft is not None else self._interaction.object_id
        colour = self._painter.colours[object_id or 0]
        if self._drag_xyxy is not None:
            x0, y0, x1, y1 = self._drag_xyxy
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, max(1, round(2 * scale)))
        if self._brushes:
            cv2.circle(canvas, self._pointer_xy, self._radius_px, (255, 255, 255), 1, cv2.LINE_AA)
        if self._figures:
            _panel(canvas, self._figure_lines(result), scale)
        if self._interaction.recording.is_set():
            radius = max(4, round(14 * scale))
            cv2.circle(canvas, (canvas.shape[1] - 2 * radius, 2 * radius), radius, _RED, -1)
        message = wrapped(self._controls.message, scale, canvas.shape[1])
        lines = [*message, *(HELP if self._help else ())]
        bottom = canvas.shape[0]
        for line, plate in [(self._status(), colour), *((line, PLATE) for line in lines[::-1])]:
            if line:
                draw_label(canvas, line, (0, bottom), scale, plate)
                bottom -= round(36 * scale)
        return canvas

    def _figure_lines(self, result: FrameResult) -> list[str]:
        stats = self._controls.stats
        stages = stats.stages_ms.items()
        lost = sum(state.lost for state in result.objects)
        return [
            f"{stats.fps:.1f} FPS   {stats.latency_ms:.0f} ms from camera to screen",
            "   ".join(f"{stage} {value_ms:.1f}" for stage, value_ms in stages) + " ms",
            f"{len(result.objects)} objects, {lost} lost   {stats.dropped} dropped   "
            f"{self._controls.about}",
            *(
                f"{caption(state)}   {'lost' if state.lost else f'{state.confidence:.0%}'}"
                for state in result.objects
                if state.name
            ),
        ]

    def _status(self) -> str:
        if self._brushes:
            return f"brush of {2 * self._radius_px} pixels; [ ]: its size; b: boxes and clicks"
        if self._interaction.draft is not None:
            return ACCEPT
        object_id = self._interaction.object_id
        what = "" if self._interaction.living else "drag a box around "
        status = f"{what}object {object_id}; h for help" if object_id else "h for help"
        return f"paused; {status}; space to go on" if self._controls.paused.is_set() else status


def _box(drag_xyxy: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = drag_xyxy
    return min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)


def _panel(canvas: NDArray[np.uint8], lines: list[str], scale: float) -> None:
    """Write lines on a dark plate in the upper left corner."""
    scale *= 0.8
    thickness, step = max(1, round(1.6 * scale)), round(38 * scale)
    width = max(cv2.getTextSize(line, FONT, scale, thickness)[0][0] for line in lines)
    darken(canvas[: step * len(lines) + step // 2, : width + step])
    for row, line in enumerate(lines, start=1):
        origin = (step // 2, row * step)
        cv2.putText(canvas, line, origin, FONT, scale, (235, 235, 235), thickness, cv2.LINE_AA)
