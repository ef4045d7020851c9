"""Record pictures to a video file, each at its own time."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.matroska import MatroskaWriter
from edge_vos.runtime.sinks.matte import Render
from edge_vos.runtime.sinks.output import Sink, unwritable
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame

# What the wheels of OpenCV can encode everywhere.
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
SUFFIXES = (".mkv", *CODECS)
_QUALITY = 90
_LEAST_FREE_BYTES = 16 << 20  # an .mp4 needs room for its index when it is completed
_LOOK_EVERY = 30  # pictures
_LONGEST_GAP_S = 5.0  # a camera that was away for longer leaves no more repetitions than this


class _Writer(Protocol):
    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None: ...

    def close(self) -> None: ...


class Recording(Sink):
    """Write a video under a name of its own, and give it the asked one when it is complete.

    A killed process leaves that other file, ``clip.partial.mkv``. An .mkv holds every picture that
    was written, at its own time; an .avi plays mostly as far as it goes; an .mp4 does not, because
    its index is written last. Both of these have one rate, so a picture is repeated for as long as
    no newer one came.

    Args:
        path: the video; its suffix chooses the format.
        fps: nominal; of an .mp4 or .avi the real one.
        size: height and width of the video; a frame of another size is fitted into it.
        render: makes the picture.
        uri: what the user asked for; ``None`` is the path.

    Raises:
        SinkError: if no video can be written there.
    """

    def __init__(
        self, path: Path, fps: float, size: tuple[int, int], render: Render, uri: str | None = None
    ) -> None:
        self.uri = uri if uri is not None else str(path)
        self.files = (str(path),)
        self._path = path
        self._partial = partial_path(path)
        self._size = size
        self._render = render
        self._first_s: float | None = None
        self._count = 0
        self._failed = False
        self._writer: _Writer | None
        if path.suffix.lower() == ".mkv":
            self._writer = _VaryingRate(self._partial, path, fps, size)
        else:
            self._writer = _ConstantRate(self._partial, path, fps, size)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Encode one frame.

        Raises:
            SinkError: if it cannot be written, such as on a full disk; what was written stays.
        """
        if self._writer is None:
            return
        picture = _fit(self._render(frame, result), self._size)
        if self._first_s is None:
            self._first_s = frame.timestamp_s
        try:
            self._writer.write(picture, frame.timestamp_s - self._first_s)
        except SinkError:
            self._failed = True
            raise
        self._count += 1

    def close(self) -> None:
        """Complete the video; without a frame there is none. Closing twice does nothing.

        Raises:
            SinkError: if what was written cannot be opened again, or cannot have its name. Where
                a frame was refused before, that error said it.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        files, self.files = self.files, ()
        try:
            if self._complete(writer):
                self.files = files
        except OSError as error:
            if not self._failed:
                raise unwritable(self._path, error) from error
        except SinkError:
            if not self._failed:
                raise

    def _complete(self, writer: _Writer) -> bool:
        writer.close()
        if not self._count:
            self._partial.unlink(missing_ok=True)
            return False
        # OpenCV's encoder does not report a full disk.
        written = cv2.VideoCapture(str(self._partial))
        intact = written.isOpened()
        written.release()
        if not intact:
            raise SinkError(
                f"The video {self._partial} was written and cannot be opened",
                "room on the disk",
                f"df -h {self._path.parent}",
            )
        self._partial.replace(self._path)
        return True


class _VaryingRate:
    """Write JPEG pictures into a Matroska file, each at its time."""

    def __init__(self, partial: Path, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        try:
            self._writer = MatroskaWriter(partial, fps, size)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        try:
            self._writer.write(jpeg.data, timestamp_s)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        self._writer.close()


class _ConstantRate:
    """Write a picture a period; repeat the last one where none came, leave out one too many."""

    def __init__(self, partial: Path, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path, self._fps = path, fps
        self._last: NDArray[np.uint8] | None = None
        self._count = 0
        self._skipped_s = 0.0
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
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
        due = round((timestamp_s - self._skipped_s) * self._fps)
        if (gap_s := (due - self._count) / self._fps) > _LONGEST_GAP_S:
            self._skipped_s += gap_s - _LONGEST_GAP_S
            due = self._count + round(_LONGEST_GAP_S * self._fps)
        while self._last is not None and self._count < due:
            self._put(self._last)
        if self._count <= due:
            self._put(picture)
            self._last = picture.copy()

    def _put(self, picture: NDArray[np.uint8]) -> None:
        if self._count % _LOOK_EVERY == 0:
            try:
                free = shutil.disk_usage(self._path.parent).free
            except OSError as error:
                raise unwritable(self._path, error) from error
            if free < _LEAST_FREE_BYTES:
                raise SinkError(
                    f"The disk of {self._path} is full, with {free / 1e6:.0f} MB left",
                    f"more than {_LEAST_FREE_BYTES / 1e6:.0f} MB",
                    f"df -h {self._path.parent}",
                )
        self._writer.write(picture)
        self._count += 1

    def close(self) -> None:
        self._writer.release()


def _fit(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit a picture of another size into the video's, with black beside it."""
    if picture.shape[:2] == size:
        return picture
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA
    )
    return fitted
