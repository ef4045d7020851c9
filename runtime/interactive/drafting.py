"""The prompt that a user is drawing: its steps, its previews, and the frames that go by meanwhile.

Masks are found in a thread of its own, so that neither the stream nor the window waits for them.
"""

import threading
import time
from collections.abc import Callable

from edge_vos.errors import EdgeVosError
from edge_vos.runtime.interactive.prompt_draft import PromptDraft
from edge_vos.runtime.interactive.worker import Worker
from edge_vos.runtime.objects.history import FrameHistory
from edge_vos.runtime.sources.frame import Frame

Change = Callable[[PromptDraft], PromptDraft]

FORGOTTEN_S = 120.0
"""A draft that nobody touched for so long is let go."""

_MOST_UNDO = 10  # each holds a picture


class Drafting:
    """Let a user draw one prompt at a time; every method may be called by any thread.

    Args:
        say: tells the user why something cannot be; an empty text clears it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.RLock()
        self._worker = Worker()
        self._begun: PromptDraft | None = None
        self._steps: list[PromptDraft] = []  # the last one counts; the others are for undo
        self._moving: PromptDraft | None = None  # what is shown while the mouse is down
        self._moves = False
        self._history: FrameHistory | None = None
        self._touched_s = 0.0

    @property
    def draft(self) -> PromptDraft | None:
        """Return what the user drew so far, as far as its mask is found."""
        with self._lock:
            if self._begun is not None and time.monotonic() - self._touched_s > FORGOTTEN_S:
                self.cancel()
            return self._moving or (self._steps[-1] if self._steps else None)

    @property
    def begun(self) -> PromptDraft | None:
        """Return the draft as it began, before anything was drawn; ``None`` where there is none."""
        with self._lock:
            open_ = self.draft is not None or self._moves or self._worker.is_busy
            return self._begun if open_ else None

    def begin(self, draft: PromptDraft) -> None:
        """Begin a draft; the one before is let go."""
        with self._lock:
            self.cancel()
            self._begun, self._history = draft, FrameHistory(draft.frame)
            self._touched_s = time.monotonic()

    def pass_by(self, frame: Frame) -> None:
        """Take a frame that came since the draft began."""
        with self._lock:
            if self._history is not None:
                self._history.add(frame)

    def preview(self, change: Change) -> None:
        """Show what a change would make, while the mouse is down; the newest one counts."""
        with self._lock:
            begun = self._touch()
            self._moves = begun is not None

            def show() -> None:
                moved = self._make(begun, change, tell=False)
                with self._lock:
                    if moved is not None and self._moves and self._begun is begun:
                        self._moving = moved

            if begun is not None:
                self._worker.offer(show)

    def stop_preview(self) -> None:
        """Leave what was shown while the mouse was down."""
        with self._lock:
            self._moves, self._moving = False, None

    def change(self, change: Change) -> None:
        """Make a change, after those that were asked for before."""
        with self._lock:
            begun = self._touch()
            self._moves = False

            def do() -> None:
                changed = self._make(begun, change, tell=True)
                with self._lock:
                    if self._begun is not begun:
                        return
                    self._moving = None
                    if changed is not None:
                        self._steps = [*self._steps[-_MOST_UNDO:], changed]
                        self._say("")

            if begun is not None:
                self._worker.put(do)

    def undo(self) -> bool:
        """Take the last step back; return whether there was one."""
        with self._lock:
            if not self._steps:
                return False
            self._steps.pop()
            self._touched_s = time.monotonic()
            if not self._steps:
                self.cancel()
            return True

    def cancel(self) -> None:
        """Let the draft go."""
        with self._lock:
            self._begun = self._moving = self._history = None
            self._moves = False
            self._steps = []

    def take(self) -> tuple[PromptDraft, FrameHistory] | None:
        """Return the draft and the frames from there on, and be done with it."""
        with self._lock:
            if not self._steps or self._history is None:
                return None
            taken = self._steps[-1], self._history
            self.cancel()
            return taken

    def when_found(self, do: Callable[[], None]) -> None:
        """Do something at once or, while masks are being found, after those."""
        with self._lock:
            if self._begun is None or not self._worker.is_busy:
                do()
            else:
                self._worker.put(do)

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait until every mask is found; return whether it is."""
        return self._worker.settle(timeout_s)

    def _touch(self) -> PromptDraft | None:
        self._touched_s = time.monotonic()
        return self._begun

    def _make(self, begun: PromptDraft | None, change: Change, tell: bool) -> PromptDraft | None:
        with self._lock:
            if begun is None or self._begun is not begun:
                return None
            base = self._steps[-1] if self._steps else begun
        try:
            return change(base)
        except EdgeVosError as error:
            if tell:
                self._say(str(error))
            return None
