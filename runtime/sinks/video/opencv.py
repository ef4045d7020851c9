"""Write video with what the base install has: OpenCV's encoders, and Motion JPEG in Matroska."""

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.sinks.output import unwritable
from edge_vos.runtime.sinks.video.matroska import MatroskaWriter
from edge_vos.runtime.sinks.video.room import LOOK_EVERY, check_room

# What the wheels of OpenCV can encode everywhere.
FOURCC = {".mp4": "mp4v", ".avi": "MJPG"}
_QUALITY = 90
_LONGEST_GAP_S = 5.0  # a camera that was away for longer leaves no more repetitions than this


class JpegVideo:
    """Write JPEG pictures into a Matroska file, each at its time.

    Args:
        partial: the file that is written.
        path: the name that it gets; for messages.
        fps: nominal.
        size: height and width.

    Raises:
        SinkError: if it cannot be written.
    """

    def __init__(self, partial: Path, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        self._first_s: float | None = None
        try:
            self._writer = MatroskaWriter(partial, fps, size)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture."""
        self._first_s = timestamp_s if self._first_s is None else self._first_s
        _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        try:
            self._writer.write(jpeg.data, timestamp_s - self._first_s)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()


class ConstantRateVideo:
    """Write a picture a period; repeat the last one where none came, leave out one too many.

    Args:
        partial: the file that is written.
        path: the name that it gets; its suffix chooses the format.
        fps: the rate.
        size: height and width, both even.

    Raises:
        SinkError: if it cannot be written.
    """

    def __init__(self, partial: Path, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._partial, self._path, self._fps = partial, path, fps
        self._first_s: float | None = None
        self._last: NDArray[np.uint8] | None = None
        self._count = 0
        self._skipped_s = 0.0
        codec = cv2.VideoWriter.fourcc(*FOURCC[path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(partial), codec, fps, (size[1], size[0]))
        if not self._writer.isOpened():
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise SinkError(
                f"No video can be written to {path}",
                "a folder that may be written to, and room on its disk",
                f"ls -ld {path.parent}",
            )

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture, as often as its time asks for."""
        self._first_s = timestamp_s if self._first_s is None else self._first_s
        due = round((timestamp_s - self._first_s - self._skipped_s) * self._fps)
        if (gap_s := (due - self._count) / self._fps) > _LONGEST_GAP_S:
            self._skipped_s += gap_s - _LONGEST_GAP_S
            due = self._count + round(_LONGEST_GAP_S * self._fps)
        while self._last is not None and self._count < due:
            self._put(self._last)
        if self._count <= due:
            self._put(picture)
            self._last = picture.copy()

    def _put(self, picture: NDArray[np.uint8]) -> None:
        if self._count % LOOK_EVERY == 0:
            check_room(self._path)
        self._writer.write(picture)
        self._count += 1

    def close(self) -> None:
        """Complete the file, and see whether it can be read: OpenCV tells of no full disk."""
        self._writer.release()
        if not self._count:
            return
        written = cv2.VideoCapture(str(self._partial))
        intact = written.isOpened()
        written.release()
        if not intact:
            raise SinkError(
                f"The video {self._partial} was written and cannot be opened",
                "room on the disk",
                f"df -h {self._path.parent}",
            )
