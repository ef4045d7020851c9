"""Some of the frames since one that stood still, to follow an object from there to now."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.frame import Frame

MOST_FRAMES = 15
"""So many are kept beside the first and the newest one."""

_SIDE_PX = 512  # about what networks take; larger frames are kept at this size


class FrameHistory:
    """Keep frames, evenly spread over the time since the first, in constant memory.

    One thread may add while another one goes along.

    Args:
        first: where it begins; it is kept as it is.
    """

    def __init__(self, first: Frame) -> None:
        self.first = first
        self._newest = first
        self._kept: tuple[tuple[int, NDArray[np.uint8]], ...] = ()  # index and small image
        self._added = 0
        self._stride = 1

    def add(self, frame: Frame) -> None:
        """Take the next frame; one that is not newer than the last is left out."""
        if frame.index <= self._newest.index:
            return
        self._newest = frame
        self._added += 1
        if self._added % self._stride:
            return
        kept = (*self._kept, (frame.index, _shrink(frame.image)))
        if len(kept) > MOST_FRAMES:
            kept = kept[1::2]
            self._stride *= 2
        self._kept = kept

    @property
    def newest(self) -> Frame:
        """Return the last frame that was added, or the first one."""
        return self._newest

    def after_first(self) -> Iterator[NDArray[np.uint8]]:
        """Go along the frames after the first one, to the newest.

        Yields:
            at most ``MOST_FRAMES + 1`` frames, (H, W, 3) uint8, BGR, of the newest one's size.
        """
        kept, newest = self._kept, self._newest
        size = newest.image.shape[1::-1]
        for index, image in kept:
            if index < newest.index:
                full = image if image.shape[1::-1] == size else cv2.resize(image, size)
                yield np.asarray(full, np.uint8)
        if newest.index > self.first.index:
            yield newest.image


def catch_up(
    history: FrameHistory,
    labels: NDArray[np.uint8],
    segmenter: Segmenter,
    staying: Frame | None = None,
) -> None:
    """Prompt an object by its mask in a history's first frame, which may be long ago.

    It is followed from there to the newest frame by itself, with a memory of its own: the
    segmenter's knows of later frames in which it was background, and the other objects in it are
    not led back. Where it gets lost on the way, the segmenter is shown the first frame.

    Args:
        history: the frames.
        labels: (H, W) uint8 label map of one object, for the first frame.
        segmenter: takes the prompt, and one step unless it steps through that frame next.
        staying: the frame that the segmenter steps through next, where that is known.

    Raises:
        PromptError: if the mask does not fit the frame.
        EngineError: if the engine fails.
    """
    frame = history.first
    if history.newest.index > frame.index:
        alone = Segmenter(segmenter.model, segmenter.memory.policy)
        alone.prompt(labels)
        mask = alone.step(frame.image).mask
        for image in history.after_first():
            mask = alone.step(image).mask
        if mask.any():
            labels, frame = mask, history.newest
    segmenter.prompt(labels)
    if staying is None or staying.index != frame.index:
        segmenter.step(frame.image)


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
