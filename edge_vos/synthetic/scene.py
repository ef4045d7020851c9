"""Render a procedural scene with exact masks, fast enough to feed a benchmark.

All textures are made once. A frame is a window into a larger background, over which each object's
sprite is turned, scaled and blended, so its cost is that of the pixels that the objects cover.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.synthetic.textures import background_texture, object_texture

_PLACEMENTS = 24  # tries to find a first frame in which every object shows
_NOISE = 6  # amplitude of the sensor's noise, in grey levels


@dataclass(frozen=True)
class _Wave:
    """Hold ``middle + amplitude * sin(rate * t + phase)``."""

    middle: float
    amplitude: float
    rate: float
    phase: float

    def at(self, time_s: float) -> float:
        return self.middle + self.amplitude * math.sin(self.rate * time_s + self.phase)


@dataclass(frozen=True)
class _Sprite:
    """Hold one object's pixels and motion.

    Args:
        label: its id in the mask; 0 for what only hides others.
        pixels: (S, S, 4) uint8, BGR times opacity, and opacity.
    """

    label: int
    pixels: NDArray[np.uint8]
    x: _Wave
    y: _Wave
    scale: _Wave
    stretch: _Wave
    angle: _Wave
    spin: float

    def warp(self, time_s: float) -> NDArray[np.float64]:
        """Return the 2x3 map from the sprite's pixels to the frame's."""
        side = self.pixels.shape[0]
        angle = self.angle.at(time_s) + self.spin * time_s
        scale, stretch = self.scale.at(time_s), self.stretch.at(time_s)
        cos, sin = math.cos(angle), math.sin(angle)
        linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])
        middle = np.array([self.x.at(time_s), self.y.at(time_s)])
        return np.column_stack([linear, middle - linear @ np.full(2, (side - 1) / 2)])


class Scene:
    """Render textured objects that move over a drifting background.

    The same arguments give the same frames, and each frame can be rendered by itself.

    Args:
        size: height and width.
        objects: how many; their ids in the mask are 1 and up, later ones lie above.
        seed: of everything that is drawn at random.
    """

    def __init__(self, size: tuple[int, int], objects: int, seed: int = 0) -> None:
        self.size = size
        self.objects = objects
        rng = np.random.default_rng(seed)
        height, width = size
        self._margin = max(8, min(size) // 8)
        self._background = background_texture(
            rng, (height + 2 * self._margin, width + 2 * self._margin)
        )
        self._grain = rng.integers(0, 2 * _NOISE + 1, (height + 64, width + 64, 3), np.uint8)
        self._pan = (_wave(rng, 0, 0.9, 0.10, 0.25), _wave(rng, 0, 0.9, 0.10, 0.25))
        self._light = _wave(rng, 1.0, 0.07, 0.2, 0.5)
        # Smaller when there are many, so that they still find room.
        radius = 0.2 * min(size) * min(1.0, (4 / (objects + 1)) ** 0.5)
        textures = [object_texture(rng, round(2 * radius), number) for number in range(objects + 1)]
        self._sprites = self._place(rng, textures)

    def render(self, time_s: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Render the frame of one moment.

        Args:
            time_s: seconds from the start.

        Returns:
            (H, W, 3) uint8 BGR frame, and (H, W) uint8 label map of what is seen of each object.
        """
        height, width = self.size
        left = round(self._margin * (1 + self._pan[0].at(time_s)))
        top = round(self._margin * (1 + self._pan[1].at(time_s)))
        image = self._background[top : top + height, left : left + width].copy()
        truth = np.zeros(self.size, np.uint8)
        for sprite in self._sprites:
            _draw(sprite, time_s, image, truth)
        # A new stretch of the same grain each time, by steps that do not repeat soon.
        tick = round(time_s * 1000)
        row, column = tick * 29 % 64, tick * 37 % 64
        cv2.add(image, self._grain[row : row + height, column : column + width], dst=image)
        gain = self._light.at(time_s)
        cv2.convertScaleAbs(image, dst=image, alpha=gain, beta=-gain * _NOISE)
        return image, truth

    def _place(self, rng: np.random.Generator, textures: list[NDArray[np.uint8]]) -> list[_Sprite]:
        """Choose motions such that each object is seen well in the first frame."""
        best: list[_Sprite] = []
        best_share = -1.0
        for _ in range(_PLACEMENTS):
            # The last one has no id: it is a stranger that passes in front.
            labels = [*range(1, self.objects + 1), 0]
            sprites = [
                self._sprite(rng, label, texture)
                for label, texture in zip(labels, textures, strict=True)
            ]
            share = self._least_share_seen(sprites)
            if share > best_share:
                best, best_share = sprites, share
            if best_share > 0.8:
                break
        return best

    def _sprite(self, rng: np.random.Generator, label: int, pixels: NDArray[np.uint8]) -> _Sprite:
        height, width = self.size
        spread = 0.1 + 0.015 * self.objects
        return _Sprite(
            label=label,
            pixels=pixels,
            x=_path(rng, width, spread, (0.15, 0.25)),
            y=_path(rng, height, spread, (0.1, 0.2)),
            scale=_wave(rng, 1.0, rng.uniform(0.1, 0.25), 0.3, 0.8),
            stretch=_wave(rng, 1.0, rng.uniform(0.03, 0.12), 0.6, 1.4),
            angle=_wave(rng, rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.5), 0.5, 1.1),
            spin=float(rng.choice([0.0, rng.uniform(-0.4, 0.4)])),
        )

    def _least_share_seen(self, sprites: list[_Sprite]) -> float:
        together = np.zeros(self.size, np.uint8)
        canvas = np.zeros((*self.size, 3), np.uint8)
        alone = []
        for sprite in sprites:
            _draw(sprite, 0.0, canvas, together)
            if sprite.label:
                by_itself = np.zeros(self.size, np.uint8)
                _draw(sprite, 0.0, canvas, by_itself)
                alone.append((sprite.label, cv2.countNonZero(by_itself)))
        return min(
            np.count_nonzero(together == label) / max(area_px, 1) for label, area_px in alone
        )


