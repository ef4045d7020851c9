"""Do what takes a while in a thread of its own, in order."""

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]


class Worker:
    """Do jobs one after another; any thread may bring them. There is a thread while there are some.

    A job that is *offered* waits until nothing else does, and the next offer takes its place: a
    preview of something that moves is made as often as it is answered, and no more.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._offer: Job | None = None
        self._works = False

    @property
    def is_busy(self) -> bool:
        """Return whether there is something to do still."""
        return self._works

    def put(self, job: Job) -> None:
        """Do a job after those that were put before; what was offered is left out."""
        with self._changed:
            self._jobs.append(job)
            self._offer = None
            self._start()

    def offer(self, job: Job) -> None:
        """Do a job when there is nothing else, unless another one is offered before that."""
        with self._changed:
            self._offer = job
            self._start()

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is done; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._works, timeout_s)

    def _start(self) -> None:
        if not self._works:
            self._works = True
            threading.Thread(target=self._work, name="edge-vos-preview", daemon=True).start()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
        except BaseException:
            with self._changed:
                self._jobs.clear()
                self._works = False
                self._changed.notify_all()
            raise

    def _next(self) -> Job | None:
        with self._changed:
            if self._jobs:
                return self._jobs.popleft()
            job, self._offer = self._offer, None
            if job is None:
                self._works = False
                self._changed.notify_all()
            return job
