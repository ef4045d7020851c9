"""Record the overlay to a video file."""

from pathlib import Path

import cv2

from edge_vos.errors import SinkError
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.frame import Frame
from edge_vos.runtime.output import Sink
from edge_vos.runtime.segmenter import FrameResult

# What the wheels of OpenCV can encode everywhere.
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}


class Recording(Sink):
    """Write a video under a name of its own, and give it the asked one when it is complete.

    A killed process leaves that other file, ``clip.partial.mkv``. An .mkv or .avi plays as far as
    it goes; an .mp4 does not, because its index is written last.

    Args:
        path: the video; its suffix chooses the codec.
        fps: of playback.
        size: height and width of the frames.
        painter: draws the overlay.

    Raises:
        SinkError: if no video can be written there.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], painter: Painter) -> None:
        self.uri = str(path)
        self._path = path
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._painter = painter
        self._count = 0
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        self._writer: cv2.VideoWriter | None = cv2.VideoWriter(
            str(self._partial), codec, fps, (size[1], size[0])
        )
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise SinkError(
                f"No video can be written to {path}",
                "a folder that may be written to, and room on its disk",
                f"ls -ld {path.parent}",
            )

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Encode one frame."""
        if self._writer is not None:
            self._writer.write(self._painter.paint(frame, result))
            self._count += 1

    def close(self) -> None:
        """Complete the video; without a frame there is none. Closing twice does nothing.

        Raises:
            SinkError: if what was written cannot be opened again.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.release()
        if self._count == 0:
            self._partial.unlink(missing_ok=True)
            return
        # The encoder does not report a full disk.
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
