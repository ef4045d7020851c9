"""One frame of a source, and the source as the rest of the runtime sees it."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """Hold one frame and when it was taken.

    Args:
        image: (H, W, 3) uint8, BGR.
        index: frames that the source gave before this one.
        timestamp_s: seconds since the first frame: a camera's clock, a file's own time.
        captured_s: when it was taken, on the clock of ``time.perf_counter``.
        capture_ms: the work to decode or to render it; waiting for a camera is not in it.
        truth: (H, W) uint8 exact label map, where the source knows it.
    """

    image: NDArray[np.uint8]
    index: int
    timestamp_s: float
    captured_s: float
    capture_ms: float
    truth: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class RawFrame:
    """Hold what a kind of source gives for one frame; :class:`Source` makes a frame of it.

    Args:
        image: (H, W, 3) uint8, BGR.
        captured_s: when the work on it began, on the clock of ``time.perf_counter``.
        truth: (H, W) uint8 exact label map, where the source knows it.
        timestamp_s: its own time in seconds since the first; ``None`` where it has none.
    """

    image: NDArray[np.uint8]
    captured_s: float
    truth: NDArray[np.uint8] | None = None
    timestamp_s: float | None = None


@dataclass(frozen=True)
class Original:
    """Describe the file that frames come from, as far as a copy should be like it.

    Args:
        path: the file.
        start_s: the time of the source's first frame, on the file's own clock.
        has_sound: whether there is sound that goes with the frames.
        pixel_aspect: width of a pixel, upright, over its height.
    """

    path: str
    start_s: float
    has_sound: bool = False
    pixel_aspect: Fraction = Fraction(1)


@runtime_checkable
class Interruptible(Protocol):
    """Wait for frames, until another thread ends the wait."""

    def interrupt(self) -> None:
        """End the frames soon; by any thread."""


class Source:
    """Give frames one by one; the end of the iteration is the end of the stream.

    A source that worked and then failed raises :class:`~edge_vos.errors.SourceLost` instead of
    ending. It can be iterated once.

    Attributes:
        uri: what the user asked for.
        fps: frames a second, nominal.
        size: height and width of the first frame; a camera may change it later.
        frames: how many there will be; ``None`` where nobody knows, or it never ends.
        is_live: whether frames come when they come (a camera) and not when asked for.
        is_endless: whether the source never ends by itself.
        has_truth: whether its frames come with exact masks.
        files: those of this machine that it reads.
        original: the video file that its frames come from; ``None`` where there is none.
    """

    def __init__(
        self,
        uri: str,
        raw_frames: Iterable[RawFrame],
        *,
        fps: float,
        size: tuple[int, int],
        frames: int | None,
        is_live: bool = False,
        is_endless: bool = False,
        has_truth: bool = False,
        release: Callable[[], None] | None = None,
        files: Iterable[Path] = (),
        original: Original | None = None,
    ) -> None:
        self.uri = uri
        self.fps = fps
        self.size = size
        self.frames = frames
        self.is_live = is_live
        self.is_endless = is_endless
        self.has_truth = has_truth
        self.files = tuple(files)
        self.original = original
        self._raw_frames = raw_frames
        self._release = release

    def __iter__(self) -> Iterator[Frame]:
        first_s: float | None = None
        for index, raw in enumerate(self._raw_frames):
            if first_s is None:
                first_s = raw.captured_s
            own_s = index / self.fps if raw.timestamp_s is None else raw.timestamp_s
            yield Frame(
                image=raw.image,
                index=index,
                timestamp_s=raw.captured_s - first_s if self.is_live else own_s,
                captured_s=raw.captured_s,
                capture_ms=(time.perf_counter() - raw.captured_s) * 1e3,
                truth=raw.truth,
            )

    def interrupt(self) -> None:
        """Have a camera's frames end soon, lost or not, so that who takes them can close it.

        Any thread may call it; :meth:`close` is for the one that takes the frames.
        """
        if isinstance(self._raw_frames, Interruptible):
            self._raw_frames.interrupt()

    def close(self) -> None:
        """Give the camera or the file back; closing twice does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
