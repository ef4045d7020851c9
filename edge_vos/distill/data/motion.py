"""Motion, lens and colour for training clips: affine paths, smooth bends, blur, jitter."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.objects.zoom import FILL

Image = NDArray[np.uint8]
Field = NDArray[np.float32]


LEAST_VIEW = 0.44
"""Of the frame's height: what a view shows at least on frames of 480 lines at 352x640."""


@dataclass(frozen=True)
class Move:
    """Displace a frame against the first one: fractions of the size, a factor, radians."""

    shift_xy: tuple[float, float]
    scale: float
    angle: float


@dataclass(frozen=True)
class Warp:
    """Map output pixels to source pixels: (H, W) float32 coordinates in the source."""

    map_x: Field
    map_y: Field

    def image(self, source: Image) -> Image:
        """Warp a BGR image bilinearly; outside it is mirrored."""
        return cv2.remap(
            source, self.map_x, self.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ).astype(np.uint8, copy=False)

    def mask(self, source: Image, mirror: bool = True) -> Image:
        """Warp a label map by nearest neighbour; outside it is mirrored like the image, or 0."""
        border = cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT
        return cv2.remap(
            source, self.map_x, self.map_y, cv2.INTER_NEAREST, borderMode=border, borderValue=0
        ).astype(np.uint8, copy=False)


