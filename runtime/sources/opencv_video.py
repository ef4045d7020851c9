"""Decode a video file with OpenCV, which the base install has."""

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.frame import Original


class OpencvVideo:
    """Decode a file; see ``VideoReader``.

    Args:
        uri: what the user asked for.
        path: the file, or its address.

    Raises:
        SourceError: if it cannot be opened as a video.
    """

    def __init__(self, uri: str, path: str) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise not_a_video(uri)
        self.reached_s = 0.0
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        # Containers without an index answer with nonsense, also negative.
        self.announced_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def read(self) -> tuple[NDArray[np.uint8], float] | None:
        """Return the next frame and its time; None at the end."""
        ok, image = self._capture.read()
        if not ok:
            return None
        self.reached_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
        return np.asarray(image, np.uint8), self.reached_s

    def rewind(self, time_s: float) -> None:  # noqa: ARG002
        """Begin again; what comes before the time is decoded, because seeking is inexact."""
        self._capture.release()
        self._capture = cv2.VideoCapture(self._path)

    def original(self) -> Original:
        """Describe the file; OpenCV knows no sound."""
        above, below = (
            int(self._capture.get(name)) for name in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN)
        )
        square = above <= 0 or below <= 0
        aspect = Fraction(1) if square else Fraction(above, below)
        return Original(self._path, self.reached_s, pixel_aspect=aspect)

    def release(self) -> None:
        """Close the file."""
        self._capture.release()


def not_a_video(uri: str) -> SourceError:
    """Make the error for a file that nobody can open."""
    return SourceError(
        f"The file {uri!r} cannot be opened as a video",
        "an intact file that FFmpeg reads, such as .mp4, .mkv, .avi, .webm",
        f"ffprobe {uri}",
    )