def _wave(
    rng: np.random.Generator, middle: float, amplitude: float, slowest: float, fastest: float
) -> _Wave:
    return _Wave(
        float(middle),
        float(amplitude),
        float(rng.uniform(slowest, fastest)),
        float(rng.uniform(0, 2 * math.pi)),
    )


def _path(rng: np.random.Generator, side: int, spread: float, reach: tuple[float, float]) -> _Wave:
    """Return a way to and fro along a side; spread and reach are parts of it."""
    middle = side * rng.uniform(0.5 - spread, 0.5 + spread)
    return _wave(rng, middle, side * rng.uniform(*reach), 0.4, 0.9)


def _draw(
    sprite: _Sprite, time_s: float, image: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    """Blend a sprite over a frame and its label over the mask, within the pixels it covers."""
    warp = sprite.warp(time_s)
    last = sprite.pixels.shape[0] - 1
    corners = warp @ np.array([[0, last, 0, last], [0, 0, last, last], [1, 1, 1, 1]], np.float64)
    height, width = truth.shape
    left, top = np.clip(np.floor(corners.min(axis=1)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=1)) + 1, 0, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    warp[:, 2] -= (left, top)
    # One warp of four channels costs less than one of three; what lies outside is transparent.
    pixels = cv2.warpAffine(sprite.pixels, warp, (int(right - left), int(bottom - top)))
    opacity = cv2.extractChannel(pixels, 3)
    clear = cv2.cvtColor(cv2.bitwise_not(opacity), cv2.COLOR_GRAY2BGR)
    window = image[top:bottom, left:right]
    behind = cv2.multiply(window, clear, scale=1 / 255)
    cv2.add(behind, cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), dst=window)
    truth[top:bottom, left:right][opacity > 127] = sprite.label
