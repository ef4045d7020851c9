"""What a user asks for while a run goes on."""

import queue
import threading
from collections.abc import Callable

from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.frame import Frame
from edge_vos.runtime.timing.stage_times import LiveStats

Request = Callable[[Segmenter, Frame | None], object]


class Controls:
    """Carry wishes to the run, and news from it; every part may be used by any thread.

    Args:
        objects: how many the model can follow.
        about: names the engine and the model, for those who watch.

    Attributes:
        objects: the same.
        about: the same.
        finder: makes masks of boxes and clicks; the run brings the model's.
        stop: set to end the run as the end of the stream does.
        paused: set while the run shall stay at its frame.
        requests: what to do to the segmenter before its next step. A request is given the frame
            that the run stays at, which is stepped through again, or ``None``.
        stats: how the run is doing.
        refused: why prompts that were written for frames could not be followed.
    """

    def __init__(self, objects: int = 10, about: str = "") -> None:
        self.objects = objects
        self.about = about
        self.finder = ObjectFinder()
        self.stop = threading.Event()
        self.paused = threading.Event()
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.stats = LiveStats()
        self.refused: list[str] = []
        self._message = ""

    @property
    def message(self) -> str:
        """Return the last thing that the user should read: why a prompt was refused."""
        return self._message

    def say(self, message: str) -> None:
        """Tell the user something."""
        self._message = message

    def refuse(self, why: str) -> None:
        """Tell the user why a prompt that was written for a frame was refused, and keep it."""
        self.refused.append(why)
        self.say(why)

    def apply(self, segmenter: Segmenter, frame: Frame | None = None) -> bool:
        """Do what was asked for since the last time; answer whether there was anything.

        Args:
            segmenter: to do it to.
            frame: that will be stepped through next, where that is known.
        """
        done = False
        while True:
            try:
                request = self.requests.get_nowait()
            except queue.Empty:
                return done
            request(segmenter, frame)
            done = True
