"""Hand items from one thread to the next, with room for a few."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueEnd(Exception):
    """Say that no more items will come."""


class FrameQueue(Generic[T]):
    """Hand items over in order, in bounded memory.

    One that is full makes the sender wait or, when only the newest counts, forgets the oldest.

    Args:
        capacity: items that may wait, at least 1.
        newest_only: forget the oldest item instead of making the sender wait.

    Attributes:
        dropped: items that were forgotten.
    """

    def __init__(self, capacity: int, *, newest_only: bool = False) -> None:
        self.dropped = 0
        self._capacity = capacity
        self._newest_only = newest_only
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._cancelled = False
        self._error: BaseException | None = None

    @property
    def cancelled(self) -> bool:
        """Return whether nobody wants more items."""
        return self._cancelled

    def put(self, item: T) -> None:
        """Hand one item over; after a cancel it is forgotten."""
        with self._changed:
            if self._newest_only and len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            while len(self._items) >= self._capacity and not self._cancelled:
                self._changed.wait()
            if not self._cancelled:
                self._items.append(item)
                self._changed.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """Take the oldest item.

        Args:
            timeout_s: how long to wait for one.

        Returns:
            the item, or ``None`` when none came in time.

        Raises:
            QueueEnd: if the sender is done.
            Exception: what the sender ended with, after its last item.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._cancelled or (self._ended and self._error is None):
                    raise QueueEnd
                if self._error is not None:
                    raise self._error
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more items will come, and why; those that wait can still be taken."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Say that nobody wants more items; those that wait are forgotten."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()
