"""What is carried where, and the frames that it is carried to."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceLost
from edge_vos.runtime.prompts.checks import check_size
from edge_vos.runtime.sources.frame import Frame


@dataclass(frozen=True)
class Keyframe:
    """Hold a frame whose mask is given.

    Args:
        index: its place among the frames.
        mask: (H, W) uint8 label map of channels, of that frame's size.
    """

    index: int
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """Say what to carry where.

    Args:
        frames: the pictures in order.
        keyframes: at least one, by ascending index.
        fps: for their times.
        names: of the objects, by channel.
        given_ids: the user's own ids, by channel, where they are others.
    """

    frames: Sequence[Path]
    keyframes: Sequence[Keyframe]
    fps: float
    names: Mapping[int, str]
    given_ids: Mapping[int, int]

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return the channels that any keyframe shows, ascending."""
        return tuple(sorted({int(i) for key in self.keyframes for i in np.unique(key.mask) if i}))


def read_frame(job: Job, index: int) -> Frame:
    """Read one frame.

    Raises:
        SourceLost: if it cannot be decoded.
    """
    started_s = time.perf_counter()
    picture = _decode(job.frames[index])
    capture_ms = (time.perf_counter() - started_s) * 1e3
    return Frame(picture, index, index / job.fps, started_s, capture_ms)


def read_given(job: Job, key: Keyframe) -> Frame:
    """Read the frame of a given mask.

    Raises:
        SourceLost: if it cannot be decoded.
        PromptError: if the mask is of another size.
    """
    frame = read_frame(job, key.index)
    check_size(key.mask, frame.image.shape[:2])
    return frame


def frame_size(path: Path) -> tuple[int, int]:
    """Return a picture's height and width as it is shown.

    Raises:
        SourceLost: if it cannot be decoded.
    """
    height, width = _decode(path).shape[:2]
    return height, width


def _decode(path: Path) -> NDArray[np.uint8]:
    try:
        encoded = np.fromfile(path, np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except OSError:
        image = None
    if image is None:
        raise SourceLost(
            f"The image {path} cannot be decoded", "intact images", "Remove it or replace it"
        )
    return np.asarray(image, np.uint8)
