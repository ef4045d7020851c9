"""The clip on which a conversion is verified: frames, and prompts to follow through them."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.source import open_source

FRAMES = 60
"""How many frames a closed loop runs for: memory has filled long before."""


@dataclass(frozen=True)
class Clip:
    """Hold a verification clip.

    Args:
        name: what it is called in reports; no path of this machine.
        frames: T frames (H, W, 3) uint8, BGR.
        truth: T label maps (H, W) uint8, or ``None`` where nobody knows the truth.
    """

    name: str
    frames: tuple[NDArray[np.uint8], ...]
    truth: tuple[NDArray[np.uint8], ...] | None

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Return the label map to prompt a frame with.

        Where nobody knows the truth these are two rectangles: agreement of two engines can be
        seen on any region.
        """
        if self.truth is not None:
            return self.truth[index]
        height, width = self.frames[index].shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[height // 8 : height // 2, width // 8 : width // 2] = 1
        mask[height // 3 : height * 3 // 4, width // 2 : width * 7 // 8] = 2
        return mask

    def prompts(self) -> dict[int, NDArray[np.uint8]]:
        """Return the masks to give by frame: all objects at first, one corrected half way."""
        first, half = self.mask(0), len(self.frames) // 2
        last = first.max()
        correction = np.where(self.mask(half) == last, last, 0).astype(np.uint8)
        return {0: first, half: correction} if correction.any() else {0: first}


def synthetic_uri(size: tuple[int, int]) -> str:
    """Return the default clip for an image size: a generated scene with exact masks."""
    return f"synthetic://?size={size[0]}x{size[1]}&objects=3&frames={FRAMES}&seed=0"


def load_clip(uri: str, frames: int = FRAMES) -> Clip:
    """Read the first frames of a source.

    Args:
        uri: as ``edge_vos.runtime.source.open_source`` takes it.
        frames: how many.

    Raises:
        SourceError: if it cannot be read or has fewer frames.
    """
    with open_source(uri) as source:
        taken = list(islice(source, frames))
    if len(taken) < frames:
        raise SourceError(
            f"{uri} has {len(taken)} frames",
            f"at least {frames}, for a closed loop",
            "Leave --calibrate out to verify on a generated scene",
        )
    masks = [frame.truth for frame in taken if frame.truth is not None]
    known = len(masks) == frames and masks[0].any()
    name = uri if "://" in uri else uri.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return Clip(name, tuple(frame.image for frame in taken), tuple(masks) if known else None)
