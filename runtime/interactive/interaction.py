"""What a user does with the picture, wherever it is shown: prompt, undo, drop, pause, record.

Keys and mouse of the window and the buttons of the page call the same methods. A box or a click
begins a draft on the frame that the user saw; that frame stays in view while the run goes on
behind it, and masks are found beside it. Accepting gives the draft's mask to the run, for that very
frame, and some of the frames since then, so that the object is followed from there to where it is
now.
"""

import threading
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
from edge_vos.runtime.interactive.drafting import Drafting
from edge_vos.runtime.interactive.prompt_draft import PromptDraft, Stroke
from edge_vos.runtime.objects.history import FrameHistory, catch_up
from edge_vos.runtime.prompts.checks import (
    check_box,
    check_points,
    no_free_object,
    points_beside_only,
)
from edge_vos.runtime.prompts.prompt import Box, Point, Prompt
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame

ACCEPT = (
    "Enter: follow it; click: add to it; right click: take away; b: brush; u: undo; Esc: leave it"
)
_MOST_UNDO = 10
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
        self._drafting = Drafting(controls.say)
        self._clicked: tuple[int, dict[int, Prompt]] = (-1, {})  # in which frame; accepted
        self._deeds: list[_Deed] = []  # for undo
        self._coming: dict[int, int] = {}  # accepted object -> results that may lack it

    @property
    def draft(self) -> PromptDraft | None:
        """Return the prompt in the making."""
        return self._drafting.draft

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
            self._drafting.pass_by(frame)
            if self._deeds and self._deeds[-1].before is not None:
                self._deeds[-1].before[1].add(frame)

    def box(self, box_xywh: Box) -> None:
        """Begin a draft with a box, or begin the one in the making anew."""
        with self._lock:
            if self._fits_box(box_xywh) and self._open(self.object_id):
                self._drafting.change(lambda draft: draft.with_box(box_xywh))

    def click(self, xy: Point, positive: bool = True) -> None:
        """Add a click on the object or beside it; all clicks count.

        Without a draft it is for the chosen object, or the one under the pointer; a click beside
        any object begins with a new one.
        """
        with self._lock:
            if not self._fits_points((xy,)) or not self._open_at(xy, positive):
                return
            self._drafting.change(lambda draft: draft.with_click(xy, int(positive)))

    def paint(self, stroke: Stroke) -> None:
        """Paint with a brush: add to the object, or take away, without asking the model."""
        with self._lock:
            if self._fits_points(stroke.points[:1]) and self._open_at(
                stroke.points[0], stroke.positive
            ):
                self._drafting.change(lambda draft: draft.with_stroke(stroke))

    def drag(self, shape: Box | Stroke | None) -> None:
        """Preview a box or a stroke while the mouse is down; ``None`` leaves it.

        It is answered as fast as masks are found, and for the newest shape alone.
        """
        with self._lock:
            if shape is None:
                self._drafting.stop_preview()
            elif isinstance(shape, Stroke):
                if self._open_at(shape.points[0], shape.positive):
                    self._drafting.preview(lambda draft: draft.with_stroke(shape))
            elif self._open(self.object_id):
                self._drafting.preview(lambda draft: draft.with_box(shape))

    def accept(self) -> None:
        """Follow what the draft shows, once its mask is found."""
        with self._lock:
            self._drafting.when_found(self._accept)

    def cancel(self) -> None:
        """Leave the draft."""
        with self._lock:
            self._drafting.cancel()
            self.controls.say("")

    def undo(self) -> None:
        """Take back the last box, click or stroke of the draft or, without one, the last deed.

        A new object is dropped, a corrected one gets the mask that it had, a dropped one comes
        back. The latter two are possible until something else is done.
        """
        with self._lock:
            self._drafting.when_found(self._undo)

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait until all masks are found that were asked for; return whether they are."""
        return self._drafting.settle(timeout_s)

    def choose_next(self) -> None:
        """Choose the next object id for what is drawn next."""
        with self._lock:
            self._chosen = (self.object_id or 0) % self.controls.objects + 1
            self._drafting.cancel()

    def choose(self, object_id: int | None) -> None:
        """Choose the object that is drawn next; one that is not followed is a new one."""
        with self._lock:
            self._chosen = object_id if object_id in self._living else None
            self._drafting.cancel()

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
            self._drafting.cancel()
            self._clicked = (-1, {})
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

    def _accept(self) -> None:
        with self._lock:
            if (taken := self._drafting.take()) is None:
                return
            draft, history = taken
            if draft.object_id in self._living:
                before = draft.result.mask == draft.object_id
                self._did(_Deed("correction", draft.object_id, (before, history)))
            else:
                self._did(_Deed("new", draft.object_id))
            self._chosen = None
            index, clicked = self._clicked
            clicked = clicked if index == draft.frame.index else {}
            if draft.prompt is not None and draft.prompt.points:
                prompt = draft.prompt
                clicks = Prompt(draft.object_id, points=prompt.points, labels=prompt.signs)
                clicked = {**clicked, draft.object_id: clicks}
            self._clicked = (draft.frame.index, clicked)
            self.controls.say("")
            self._give(draft.object_id, draft.mask > 0, history)

    def _undo(self) -> None:
        with self._lock:
            if self._drafting.undo():
                return
            while self._deeds:
                deed = self._deeds.pop()
                if (deed.object_id in self._living) != (deed.kind == "drop"):
                    self._take_back(deed)
                    return
            self.controls.say("There is nothing to undo")

    def _fits_box(self, box_xywh: Box) -> bool:
        return self._fits(lambda size: check_box(box_xywh, size))

    def _fits_points(self, points: tuple[Point, ...]) -> bool:
        return self._fits(lambda size: check_points(points, size))

    def _fits(self, check: Callable[[tuple[int, ...]], object]) -> bool:
        """Tell whether something lies in the picture, and say so where it does not."""
        if self._seen is not None:
            try:
                check(self._seen[0].image.shape[:2])
            except PromptError as error:
                self.controls.say(str(error))
                return False
        return True

    def _open_at(self, xy: Point, positive: bool) -> bool:
        """Begin a draft for what is at a pixel, unless there is one; tell whether there is now."""
        if self._drafting.begun is not None:
            return True
        object_id = self._chosen or self._under(xy) or self.object_id
        if not positive and (self._seen is None or not (self._seen[1].mask == object_id).any()):
            self.controls.say(str(points_beside_only()))
            return False
        return self._open(object_id)

    def _open(self, object_id: int | None) -> bool:
        """Begin a draft, unless there is one; tell whether there is one now."""
        if self._drafting.begun is not None:
            return True
        if object_id is None:
            self.controls.say(str(no_free_object(self.controls.objects)))
        if object_id is None or self._seen is None:
            return False
        frame, result = self._seen
        index, clicked = self._clicked
        earlier = clicked.get(object_id) if index == frame.index else None
        finder = self.controls.finder
        self._drafting.begin(PromptDraft.begin(frame, result, object_id, finder, earlier))
        return True

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
        self._clicked[1].pop(object_id, None)
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


def next_free(folder: Path, suffix: str) -> Path:
    """Return edge-vos-000, or the next number that no file has, nor one that was cut short."""
    paths = (folder / f"edge-vos-{number:03d}{suffix}" for number in count())
    return next(path for path in paths if not path.exists() and not partial_path(path).exists())
