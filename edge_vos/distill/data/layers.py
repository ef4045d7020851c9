"""Objects that are cut out of a picture and moved over another one: shape, path, drawing.

A layer's edge is one pixel inside its mask and soft, so that nothing of the picture that it comes
from shows around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.footage import Footage, Image
from edge_vos.distill.data.motion import Move, random_path, smooth_warp

LARGEST_GROWTH = 1.5
"""Factor to which a cut-out is enlarged at most."""

MOST_OF_IT = 0.9
"""Share of a mask that hangs together where it is one thing."""

OPAQUE = 128
"""Opacity, of 255, from where a pixel is the object's."""

Cutout = NDArray[np.uint8]
"""(h, w, 4) uint8: BGR and opacity."""


@dataclass(frozen=True)
class Layer:
    """Hold an object that moves over a clip.

    Args:
        cutouts: one a frame, of one size, as large as they appear in the first one.
        centre_xy: where the cut-out's centre is in the first frame, in pixels of the image.
        path: its moves, in shares of the image's size.
        number: the object's id; 0 is a thing that is not followed.
    """

    cutouts: Sequence[Cutout]
    centre_xy: tuple[float, float]
    path: Sequence[Move]
    number: int

    def draw(self, frames: list[Image], labels: list[Image]) -> None:
        """Draw it over the frames and their labels, in place.

        Args:
            frames: (H, W, 3) uint8, BGR.
            labels: (H, W) uint8.
        """
        for cutout, move, frame, label in zip(self.cutouts, self.path, frames, labels, strict=True):
            self._draw(cutout, move, frame, label)

    def _draw(self, cutout: Cutout, move: Move, frame: Image, label: Image) -> None:
        height, width = label.shape
        rows, columns = cutout.shape[:2]
        cosine, sine = move.scale * np.cos(move.angle), move.scale * np.sin(move.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        centre = np.array(
            [
                self.centre_xy[0] + move.shift_xy[0] * width,
                self.centre_xy[1] + move.shift_xy[1] * height,
            ]
        )
        reach = np.abs(turn) @ np.array([columns / 2, rows / 2]) + 1
        left, top = np.maximum(np.floor(centre - reach), 0).astype(int)
        right, bottom = np.minimum(np.ceil(centre + reach), (width, height)).astype(int)
        if right <= left or bottom <= top:
            return
        offset = centre - turn @ np.array([(columns - 1) / 2, (rows - 1) / 2]) - (left, top)
        matrix = np.column_stack([turn, offset])
        drawn = cv2.warpAffine(cutout, matrix, (int(right - left), int(bottom - top)))
        box = np.s_[top:bottom, left:right]
        opacity = drawn[..., 3].astype(np.float32) / 255
        frame[box] = cv2.blendLinear(
            np.ascontiguousarray(drawn[..., :3]),
            np.ascontiguousarray(frame[box]),
            opacity,
            1 - opacity,
        )
        label[box][drawn[..., 3] >= OPAQUE] = self.number


def cut_out(pictures: Sequence[Image], masks: Sequence[Image]) -> list[Cutout] | None:
    """Cut an object out of pictures, in the box that holds it in all of them.

    Args:
        pictures: (H, W, 3) uint8, BGR.
        masks: (H, W) uint8, non-zero on the object.

    Returns:
        one cut-out a picture; None if the first mask is empty.
    """
    if not masks[0].any():
        return None
    union = np.zeros(masks[0].shape, bool)
    for mask in masks:
        union |= mask > 0
    rows, columns = np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return [_cut(picture[box], mask[box]) for picture, mask in zip(pictures, masks, strict=True)]


def one_thing(labels: Image) -> Image | None:
    """Return the mask of what a label map shows if it hangs together, as the parts of a person do.

    Labels that lie apart from it are left out. Of a herd there is none.

    Args:
        labels: (H, W) uint8, 0 is the background.

    Returns:
        (H, W) uint8 of 0 and 1, or None.
    """
    _, places, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not areas.size or areas.max() < MOST_OF_IT * areas.sum():
        return None
    largest = places == 1 + int(areas.argmax())
    own = np.bincount(labels[largest], minlength=256) > 0
    return own[labels].astype(np.uint8)


def random_cutouts(footage: Footage, frames: int, rng: np.random.Generator) -> list[Cutout] | None:
    """Cut an object out of a photograph, or out of neighbouring frames of a video."""
    if footage.stills and (not footage.videos or rng.random() < 0.7):
        still = footage.stills[int(rng.integers(len(footage.stills)))]
        mask: Image | None = (still.labels > 0).astype(np.uint8)
        if len(still.parts) > 1:
            mask = None if rng.random() < 0.3 else one_thing(still.labels)
        if mask is None:
            part = still.parts[int(rng.integers(len(still.parts)))]
            mask = (still.labels == part).astype(np.uint8)
        cutouts = cut_out([still.frame], [mask])
        return cutouts * frames if cutouts else None
    if not footage.videos:
        return None
    video = footage.draw_video(rng)
    gap = int(rng.integers(1, 5))
    start = int(rng.integers(0, max(1, len(video.frames) - gap * frames)))
    chosen = np.minimum(start + gap * np.arange(frames), len(video.frames) - 1)
    return cut_out([video.frames[i] for i in chosen], [video.masks[i] for i in chosen])


def placed(
    cutouts: Sequence[Cutout],
    size: tuple[int, int],
    area: float,
    number: int,
    rng: np.random.Generator,
    bends: bool = True,
) -> Layer | None:
    """Scale an object to an area, put it anywhere in the first frame, and let it move.

    Args:
        cutouts: one a frame.
        size: (height, width) of the image in pixels.
        area: of the object in the first frame, as a share of the image.
        number: the object's id, or 0.
        rng: source of randomness.
        bends: bend a cut-out that is the same in every frame.

    Returns:
        the layer; None if nothing is left of the object at that size.
    """
    height, width = size
    pixels = int((cutouts[0][..., 3] >= OPAQUE).sum())
    if not pixels:
        return None
    rows, columns = cutouts[0].shape[:2]
    factor = min((area * height * width / pixels) ** 0.5, LARGEST_GROWTH, height / rows,
                 width / columns)  # fmt: skip
    small_wh = max(2, round(columns * factor)), max(2, round(rows * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    mirrored = rng.random() < 0.5
    same = all(cutout is cutouts[0] for cutout in cutouts)
    scaled = []
    for cutout in cutouts[:1] if same else cutouts:
        resized = np.asarray(cv2.resize(cutout, small_wh, interpolation=way), np.uint8)
        scaled.append(np.ascontiguousarray(resized[:, ::-1]) if mirrored else resized)
    if same:
        bend = bends and rng.random() < 0.6
        scaled = _bent(scaled[0], len(cutouts), rng) if bend else scaled * len(cutouts)
    if not (scaled[0][..., 3] >= OPAQUE).any():
        return None
    strength = float(np.exp(rng.uniform(np.log(0.1), np.log(0.8))))
    centre = float(rng.uniform(0.1, 0.9) * width), float(rng.uniform(0.1, 0.9) * height)
    return Layer(scaled, centre, random_path(len(cutouts), strength, rng), number)


def leaving(layer: Layer, size: tuple[int, int], rng: np.random.Generator) -> Layer:
    """Let a layer leave over the nearest border and come back before the end.

    Args:
        layer: of three frames or more; others stay as they are.
        size: (height, width) of the image in pixels.
        rng: source of randomness.
    """
    frames = len(layer.path)
    if frames < 3:
        return layer
    first = int(rng.integers(1, frames - 1))
    last = int(rng.integers(first, frames - 1))
    height, width = size
    path = []
    for index, move in enumerate(layer.path):
        outside = 1.0 if first <= index <= last else 0.0
        if index and index in (first - 1, last + 1):
            outside = 0.5
        rows, columns = (side * move.scale for side in layer.cutouts[index].shape[:2])
        reach = float(np.hypot(rows, columns)) / 2 + 1
        x = layer.centre_xy[0] + move.shift_xy[0] * width
        y = layer.centre_xy[1] + move.shift_xy[1] * height
        ways = [(-x - reach, 0.0), (width - x + reach, 0.0), (0.0, -y - reach),
                (0.0, height - y + reach)]  # fmt: skip
        away = min(ways, key=lambda way: abs(way[0]) + abs(way[1]))
        shift = (
            move.shift_xy[0] + outside * away[0] / width,
            move.shift_xy[1] + outside * away[1] / height,
        )
        path.append(Move(shift, move.scale, move.angle))
    return Layer(layer.cutouts, layer.centre_xy, path, layer.number)


def passing(layer: Layer, target_xy: tuple[float, float], size: tuple[int, int], at: int,
            rng: np.random.Generator) -> Layer:  # fmt: skip
    """Let a layer pass over a place at one frame, straight and fast.

    Args:
        layer: whatever its own path.
        target_xy: the place, in pixels.
        size: (height, width) of the image in pixels.
        at: the frame.
        rng: source of randomness.
    """
    height, width = size
    direction, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.5) * max(size)
    step = speed * np.cos(direction), speed * np.sin(direction)
    start = target_xy[0] - at * step[0], target_xy[1] - at * step[1]
    path = [
        Move((index * step[0] / width, index * step[1] / height), move.scale, move.angle)
        for index, move in enumerate(layer.path)
    ]
    return Layer(layer.cutouts, start, path, layer.number)


def _cut(picture: Image, mask: Image) -> Cutout:
    """Join picture and opacity, with a border of nothing so that no edge is hard."""
    solid = (mask > 0).astype(np.uint8) * 255
    framed = cv2.copyMakeBorder(solid, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    if np.count_nonzero(solid) > 400:
        framed = cv2.erode(framed, np.ones((3, 3), np.uint8))
    opacity = cv2.GaussianBlur(framed, (3, 3), 0)
    bordered = cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    return np.dstack([bordered, opacity])


def _bent(cutout: Cutout, frames: int, rng: np.random.Generator) -> list[Cutout]:
    """Bend a cut-out smoothly, more from frame to frame."""
    rows, columns = cutout.shape[:2]
    pad = max(2, round(0.08 * max(rows, columns)))
    wide = cv2.copyMakeBorder(cutout, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    height, width = wide.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bends = smooth_warp((height, width), frames, float(rng.uniform(0.01, 0.05)), rng)
    return [
        np.asarray(cv2.remap(wide, x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR), np.uint8)
        for bend in bends
    ]
