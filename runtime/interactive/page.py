"""Show results on a page in the browser, where the user can prompt as in the window.

Only who has the address with its token sees or does anything. Viewers get the newest picture that
their connection can take: a slow one misses pictures and never holds up the run.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.page_server import PageServer
from edge_vos.runtime.interactive.prompt_draft import Stroke
from edge_vos.runtime.prompts.checks import MOST_PX
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame

_QUALITY = 80
_MOST_VIEWERS = 8
_LARGEST_BRUSH_PX = 500
_PROBE_S = 0.5  # how often it is seen whether a viewer without news is still there
_REPEAT_S = 5.0  # and how often it gets the same picture again: one that vanished takes none


class Page(Sink):
    """Serve the overlay as MJPEG, the figures as JSON, and take prompts.

    Args:
        host: address to listen on.
        port: 0 is any free one.
        interaction: what clicks and buttons do.
        painter: draws the overlay.

    Attributes:
        url: with the token, for the browser.

    Raises:
        SinkError: if the port cannot be listened on.
    """

    shows = True

    def __init__(self, host: str, port: int, interaction: Interaction, painter: Painter) -> None:
        self.uri = "page"
        self.token = secrets.token_urlsafe(16)
        self.interaction = interaction
        self._painter = painter
        self._last: tuple[Frame, FrameResult] | None = None
        self._encoded: NDArray[np.uint8] | FrameResult | None = None  # what the JPEG shows
        self._jpeg = b""
        self._serial = 0
        self._viewers = 0
        self._changed = threading.Condition()
        self._closed = False
        try:
            self._server = PageServer((host, port), self)
        except (OSError, OverflowError) as error:
            raise SinkError(
                f"The page cannot be served at {host}:{port} ({error})",
                "an address of this machine and a free port",
                "Add `--port 0` for any free port",
            ) from error
        self.url = f"http://{host}:{self._server.server_port}/?token={self.token}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="edge-vos-page", daemon=True
        )
        self._thread.start()

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Show one frame to those who watch."""
        self._last = (frame, result)
        self.interaction.see(frame, result)
        self.pump()

    def pump(self) -> None:
        """Show what changed, such as a prompt in the making."""
        if self._last is None or not self._viewers:
            return
        draft = self.interaction.draft
        shown = draft.picture if draft is not None else self._last[1]
        if shown is self._encoded:
            return
        picture = draft.picture if draft is not None else self._painter.paint(*self._last)
        _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        with self._changed:
            self._encoded, self._jpeg = shown, jpeg.tobytes()
            self._serial += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Stop serving; closing twice does nothing."""
        if self._closed:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def watch(
        self, send: Callable[[bytes], object], is_gone: Callable[[], bool] = lambda: False
    ) -> bool:
        """Send pictures to one viewer, each time the newest, until it or the run is gone.

        Args:
            send: raises ``OSError`` when the viewer is gone.
            is_gone: tells whether it hung up; asked while there is nothing new to send.

        Returns:
            whether it was let in: there may be too many.
        """
        with self._changed:
            if self._viewers >= _MOST_VIEWERS:
                return False
            self._viewers += 1
        serial, sent_s = 0, time.monotonic()
        try:
            while True:
                with self._changed:
                    if not self._closed and self._serial == serial:
                        self._changed.wait(_PROBE_S)
                    if self._closed:
                        return True
                    is_new = self._serial != serial
                    serial, jpeg = self._serial, self._jpeg
                if is_new or (serial and time.monotonic() - sent_s > _REPEAT_S):
                    send(jpeg)
                    sent_s = time.monotonic()
                elif is_gone():
                    return True
        finally:
            with self._changed:
                self._viewers -= 1

    def state(self) -> dict[str, Any]:
        """Return what the page tells beside the picture."""
        interaction, controls = self.interaction, self.interaction.controls
        stats, last, draft = controls.stats, self._last, interaction.draft
        return {
            "about": controls.about,
            "fps": stats.fps,
            "latency_ms": stats.latency_ms,
            "stages_ms": dict(stats.stages_ms),
            "frames": stats.frames,
            "dropped": stats.dropped,
            "message": controls.message,
            "paused": controls.paused.is_set(),
            "recording": interaction.recording.is_set(),
            "draft": None if draft is None else draft.object_id,
            "next": interaction.object_id,
            "objects": [
                {
                    "id": state.id,
                    "name": state.name,
                    "confidence": round(state.confidence, 3),
                    "lost": state.lost,
                    "colour": "#{:02x}{:02x}{:02x}".format(*state.colour),
                }
                for state in (() if last is None else last[1].objects)
            ],
        }

    def act(self, wish: Mapping[str, Any]) -> bool:
        """Do what a button or a click asks for.

        Args:
            wish: the ``action``, and where it is: ``box_xywh``, ``xy`` and ``positive``, the
                ``points`` of a brush with ``radius_px`` and ``positive``, or an ``object_id``; in
                pixels of the picture. With the action "drag" a box or a brush is previewed; to
                "choose" the object ``None`` is to choose a new one.

        Returns:
            whether it could be understood.
        """
        interaction = self.interaction
        plain: dict[str, Callable[[], None]] = {
            "accept": interaction.accept,
            "cancel": interaction.cancel,
            "undo": interaction.undo,
            "next": interaction.choose_next,
            "reset": interaction.reset,
            "pause": interaction.pause,
            "record": interaction.record,
            "snapshot": interaction.snapshot,
        }
        match wish:
            case {"action": "box", "box_xywh": [x, y, width, height]}:
                if not (_is_px(x) and _is_px(y) and _is_px(width) and _is_px(height)):
                    return False
                interaction.box((x, y, width, height))
            case {"action": "click", "xy": [x, y], "positive": bool(positive)}:
                if not (_is_px(x) and _is_px(y)):
                    return False
                interaction.click((x, y), positive)
            case {"action": "drag" | "paint" as action, "points": points, **rest}:
                stroke = _stroke(points, rest)
                if stroke is None:
                    return False
                (interaction.drag if action == "drag" else interaction.paint)(stroke)
            case {"action": "drag", "box_xywh": [x, y, width, height]}:
                if not (_is_px(x) and _is_px(y) and _is_px(width) and _is_px(height)):
                    return False
                interaction.drag((x, y, width, height))
            case {"action": "drag", "box_xywh": None}:
                interaction.drag(None)
            case {"action": "drop", "object_id": object_id}:
                if not _is_px(object_id):
                    return False
                interaction.drop(object_id)
            case {"action": "choose", "object_id": object_id}:
                if not (object_id is None or _is_px(object_id)):
                    return False
                interaction.choose(object_id)
            case {"action": "drop"}:
                interaction.drop()
            case {"action": str(action)} if action in plain:
                plain[action]()
            case _:
                return False
        return True


def _stroke(points: object, rest: Mapping[str, object]) -> Stroke | None:
    """Return the stroke of a brush that a wish describes, if it does."""
    match rest:
        case {"radius_px": radius_px, "positive": bool(positive)}:
            if not _is_px(radius_px) or not 0 < radius_px <= _LARGEST_BRUSH_PX:
                return None
        case _:
            return None
    along: list[tuple[int, int]] = []
    for point in points if isinstance(points, list) else []:
        match point:
            case [x, y] if _is_px(x) and _is_px(y):
                along.append((x, y))
            case _:
                return None
    return Stroke(tuple(along), radius_px, positive) if along else None


def _is_px(value: object) -> TypeGuard[int]:
    """Tell whether a value from outside is a whole number that nothing overflows at."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_PX