@dataclass(frozen=True)
class Camera:
    """Look at a source: where its centre lies, how large it appears, mirrored or not."""

    size: tuple[int, int]
    centre_xy: tuple[float, float]
    target_xy: tuple[float, float]
    zoom: float
    flip: float

    @classmethod
    def on_object(
        cls,
        mask: Image,
        size: tuple[int, int],
        rng: np.random.Generator,
        zoom: tuple[float, float] = (0.8, 2.0),
        place: bool = False,
    ) -> "Camera":
        """Point a camera so that a random pixel of ``mask`` is in view.

        Args:
            mask: (H, W) uint8, non-zero on the object; may be empty.
            size: (height, width) of the output in pixels.
            rng: source of randomness.
            zoom: range of the factor beyond just covering the output with the source.
            place: put the object anywhere in the output, as for pasting.
        """
        height, width = size
        rows, columns = mask.shape
        cover = max(height / rows, width / columns)
        factor = cover * float(np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1]))))
        pixels = np.flatnonzero(mask)
        if pixels.size:
            pick = int(pixels[int(rng.integers(pixels.size))])
            anchor = (pick % columns, pick // columns)
        else:
            anchor = (columns // 2, rows // 2)
        margin = 0.1 if place else 0.15
        target = (
            float(rng.uniform(margin, 1 - margin) * width),
            float(rng.uniform(margin, 1 - margin) * height),
        )
        if not place and factor >= cover:
            # Keep the view inside the source where it fits.
            half_x, half_y = width / factor, height / factor
            left = np.clip(anchor[0] - target[0] / factor, 0, max(columns - half_x, 0))
            top = np.clip(anchor[1] - target[1] / factor, 0, max(rows - half_y, 0))
            target = ((anchor[0] - left) * factor, (anchor[1] - top) * factor)
        flip = -1.0 if rng.random() < 0.5 else 1.0
        return cls(size, (float(anchor[0]), float(anchor[1])), target, factor, flip)

    def following(self, masks: Sequence[Image], rng: np.random.Generator) -> list["Camera"]:
        """Point a camera at the object of each frame, about as ``runtime.objects.zoom`` does.

        Args:
            masks: (H, W) uint8 a frame, non-zero on the object; where it is empty, the camera
                stays.
            rng: source of randomness: how large the object is seen, and how far from the middle.
        """
        height, width = self.size
        rows, columns = masks[0].shape
        whole = max(rows, columns * height / width)
        fill = FILL * float(np.exp(rng.normal(0, 0.2)))
        off_middle = rng.normal(0, 0.06, 2)
        frame = np.array((columns, rows))
        seen = 0.0  # lines of the frame
        cameras: list[Camera] = []
        for mask in masks:
            x, y, across, down = cv2.boundingRect((mask > 0).astype(np.uint8))
            if not across:
                cameras.append(cameras[-1] if cameras else self)
                continue
            wanted = max(down, across * height / width) / fill
            wanted = min(max(wanted, LEAST_VIEW * rows), whole)
            seen = min(max(wanted, 0.9 * seen), 1.5 * seen) if seen else wanted
            middle = np.array((x + across / 2, y + down / 2))
            middle = middle + (off_middle + rng.normal(0, 0.04, 2)) * seen
            least = np.minimum(np.array((seen * width / height, seen)) / 2, frame / 2)
            centre = np.clip(middle, least, frame - least)
            target = width / 2, height / 2
            place = float(centre[0]), float(centre[1])
            cameras.append(Camera(self.size, place, target, height / seen, self.flip))
        return cameras

    def warp(self, move: Move, bend: Field | None = None) -> Warp:
        """Build the map for one frame.

        Args:
            move: displacement of this frame.
            bend: (H, W, 2) float32 further displacement in output pixels, (x, y).
        """
        height, width = self.size
        x = np.arange(width, dtype=np.float32)[None]
        y = np.arange(height, dtype=np.float32)[:, None]
        if bend is not None:
            x, y = x + bend[..., 0], y + bend[..., 1]
        x = x - self.target_xy[0] - move.shift_xy[0] * width
        y = y - self.target_xy[1] - move.shift_xy[1] * height
        zoom = self.zoom * move.scale
        cosine, sine = np.cos(move.angle) / zoom, np.sin(move.angle) / zoom
        map_x = self.flip * cosine * x + self.flip * sine * y + self.centre_xy[0]
        map_y = -sine * x + cosine * y + self.centre_xy[1]
        return Warp(map_x.astype(np.float32), map_y.astype(np.float32))


def random_path(frames: int, strength: float, rng: np.random.Generator) -> list[Move]:
    """Draw a smooth path that starts at rest.

    Args:
        frames: number of moves to return; the first one is the identity.
        strength: typical shift over the clip as a fraction of the size; 0 stands still.
        rng: source of randomness.
    """
    velocity = rng.normal(0, 1, 4)
    path, state = [], np.zeros(4)
    for index in range(frames):
        if index:
            velocity = 0.7 * velocity + 0.5 * rng.normal(0, 1, 4)
            state = state + velocity * strength / max(frames - 1, 1)
        shift_x, shift_y, growth, turn = state
        path.append(
            Move(
                (0.6 * float(shift_x), 0.5 * float(shift_y)),
                float(np.exp(np.clip(0.4 * growth, -0.7, 0.7))),
                0.4 * float(turn),
            )
        )
    return path


def smooth_warp(
    size: tuple[int, int], frames: int, strength: float, rng: np.random.Generator
) -> list[Field]:
    """Draw smooth bends like a thin plate's, growing frame by frame from none.

    Args:
        size: (height, width) in pixels.
        frames: number of fields.
        strength: standard deviation of the last bend, as a fraction of the height.
        rng: source of randomness.

    Returns:
        (H, W, 2) float32 displacements in pixels, (x, y).
    """
    height, width = size
    state: Field = np.zeros((4, 5, 2), np.float32)
    bends: list[Field] = []
    for index in range(frames):
        if index:
            noise = rng.normal(0, strength * height / frames**0.5, state.shape)
            state = (state + noise).astype(np.float32)
        bend = cv2.resize(state, (width, height), interpolation=cv2.INTER_CUBIC)
        bends.append(bend.astype(np.float32, copy=False))
    return bends


def soften(frames: list[Image], rng: np.random.Generator) -> list[Image]:
    """Blur some frames along a line, as motion and focus do."""
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    centre = (length - 1) / 2
    for t in np.linspace(-centre, centre, 3 * length):
        kernel[round(centre + t * np.sin(angle)), round(centre + t * np.cos(angle))] += 1
    kernel /= kernel.sum()
    return [
        cv2.filter2D(frame, -1, kernel).astype(np.uint8) if rng.random() < 0.6 else frame
        for frame in frames
    ]


def moving_light(frames: list[Image], rng: np.random.Generator) -> list[Image]:
    """Brighten and shade parts of the image smoothly, differently from frame to frame."""
    height, width = frames[0].shape[:2]
    first, last = rng.normal(0, 0.35, (2, 4, 5))
    result = []
    for index, frame in enumerate(frames):
        way = index / max(len(frames) - 1, 1)
        coarse = np.exp((1 - way) * first + way * last).astype(np.float32)
        gain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        lit = cv2.multiply(frame, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U)
        result.append(np.asarray(lit, np.uint8))
    return result


def jitter_colour(frames: list[Image], rng: np.random.Generator) -> list[Image]:
    """Change brightness, contrast and colour balance: mostly per clip, slightly per frame."""
    gain = np.exp(rng.normal(0, 0.08, 3)) * np.exp(rng.normal(0, 0.2))
    offset = rng.normal(0, 12)
    grey = rng.random() < 0.08
    result = []
    levels = np.arange(256, dtype=np.float32)[:, None]
    for frame in frames:
        table = levels * (gain * np.exp(rng.normal(0, 0.03))) + offset + rng.normal(0, 3)
        lut = np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3)
        if grey:
            flat = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            frame = cv2.cvtColor(flat, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
        result.append(cv2.LUT(frame, lut).astype(np.uint8, copy=False))
    return result
