"""What a user asks for while a run goes on."""

import queue
import threading
from collections.abc import Callable

from edge_vos.runtime.segmenter import Segmenter


class Controls:
    """Carry wishes from a window or a signal to the run; every part may be used by any thread.

    Args:
        objects: how many the model can follow.

    Attributes:
        objects: the same.
        stop: set to end the run as the end of the stream does.
        paused: set while the run shall stay at its frame.
        requests: what to do to the segmenter before its next step.
    """

    def __init__(self, objects: int = 10) -> None:
        self.objects = objects
        self.stop = threading.Event()
        self.paused = threading.Event()
        self.requests: queue.SimpleQueue[Callable[[Segmenter], object]] = queue.SimpleQueue()
        self._message = ""

    @property
    def message(self) -> str:
        """Return the last thing that the user should read: why a prompt was refused."""
        return self._message

    def say(self, message: str) -> None:
        """Tell the user something."""
        self._message = message

    def apply(self, segmenter: Segmenter) -> bool:
        """Do what was asked for since the last time; answer whether there was anything."""
        done = False
        while True:
            try:
                request = self.requests.get_nowait()
            except queue.Empty:
                return done
            request(segmenter)
            done = True
