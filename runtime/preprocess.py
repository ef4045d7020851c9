"""Fit frames and masks into the image that the network takes, and probabilities back.

Every resize here maps pixel areas onto pixel areas (half-pixel centres), and the content's corners
lie on whole cells of the stride-4 grid. So going back is a crop and one resize, exact to sub-pixel.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import ShapeError
from edge_vos.graph import MASK_STRIDE, MEMORY_STRIDE

Scalar = TypeVar("Scalar", np.float32, np.uint8)

NEUTRAL = 127.0  # what the padding holds: the encoder's mean
# A bilinear sample sees two pixels, so a shrink beyond this aliases and needs more samples.
_MAX_BILINEAR_SHRINK = 2.25


@dataclass(frozen=True)
class Letterbox:
    """Map a frame into an image of another size, keeping its aspect ratio.

    The content's sides are rounded to whole cells, which changes the aspect ratio by at most two
    image pixels a side.

    Args:
        frame_size: (height, width) of the camera's frames.
        image_size: (height, width) that the network takes.
        top: image row at which the content starts, a multiple of 4.
        left: image column at which the content starts, a multiple of 4.
        content_size: (height, width) of the content in the image, multiples of 4.
    """

    frame_size: tuple[int, int]
    image_size: tuple[int, int]
    top: int
    left: int
    content_size: tuple[int, int]

    @classmethod
    def fit(cls, frame_size: tuple[int, int], image_size: tuple[int, int]) -> "Letterbox":
        """Centre frames in an image, as large as they fit.

        Raises:
            ShapeError: if a size is not positive, or the image's no multiple of 16.
        """
        if min(frame_size) < 1:
            raise ShapeError(f"A frame of {frame_size[0]}x{frame_size[1]}", "at least one pixel")
        if min(image_size) < MEMORY_STRIDE or any(side % MEMORY_STRIDE for side in image_size):
            raise ShapeError(
                f"An image of {image_size[0]}x{image_size[1]}",
                f"sides that are multiples of {MEMORY_STRIDE}",
            )
        scale = min(image_size[0] / frame_size[0], image_size[1] / frame_size[1])
        height, width = (
            min(max(MASK_STRIDE, round(side * scale / MASK_STRIDE) * MASK_STRIDE), limit)
            for side, limit in zip(frame_size, image_size, strict=True)
        )
        top = (image_size[0] - height) // (2 * MASK_STRIDE) * MASK_STRIDE
        left = (image_size[1] - width) // (2 * MASK_STRIDE) * MASK_STRIDE
        return cls(frame_size, image_size, top, left, (height, width))

    def image(
        self, frame: NDArray[np.uint8], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Make the network's image from a frame.

        Args:
            frame: (H, W, 3) uint8, BGR, of the letterbox's frame size.
            out: where to write the result; its padding must hold ``NEUTRAL`` already.

        Returns:
            (1, 3, H, W) float32 in [0, 255], RGB, of the letterbox's image size.
        """
        if out is None:
            out = np.full((1, 3, *self.image_size), NEUTRAL, np.float32)
        planes = self.pixels(out)[0]
        for channel, plane in enumerate(cv2.split(self._shrink(frame))):
            planes[2 - channel] = plane
        return out

    def coverage(self, mask: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
        """Make the network's prompt from a mask.

        Args:
            mask: (H, W) uint8 label map of the letterbox's frame size, ids below ``channels``.
            channels: K, the background and the objects.

        Returns:
            (1, K, H/4, W/4) float32 in [0, 1]: the part of each cell that the id covers. The
            channels add up to 1; padding is background.
        """
        cells = np.zeros((channels, *(side // MASK_STRIDE for side in self.image_size)), np.float32)
        content = self.crop(cells)
        height, width = content.shape[1:]
        for object_id in np.flatnonzero(np.bincount(mask.ravel(), minlength=channels)):
            if object_id:
                one = (mask == object_id).astype(np.float32)
                content[object_id] = cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA)
        cells[0] = 1.0 - np.minimum(cells.sum(axis=0), 1.0)
        return cells[np.newaxis]

    def pixels(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the content's part of (..., H, W) pixels, as a view."""
        height, width = self.content_size
        return image[..., self.top : self.top + height, self.left : self.left + width]

    def crop(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the content's part of (..., H/4, W/4) cells, as a view."""
        top, left = self.top // MASK_STRIDE, self.left // MASK_STRIDE
        height, width = (side // MASK_STRIDE for side in self.content_size)
        return cells[..., top : top + height, left : left + width]

    def enlarge(self, content: NDArray[Scalar]) -> NDArray[Scalar]:
        """Enlarge a map of the content, (h, w) of any size, to the frame's, bilinearly."""
        height, width = self.frame_size
        enlarged = cv2.resize(content, (width, height), interpolation=cv2.INTER_LINEAR)
        return cast(NDArray[Scalar], enlarged)

    def window(self, cells: tuple[slice, slice]) -> tuple[slice, slice]:
        """Return the rows and columns of the frame that a part of the content's cells covers."""
        rows, columns = (
            slice(part.start * side // count, -(-part.stop * side // count))
            for part, side, count in zip(
                cells,
                self.frame_size,
                (side // MASK_STRIDE for side in self.content_size),
                strict=True,
            )
        )
        return rows, columns

    def to_window(
        self, cells: NDArray[np.float32], rows: slice, columns: slice
    ) -> NDArray[np.float32]:
        """Bring a part of one channel back to the frame, for less work than all of it.

        Args:
            cells: (H/4, W/4) float32, one channel of the network's output.
            rows: pixels of the frame, from a start to a stop.
            columns: pixels of the frame, from a start to a stop.

        Returns:
            float32, what ``enlarge`` has there, to rounding.
        """
        content = self.crop(cells)
        count = content.shape[0]
        # OpenCV enlarges a part to the same values as in the whole only between places where a
        # cell's edge is a pixel's edge. For rows that is mostly every cell; but a part's outermost
        # half cells lack a neighbour. Columns are few values as long as rows are cells: by hand.
        blocks = math.gcd(count, self.frame_size[0])
        block_cells, block_pixels = count // blocks, self.frame_size[0] // blocks
        first = max(rows.start * count // self.frame_size[0] - 1, 0) // block_cells
        last = -(-min(rows.stop * count // self.frame_size[0] + 2, count) // block_cells)
        part = content[first * block_cells : last * block_cells]
        left, right, weight = (values[columns] for values in self._columns)
        across = part[:, left]
        across += (part[:, right] - across) * weight
        size = (len(left), (last - first) * block_pixels)
        down = cv2.resize(across, size, interpolation=cv2.INTER_LINEAR)
        offset = first * block_pixels
        return np.asarray(down[rows.start - offset : rows.stop - offset], dtype=np.float32)

    @cached_property
    def _columns(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        """Return, for each column of the frame, the two cells that it lies between, and where."""
        cells, pixels = self.content_size[1] // MASK_STRIDE, self.frame_size[1]
        position = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
        left = position.astype(np.intp)
        return left, np.minimum(left + 1, cells - 1), (position - left).astype(np.float32)

    def _shrink(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # OpenCV's own area resize is 4 to 6 times as slow as enough bilinear samples, averaged.
        height, width = self.content_size
        shrink = max(self.frame_size[0] / height, self.frame_size[1] / width)
        samples = max(1, math.ceil(shrink / _MAX_BILINEAR_SHRINK))
        size = (width * samples, height * samples)
        content = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        if samples > 1:
            content = cv2.resize(content, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(content, dtype=np.uint8)


def check_frame(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """Check that a frame is a colour picture and return its (height, width).

    Raises:
        ShapeError: if it is not (H, W, 3) uint8 with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ShapeError(
            f"A frame of {frame.dtype} and shape {frame.shape}",
            "(height, width, 3) uint8, BGR",
            "Read it with OpenCV, or convert it with cv2.cvtColor",
        )
    return frame.shape[0], frame.shape[1]
