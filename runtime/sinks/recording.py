"""Record pictures to a video file, each at its own time."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.matte import Render
from edge_vos.runtime.sinks.output import Sink, unwritable
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sinks.video.encoders import CONTAINERS, choose_codec
from edge_vos.runtime.sinks.video.opencv import ConstantRateVideo, JpegVideo
from edge_vos.runtime.sources.frame import Frame, Original
from edge_vos.runtime.sources.video_library import INSTALL

SUFFIXES = tuple(CONTAINERS)


class _Writer(Protocol):
    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None: ...

    def close(self) -> None: ...


class Recording(Sink):
    """Write a video under a name of its own, and give it the asked one when it is complete.

    A killed process leaves that other file, ``clip.partial.mkv``, which plays up to its last
    moment; an .mp4 or .mov does not, because its index is written last. With PyAV every picture has
    its own time. Without, an .mkv is Motion JPEG at its own times, and holds every picture that
    was written; an .mp4 has one rate, as an .avi always has, so that a picture is repeated for as
    long as no newer one came.

    Args:
        path: the video; its suffix chooses the format.
        fps: nominal; of a video with one rate the real one.
        size: height and width of the frames; one of another size is fitted into it.
        render: makes the picture.
        uri: what the user asked for; ``None`` is the path.
        codec: what it is written as, where the suffix leaves a choice: see ``encoders``.
        alpha: whether the pictures are BGRA.
        original: the file that the frames come from: its sound is copied, its pixels' shape kept.

    Attributes:
        notes: what the user should know of how it is written.

    Raises:
        SinkError: if no video can be written there.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        size: tuple[int, int],
        render: Render,
        uri: str | None = None,
        *,
        codec: str | None = None,
        alpha: bool = False,
        original: Original | None = None,
    ) -> None:
        self.uri = uri if uri is not None else str(path)
        self.files = (str(path),)
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._partial = partial_path(path)
        self._render = render
        self._fitted = size
        self._count = 0
        self._failed = False
        self._writer: _Writer | None = None
        suffix = path.suffix.lower()
        chosen = choose_codec(self.uri, suffix, codec, alpha)
        keeps_odd = chosen is None and suffix == ".mkv"
        self._size = size if keeps_odd else (size[0] + size[0] % 2, size[1] + size[1] % 2)
        if self._size != size:
            self._note(
                f"{path} is padded from {size[1]}x{size[0]} to {self._size[1]}x{self._size[0]}: "
                "its format takes even sides only"
            )
        if chosen is not None:
            from edge_vos.runtime.sinks.video.pyav import PyavVideo

            exact = PyavVideo(self._partial, path, fps, self._size, chosen, alpha, original)
            if exact.problem:
                self._note(f"{path} has no sound: {exact.problem}")
            self._writer = exact
            return
        if original is not None and original.pixel_aspect != 1:
            self._note(f"{path} will look stretched: it says nothing of its pixels' shape")
        if suffix == ".mkv":
            self._writer = JpegVideo(self._partial, path, fps, size)
            self._note(f"{path} is Motion JPEG without sound; H.264 and sound: {INSTALL}")
            return
        self._writer = ConstantRateVideo(self._partial, path, fps, self._size)
        if suffix == ".mp4":
            self._note(
                f"{path} is MPEG-4 part 2 at {fps:g} frames/s without sound; H.264, exact times "
                f"and sound: {INSTALL}"
            )
        elif original is not None and original.has_sound:
            self._note(f"{path} is written without sound: give a name in .mp4 or .mkv")

    def _note(self, note: str) -> None:
        self.notes = (*self.notes, note)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Encode one frame.

        Raises:
            SinkError: if it cannot be written, such as on a full disk; what was written stays.
        """
        if self._writer is None:
            return
        picture = _pad(_fit(self._render(frame, result), self._fitted), self._size)
        try:
            self._writer.write(picture, frame.timestamp_s)
        except SinkError:
            self._failed = True
            raise
        self._count += 1

    def close(self) -> None:
        """Complete the video; without a frame there is none. Closing twice does nothing.

        Raises:
            SinkError: if it cannot be completed, or cannot have its name. Where a frame was
                refused before, that error said it.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        files, self.files = self.files, ()
        try:
            writer.close()
            if self._count:
                self._partial.replace(self._path)
                self.files = files
            else:
                self._partial.unlink(missing_ok=True)
        except OSError as error:
            if not self._failed:
                raise unwritable(self._path, error) from error
        except SinkError:
            if not self._failed:
                raise


def _fit(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit a picture of another size into the video's, with black beside it."""
    if picture.shape[:2] == size:
        return picture
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted = np.zeros((*size, picture.shape[2]), np.uint8)
    fitted[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA
    )
    return fitted


def _pad(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Repeat the last row and column up to even sides."""
    below, right = size[0] - picture.shape[0], size[1] - picture.shape[1]
    if not (below or right):
        return picture
    padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
