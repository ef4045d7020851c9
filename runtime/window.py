"""Show results in a window and let the user prompt in it."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.drawing import Painter, draw_label, text_scale
from edge_vos.runtime.frame import Frame
from edge_vos.runtime.masks import davis_palette
from edge_vos.runtime.output import Sink
from edge_vos.runtime.segmenter import FrameResult, Segmenter

TITLE = "edge-vos"
HELP = (
    "drag: box around an object",
    "click: point on an object",
    "n: next object id",
    "r: forget all objects",
    "space: pause, go on",
    "s: save this picture",
    "h: show or hide this",
    "q: quit",
)
_LEAST_DRAG_PX = 5  # less is a click
_QUIT_KEYS = (ord("q"), 27)
_PLATE = (50, 50, 50)


class Window(Sink):
    """Show the overlay; keys and mouse act on the run through its controls.

    Everything here belongs to one thread: the one that made it.

    Args:
        size: height and width of the frames.
        controls: what keys and mouse act on.
        painter: draws the overlay.
        snapshots: the folder for saved pictures.

    Raises:
        SinkError: if OpenCV can open no window.
    """

    def __init__(
        self, size: tuple[int, int], controls: Controls, painter: Painter, snapshots: Path = Path()
    ) -> None:
        self.uri = "window"
        self._controls = controls
        self._painter = painter
        self._snapshots = snapshots
        self._picture: NDArray[np.uint8] | None = None
        self._objects: tuple[int, ...] = ()
        self._object_id = 1
        self._drag_xyxy: tuple[int, int, int, int] | None = None
        self._help = False
        self._open = True
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
        self._picture = self._painter.paint(frame, result)
        self._objects = tuple(state.id for state in result.objects)
        self.pump()

    def pump(self) -> None:
        """Redraw, and act on the keys that were pressed; call it while no frames come."""
        if not self._open:
            return
        if self._picture is not None:
            cv2.imshow(TITLE, self._compose(self._picture))
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
        if key in _QUIT_KEYS:
            self._controls.stop.set()
        elif key == ord(" "):
            paused = self._controls.paused
            paused.clear() if paused.is_set() else paused.set()
        elif key == ord("r"):
            self._object_id = 1
            self._controls.requests.put(Segmenter.reset)
        elif key == ord("n"):
            self._object_id = self._object_id % self._controls.objects + 1
        elif key == ord("h"):
            self._help = not self._help
        elif key == ord("s"):
            self._save()

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        if event == cv2.EVENT_LBUTTONDOWN:
            self._drag_xyxy = (x, y, x, y)
        elif self._drag_xyxy is not None:
            self._drag_xyxy = (*self._drag_xyxy[:2], x, y)
            if event == cv2.EVENT_LBUTTONUP:
                self._prompt(self._drag_xyxy)
                self._drag_xyxy = None
            elif not flags & cv2.EVENT_FLAG_LBUTTON:  # released outside the window
                self._drag_xyxy = None

    def _prompt(self, drag_xyxy: tuple[int, int, int, int]) -> None:
        x0, y0, x1, y1 = drag_xyxy
        left, top, width, height = min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
        object_id = self._object_id
        self._controls.say("")
        if max(width, height) < _LEAST_DRAG_PX:
            self._controls.requests.put(lambda s: s.prompt_point((x1, y1), object_id))
        else:
            box = (left, top, width, height)
            self._controls.requests.put(lambda s: s.prompt_box(box, object_id))

    def _save(self) -> None:
        if self._picture is None:
            return
        number = 0
        while (path := self._snapshots / f"edge-vos-{number:03d}.png").exists():
            number += 1
        saved = cv2.imwrite(str(path), self._picture)
        self._controls.say(f"saved {path}" if saved else f"cannot write {path}")

    def _compose(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw what only the window shows: the drag, the current object, help and messages."""
        shown = picture.copy()
        scale = text_scale(shown)
        line_height = round(36 * scale)
        colour = davis_palette()[self._object_id, ::-1].tolist()
        if self._drag_xyxy is not None:
            x0, y0, x1, y1 = self._drag_xyxy
            cv2.rectangle(shown, (x0, y0), (x1, y1), colour, max(1, round(2 * scale)))
        lines = [self._status(), self._controls.message, *(HELP if self._help else ())]
        row = 0
        for line, plate in zip(lines, [colour, *[_PLATE] * (len(lines) - 1)], strict=True):
            if line:
                row = draw_label(shown, line, (0, row + line_height), scale, plate)
        return shown

    def _status(self) -> str:
        what = "" if self._objects else "drag a box around "
        status = f"{what}object {self._object_id}; h for help"
        return f"paused; {status}; space to go on" if self._controls.paused.is_set() else status
