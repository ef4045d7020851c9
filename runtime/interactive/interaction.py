"""What a user does with the picture, wherever it is shown: prompt, undo, drop, pause, record.

Keys and mouse of the window and the buttons of the page call the same methods. A box or a click
begins a draft on the frame that the user saw; that frame stays in view while the run goes on
behind it. Accepting gives the draft's mask to the run, for that very frame, and some of the
frames since then, so that the object is followed from there to where it is now.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import PromptError
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.prompt_draft import PromptDraft
from edge_vos.runtime.objects.history import FrameHistory, catch_up
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame

ACCEPT = "Enter: follow it; click: add to it; right click: take away; u: undo; Esc: leave it"
_FORGOTTEN_S = 120.0  # a draft that nobody touched for so long is let go
_MOST_UNDO = 10  # each holds a picture
_LATE_RESULTS = 5  # so many that are on their way may not know an accepted object yet


@dataclass(frozen=True)
class _Deed:
    """Hold what can be taken back: an object that came, was corrected, or was dropped.

    Args:
        kind: what was done.
        object_id: to which object.
        before: the object as it was found before, (H, W) bool, and the frames from there on;
            ``None`` for a new object, and for all but the last deed: frames are large.
        name: what it was called.
    """

    kind: Literal["new", "correction", "drop"]
    object_id: int
    before: tuple[NDArray[np.bool_], FrameHistory] | None = None
    name: str = ""


class Interaction:
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
        self._drafts: list[PromptDraft] = []  # the last one counts; the others are for undo
        self._touched_s = 0.0
        self._history: FrameHistory | None = None  # of the draft
        self._deeds: list[_Deed] = []  # for undo
        self._coming: dict[int, int] = {}  # accepted object -> results that may lack it

    @property
    def draft(self) -> PromptDraft | None:
        """Return the prompt in the making."""
        with self._lock:
            if self._drafts and time.monotonic() - self._touched_s > _FORGOTTEN_S:
                self._drafts.clear()
            return self._drafts[-1] if self._drafts else None

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
            found = {state.id for state in result.objects}
            late = ((i, left - 1) for i, left in self._coming.items() if i not in found)
            self._coming = {i: left for i, left in late if left > 0}
            self._living = found | set(self._coming)
            if self._history is not None and self.draft is not None:
                self._history.add(frame)
            if self._deeds and self._deeds[-1].before is not None:
                self._deeds[-1].before[1].add(frame)

    def box(self, box_xywh: tuple[int, int, int, int]) -> None:
        """Begin a draft with a box, or begin the one in the making anew."""
        with self._lock:
            begun = self.draft or self._begin(self.object_id)
            if begun is not None:
                self._try(lambda: begun.with_box(box_xywh))

    def click(self, xy: tuple[int, int], positive: bool = True) -> None:
        """Add a click on the object or beside it.

        Without a draft it is for the chosen object, or the one under the pointer; a click beside
        any object begins with a new one.
        """
        with self._lock:
            begun = self.draft
            if begun is None:
                object_id = self._chosen or self._under(xy) or self.object_id
                begun = self._begin(object_id)
                if begun is not None and not positive and not begun.mask.any():
                    self.controls.say("A right click takes away from an object: begin on one")
                    return
            if begun is not None:
                self._try(lambda: begun.with_click(xy, int(positive)))

    def accept(self) -> None:
        """Follow what the draft shows."""
        with self._lock:
            draft, history = self.draft, self._history
            if draft is None or history is None:
                return
            self._drafts.clear()
            self._history = None
            if draft.object_id in self._living:
                before = draft.result.mask == draft.object_id
                self._did(_Deed("correction", draft.object_id, (before, history)))
            else:
                self._did(_Deed("new", draft.object_id))
            self._chosen = None
            self.controls.say("")
            self._give(draft.object_id, draft.mask > 0, history)

    def cancel(self) -> None:
        """Leave the draft."""
        with self._lock:
            self._drafts.clear()
            self.controls.say("")

    def undo(self) -> None:
        """Take back the last box or click of the draft or, without one, the last deed.

        A new object is dropped, a corrected one gets the mask that it had, a dropped one comes
        back. The latter two are possible until something else is done.
        """
        with self._lock:
            if self._drafts:
                self._drafts.pop()
                self._touched_s = time.monotonic()
                return
            while self._deeds:
                deed = self._deeds.pop()
                if (deed.object_id in self._living) != (deed.kind == "drop"):
                    self._take_back(deed)
                    return
            self.controls.say("There is nothing to undo")

    def choose_next(self) -> None:
        """Choose the next object id for what is drawn next."""
        with self._lock:
            self._chosen = (self.object_id or 0) % self.controls.objects + 1
            self._drafts.clear()

    def drop(self, object_id: int | None = None) -> None:
        """Forget an object: the given one, the chosen one, or the last one that was added."""
        with self._lock:
            living = self.living
            added = [deed.object_id for deed in self._deeds if deed.kind == "new"]
            wanted = [self._chosen, *reversed(added), *reversed(living)]
            if object_id is not None:
                wanted = [object_id]
            target = next((i for i in wanted if i is not None and i in living), None)
            if target is None:
                which = "object" if object_id is None else f"object {object_id}"
                self.controls.say(f"There is no {which} to drop")
                return
            if self._seen is not None:
                frame, result = self._seen
                name = next((state.name for state in result.objects if state.id == target), "")
                self._did(_Deed("drop", target, (result.mask == target, FrameHistory(frame)), name))
            self._forget(target)

    def drop_under(self, xy: tuple[int, int]) -> None:
        """Forget the object at a pixel of the picture, and no other one."""
        with self._lock:
            object_id = self._under(xy)
            if object_id is None:
                self.controls.say("There is no object under the pointer")
            else:
                self.drop(object_id)

    def reset(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._drafts.clear()
            self._deeds.clear()
            self._coming.clear()
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

    def _picture(self) -> NDArray[np.uint8] | None:
        if self.draft is not None:
            return self.draft.picture
        return None if self._seen is None else Painter().paint(*self._seen)

    def _begin(self, object_id: int | None) -> PromptDraft | None:
        if object_id is None:
            self.controls.say(f"All {self.controls.objects} objects are in use: drop one")
        if object_id is None or self._seen is None:
            return None
        self._history = FrameHistory(self._seen[0])
        return PromptDraft.begin(*self._seen, object_id)

    def _did(self, deed: _Deed) -> None:
        older = [replace(each, before=None) for each in self._deeds[-_MOST_UNDO + 1 :]]
        self._deeds = [*older, deed]

    def _take_back(self, deed: _Deed) -> None:
        if deed.kind == "new":
            self._forget(deed.object_id)
        elif deed.before is None or not deed.before[0].any():
            what = f"{deed.kind} of object {deed.object_id}"
            why = "too long ago" if deed.before is None else "it was not seen before that"
            self.controls.say(f"The {what} cannot be taken back: {why}")
        else:
            self._give(deed.object_id, *deed.before, name=deed.name)
            self.controls.say(f"The {deed.kind} of object {deed.object_id} is taken back")

    def _forget(self, object_id: int) -> None:
        self._living.discard(object_id)
        self._coming.pop(object_id, None)
        self.controls.say(f"object {object_id} is dropped")
        self.controls.requests.put(lambda segmenter, _: segmenter.drop(object_id))

    def _give(
        self, object_id: int, mask: NDArray[np.bool_], history: FrameHistory, name: str = ""
    ) -> None:
        """Let the run follow an object from the history's first frame to now."""
        self._living.add(object_id)
        self._coming[object_id] = _LATE_RESULTS
        labels = mask * np.uint8(object_id)

        def give(segmenter: Segmenter, frame: Frame | None) -> None:
            catch_up(history, labels, segmenter, frame)
            if name:
                segmenter.name(object_id, name)

        self.controls.requests.put(give)

    def _under(self, xy: tuple[int, int]) -> int | None:
        if self._seen is None:
            return None
        mask = self._seen[1].mask
        inside = 0 <= xy[0] < mask.shape[1] and 0 <= xy[1] < mask.shape[0]
        return int(mask[xy[1], xy[0]]) or None if inside else None

    def _try(self, change: Callable[[], PromptDraft]) -> None:
        self._touched_s = time.monotonic()
        try:
            self._drafts = [*self._drafts[-_MOST_UNDO:], change()]
        except PromptError as error:
            self.controls.say(error.what)
        else:
            self.controls.say("")


def next_free(folder: Path, suffix: str) -> Path:
    """Return edge-vos-000, or the next number that no file has, nor one that was cut short."""
    paths = (folder / f"edge-vos-{number:03d}{suffix}" for number in count())
    return next(path for path in paths if not path.exists() and not partial_path(path).exists())
