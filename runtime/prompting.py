"""What a user does with the picture, wherever it is shown: prompt, undo, drop, pause, record.

Keys and mouse of the window and the buttons of the page call the same methods. A box or a click
begins a sketch on the frame that the user saw; that frame stays in view while the run goes on
behind it. Accepting gives the sketch's mask to the run, for that very frame.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.frame import Frame
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sketch import Sketch

ACCEPT = "Enter: follow it; click: add to it; right click: take away; u: undo; Esc: leave it"
_FORGOTTEN_S = 120.0  # a sketch that nobody touched for so long is let go
_MOST_UNDO = 10  # each holds a picture


class Prompting:
    """Turn a user's doings into requests to the run; every method may be called by any thread.

    Args:
        controls: carries the requests.
        snapshots: the folder for saved pictures.
    """

    def __init__(self, controls: Controls, snapshots: Path = Path()) -> None:
        self.controls = controls
        self.recording = threading.Event()
        self._snapshots = snapshots
        self._lock = threading.RLock()
        self._seen: tuple[Frame, FrameResult] | None = None
        self._living: set[int] = set()
        self._chosen: int | None = None
        self._sketches: list[Sketch] = []  # the last one counts; the others are for undo
        self._touched_s = 0.0
        self._accepted: list[int] = []  # new objects, for undo

    @property
    def sketch(self) -> Sketch | None:
        """Return the prompt in the making."""
        with self._lock:
            if self._sketches and time.monotonic() - self._touched_s > _FORGOTTEN_S:
                self._sketches.clear()
            return self._sketches[-1] if self._sketches else None

    @property
    def object_id(self) -> int | None:
        """Return the object that the next box is for: the chosen one, or the first free one."""
        with self._lock:
            if self._chosen is not None:
                return self._chosen
            every = range(1, self.controls.objects + 1)
            return next((i for i in every if i not in self._living), None)

    @property
    def living(self) -> tuple[int, ...]:
        """Return the objects that are followed, ascending."""
        return tuple(sorted(self._living))

    def see(self, frame: Frame, result: FrameResult) -> None:
        """Take what the user sees next."""
        with self._lock:
            self._seen = (frame, result)
            self._living = {state.id for state in result.objects}

    def box(self, box_xywh: tuple[int, int, int, int]) -> None:
        """Begin a sketch with a box, or begin the one in the making anew."""
        with self._lock:
            begun = self.sketch or self._begin(self.object_id)
            if begun is not None:
                self._try(lambda: begun.with_box(box_xywh))

    def click(self, xy: tuple[int, int], positive: bool = True) -> None:
        """Add a click on the object or beside it.

        Without a sketch it is for the chosen object, or the one under the pointer; a click beside
        any object begins with a new one.
        """
        with self._lock:
            begun = self.sketch
            if begun is None:
                object_id = self._chosen or self._under(xy) or self.object_id
                begun = self._begin(object_id)
                if begun is not None and not positive and not begun.mask.any():
                    self.controls.say("A right click takes away from an object: begin on one")
                    return
            if begun is not None:
                self._try(lambda: begun.with_click(xy, int(positive)))

    def accept(self) -> None:
        """Follow what the sketch shows."""
        with self._lock:
            sketch = self.sketch
            if sketch is None:
                return
            self._sketches.clear()
            if sketch.object_id not in self._living:
                self._accepted = [*self._accepted[-_MOST_UNDO:], sketch.object_id]
            self._living.add(sketch.object_id)
            self._chosen = None
            self.controls.say("")
            mask, held = sketch.mask * np.uint8(sketch.object_id), sketch.frame

            def give(segmenter: Segmenter, frame: Frame | None) -> None:
                segmenter.prompt(mask)
                if frame is None or frame.index != held.index:
                    segmenter.step(held.image)  # to memory, for the frame that it was drawn on

            self.controls.requests.put(give)

    def cancel(self) -> None:
        """Leave the sketch."""
        with self._lock:
            self._sketches.clear()
            self.controls.say("")

    def undo(self) -> None:
        """Take back the last box or click of the sketch or, without one, the last new object."""
        with self._lock:
            if self._sketches:
                self._sketches.pop()
                self._touched_s = time.monotonic()
            elif self._accepted:
                self.drop(self._accepted[-1])
            else:
                self.controls.say("There is nothing to undo")

    def choose_next(self) -> None:
        """Choose the next object id for what is drawn next."""
        with self._lock:
            self._chosen = (self.object_id or 0) % self.controls.objects + 1
            self._sketches.clear()

    def drop(self, object_id: int | None = None) -> None:
        """Forget an object: the given one, the chosen one, or the last one that was added."""
        with self._lock:
            living = self.living
            last = next((i for i in reversed(self._accepted) if i in living), None)
            target = object_id or (self._chosen if self._chosen in living else None) or last
            target = target if target is not None else (living[-1] if living else None)
            if target is None or target not in living:
                self.controls.say("There is no object to drop")
                return
            dropped = target
            self._accepted = [i for i in self._accepted if i != dropped]
            self._living.discard(dropped)
            self.controls.say(f"object {dropped} is dropped")
            self.controls.requests.put(lambda segmenter, _: segmenter.drop(dropped))

    def reset(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._sketches.clear()
            self._accepted.clear()
            self._living.clear()
            self._chosen = None
            self.controls.requests.put(lambda segmenter, _: segmenter.reset())

    def pause(self) -> None:
        """Stay at this frame, or go on."""
        paused = self.controls.paused
        paused.clear() if paused.is_set() else paused.set()

    def record(self) -> None:
        """Begin to record, or stop."""
        self.recording.clear() if self.recording.is_set() else self.recording.set()

    def snapshot(self) -> None:
        """Save the picture, as edge-vos-000.png and on."""
        with self._lock:
            picture = self._picture()
            if picture is None:
                return
            path = next_free(self._snapshots, ".png")
            saved, png = cv2.imencode(".png", picture)
            try:
                path.write_bytes(png.tobytes())
            except OSError:
                saved = False
        self.controls.say(f"saved {path}" if saved else f"cannot write {path}")

    def under(self, xy: tuple[int, int]) -> int | None:
        """Return the object at a pixel of the picture."""
        with self._lock:
            return self._under(xy)

    def _picture(self) -> NDArray[np.uint8] | None:
        if self.sketch is not None:
            return self.sketch.picture
        return None if self._seen is None else Painter().paint(*self._seen)

    def _begin(self, object_id: int | None) -> Sketch | None:
        if object_id is None:
            self.controls.say(f"All {self.controls.objects} objects are in use: drop one")
        if object_id is None or self._seen is None:
            return None
        return Sketch.begin(*self._seen, object_id)

    def _under(self, xy: tuple[int, int]) -> int | None:
        if self._seen is None:
            return None
        mask = self._seen[1].mask
        inside = 0 <= xy[0] < mask.shape[1] and 0 <= xy[1] < mask.shape[0]
        return int(mask[xy[1], xy[0]]) or None if inside else None

    def _try(self, change: Callable[[], Sketch]) -> None:
        self._touched_s = time.monotonic()
        try:
            self._sketches = [*self._sketches[-_MOST_UNDO:], change()]
        except PromptError as error:
            self.controls.say(error.what)
        else:
            self.controls.say("")


def next_free(folder: Path, suffix: str) -> Path:
    """Return edge-vos-000, or the next number that no file has."""
    number = 0
    while (path := folder / f"edge-vos-{number:03d}{suffix}").exists():
        number += 1
    return path
