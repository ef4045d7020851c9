"""Keep a live source alive: a watchdog over its reads, and reconnecting with back-off."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from edge_vos.errors import SourceError, SourceLost, SourceTimeout
from edge_vos.runtime.frame_queue import FrameQueue, QueueEnd
from edge_vos.runtime.sources.frame import RawFrame, Source

Notice = Callable[[str], None]
_BROKEN_IN_A_ROW = 30  # more frames than this that cannot be decoded are a lost connection
_RELEASE_S = 2.0  # how long closing waits for the device to be free again


class Capture(Protocol):
    """Read a device, as ``cv2.VideoCapture`` does."""

    def grab(self) -> bool:
        """Wait for the next frame; false when there will be none."""

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the frame that was grabbed."""

    def release(self) -> None:
        """Give the device back."""


@dataclass(frozen=True)
class ReconnectPolicy:
    """Say how long to wait for a live source.

    Args:
        stall_s: a connection that gives no frame for so long is given up.
        reconnect_s: how long to try to get a lost source back; 0 is not at all.
        first_wait_s: before the first try; each further wait is twice as long.
        longest_wait_s: between two tries.

    Raises:
        SourceError: if a time is negative, or none to wait for a frame.
    """

    stall_s: float = 5.0
    reconnect_s: float = 60.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 8.0

    def __post_init__(self) -> None:
        if not self.reconnect_s >= 0:  # nor is nan
            raise SourceError(
                f"A lost camera cannot be waited for {self.reconnect_s:g} s",
                "0 or more seconds",
                "Give --reconnect 60",
            )
        if not (self.stall_s > 0 and self.first_wait_s > 0):
            raise SourceError(f"{self} has a time that is not positive", "seconds")


class LiveFeed:
    """Give a live source's frames, through stalls and lost connections.

    Each connection is read in a thread of its own: a read that hangs in a driver cannot be
    interrupted, only left behind.

    Args:
        name: of the source, for messages, such as ``Camera 0``.
        capture: the open connection.
        connect: opens another one, or raises :class:`~edge_vos.errors.SourceError`.
        policy: how long to wait.
        notice: is told of losses and of what comes back.
    """

    def __init__(
        self,
        name: str,
        capture: Capture,
        connect: Callable[[], Capture],
        policy: ReconnectPolicy,
        notice: Notice | None = None,
    ) -> None:
        self._name = name
        self._connect = connect
        self._policy = policy
        self._notice = notice if notice is not None else lambda _: None
        self._closing = threading.Event()
        self._reader = _Reader(capture)

    def __iter__(self) -> Iterator[RawFrame]:
        lost_s: float | None = None
        wait_s = self._policy.first_wait_s
        while not self._closing.is_set():
            raw, trouble = self._next()
            if raw is not None:
                if lost_s is not None:
                    self._notice(f"{self._name} is back")
                    lost_s, wait_s = None, self._policy.first_wait_s
                yield raw
                continue
            self._reader.raw_frames.cancel()
            lost_s = time.monotonic() if lost_s is None else lost_s
            while not self._closing.is_set():
                if time.monotonic() + wait_s - lost_s > self._policy.reconnect_s:
                    raise trouble
                self._notice(f"{trouble.what}; trying again")
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, self._policy.longest_wait_s)
                try:
                    self._reader = _Reader(self._connect())
                except SourceError:
                    continue
                break

    def interrupt(self) -> None:
        """End the frames, and a wait for the lost source; by any thread."""
        self._closing.set()
        self._reader.raw_frames.cancel()

    def close(self) -> None:
        """Give the device back; a read that hangs in it keeps it."""
        self.interrupt()
        self._reader.thread.join(_RELEASE_S)

    def _next(self) -> tuple[RawFrame | None, SourceLost]:
        lost = SourceLost(
            f"{self._name} stopped giving frames",
            "a camera that stays connected",
            "Check its cable or network, then start again",
        )
        try:
            raw = self._reader.raw_frames.get(self._policy.stall_s)
        except QueueEnd:
            return None, lost
        late = SourceTimeout(
            f"{self._name} gave no frame for {self._policy.stall_s:g} s", lost.expected,
            lost.next_step,
        )  # fmt: skip
        return raw, late


def live_source(uri: str, feed: LiveFeed, fps: float, size: tuple[int, int]) -> Source:
    """Return what gives a feed's frames, without an end.

    Args:
        uri: what the user asked for.
        feed: gives them; closed with the source.
        fps: frames a second.
        size: (height, width) in pixels.
    """
    return Source(
        uri,
        feed,
        fps=fps,
        size=size,
        frames=None,
        is_live=True,
        is_endless=True,
        release=feed.close,
    )


class _Reader:
    """Read one connection until it ends or nobody wants more; release it then."""

    def __init__(self, capture: Capture) -> None:
        self.raw_frames: FrameQueue[RawFrame] = FrameQueue(1)
        self._capture = capture
        self.thread = threading.Thread(target=self._read, name="edge-vos-read", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        broken = 0
        try:
            # grab() waits for the sensor, retrieve() decodes: only the second is work.
            while not self.raw_frames.cancelled and self._capture.grab():
                captured_s = time.perf_counter()
                ok, image = self._capture.retrieve()
                if ok and image is not None:
                    broken = 0
                    self.raw_frames.put(RawFrame(np.asarray(image, np.uint8), captured_s))
                elif (broken := broken + 1) > _BROKEN_IN_A_ROW:
                    break
        except cv2.error:
            pass  # told by the end of the raw_frames
        finally:
            self._capture.release()
            self.raw_frames.end()
