"""Procedural pictures for synthetic scenes: a cluttered background and textured shapes."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_SUPERSAMPLING = 4


def fractal_noise(
    rng: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 4
) -> NDArray[np.float32]:
    """Make smooth noise with detail on several scales.

    Args:
        rng: draws the random numbers.
        size: height and width.
        cells: blobs along the shorter side, on the coarsest scale.
        octaves: scales, each twice as fine and half as strong.

    Returns:
        (H, W) float32 in [0, 1].
    """
    height, width = size
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        across = cells * 2**octave
        rows = max(2, round(across * height / min(size)))
        columns = max(2, round(across * width / min(size)))
        values = rng.random((rows, columns), np.float32)
        total += cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def background_texture(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make a background with things in it that are not objects.

    Args:
        rng: draws the random numbers.
        size: height and width.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    # At half the size, a quarter of the memory: it is out of focus.
    height, width = ((side + 1) // 2 for side in size)
    picture = _mix(rng, fractal_noise(rng, (height, width), 3, 5), (40, 110), (60, 180)).astype(
        np.uint8
    )
    for _ in range(14):
        axes = rng.integers(height // 16, height // 4, 2)
        reach = int(axes.max()) + 8
        x, y = int(rng.integers(width)), int(rng.integers(height))
        stencil = np.zeros((2 * reach, 2 * reach), np.uint8)
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            cv2.ellipse(stencil, (reach, reach), axes.tolist(), angle, 0, 360, 255, -1)
        else:
            corners = cv2.boxPoints(((reach, reach), axes.tolist(), angle))
            cv2.fillPoly(stencil, [corners.astype(np.int32)], 255)
        # Most of it out of focus, as behind a subject.
        soft = cv2.GaussianBlur(stencil, (0, 0), float(rng.uniform(0.4, 2.5)))
        weight = soft[:, :, None].astype(np.float32) * (0.85 / 255)
        patch = _mix(rng, fractal_noise(rng, soft.shape, 3, 4), (30, 120), (50, 200))
        top, left = max(y - reach, 0), max(x - reach, 0)
        window = picture[top : y + reach, left : x + reach]
        first_row, first_column = top - y + reach, left - x + reach
        part = (
            slice(first_row, first_row + window.shape[0]),
            slice(first_column, first_column + window.shape[1]),
        )
        window[:] = window * (1 - weight[part]) + patch[part] * weight[part]
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def object_texture(rng: np.random.Generator, diameter: int, number: int) -> NDArray[np.uint8]:
    """Make one object: a shape with a pattern, lit from one side.

    Args:
        rng: draws the random numbers.
        diameter: pixels across.
        number: shapes and hues go round with it, so that neighbours differ.

    Returns:
        (S, S, 4) uint8: BGR times opacity, and opacity.
    """
    side = diameter + 8
    opacity = _shape(rng, side, diameter / 2, number).astype(np.float32) / 255
    hue = (number * 47 + float(rng.uniform(0, 12))) % 180
    noise = fractal_noise(rng, (side, side), 3, 5)
    blend = np.clip(0.75 * _pattern(rng, side, number) + 0.5 * (noise - 0.5), 0, 1)
    one = _colour(hue, rng.uniform(120, 220), rng.uniform(150, 240))
    other = _colour(hue + rng.uniform(20, 60), rng.uniform(60, 200), rng.uniform(50, 160))
    picture = one * (1 - blend[:, :, None]) + other * blend[:, :, None]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    light = 1.1 - 0.7 * np.hypot(rows + 0.15, columns + 0.12)
    colour = np.clip(picture * light[:, :, None], 0, 255) * opacity[:, :, None]
    return np.dstack([colour, 255 * opacity]).round().astype(np.uint8)


def _shape(rng: np.random.Generator, side: int, radius: float, number: int) -> NDArray[np.uint8]:
    """Draw an outline, smooth at its edge."""
    turns = np.linspace(0, 2 * math.pi, 240, endpoint=False)
    match number % 4:
        case 0:  # a blob
            radii = np.ones_like(turns)
            for wave in range(2, 6):
                radii += rng.uniform(0.03, 0.12) * np.sin(
                    wave * turns + rng.uniform(0, 2 * math.pi)
                )
        case 1:  # a box with round corners
            power = 5.0
            radii = (np.abs(np.cos(turns)) ** power + np.abs(np.sin(turns)) ** power) ** (
                -1 / power
            )
            radii *= np.hypot(np.cos(turns), 0.75 * np.sin(turns))
        case 2:  # a star
            radii = 1 + 0.28 * np.cos(5 * turns)
        case _:  # a ring
            radii = np.ones_like(turns)
    radii *= radius / radii.max()
    fine = np.zeros((side * _SUPERSAMPLING, side * _SUPERSAMPLING), np.uint8)
    middle = side / 2
    outline = np.column_stack([np.cos(turns), np.sin(turns)])
    for share, value in ((1.0, 255), (0.42, 0)) if number % 4 == 3 else ((1.0, 255),):
        points = (middle + share * radii[:, None] * outline) * _SUPERSAMPLING
        cv2.fillPoly(fine, [points.round().astype(np.int32)], value)
    return np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _pattern(rng: np.random.Generator, side: int, number: int) -> NDArray[np.float32]:
    """Make a pattern in [0, 1]: stripes, checks, dots or marble."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    angle = rng.uniform(0, math.pi)
    u = columns * math.cos(angle) + rows * math.sin(angle)
    v = rows * math.cos(angle) - columns * math.sin(angle)
    frequency = 2 * math.pi * rng.uniform(3, 6)
    match (number + number // 4) % 4:
        case 0:
            waves = np.sin(frequency * u)
        case 1:
            waves = np.sin(frequency * u) * np.sin(frequency * v)
        case 2:
            waves = np.sin(frequency * (u + 0.3 * fractal_noise(rng, (side, side), 3)))
        case _:
            waves = np.cos(frequency * u) + np.cos(frequency * v) - 0.6
    return np.asarray(np.clip(0.5 + 3 * waves, 0, 1), np.float32)


def _mix(
    rng: np.random.Generator,
    blend: NDArray[np.float32],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> NDArray[np.float32]:
    """Colour noise between two random colours."""
    one, other = (
        _colour(rng.uniform(0, 180), rng.uniform(*saturation), rng.uniform(*value))
        for _ in range(2)
    )
    return one + (other - one) * blend[:, :, None]


def _colour(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """Convert OpenCV's HSV (hue 0-180) to BGR float32 in [0, 255]."""
    hsv = np.array([[[hue % 180, saturation, value]]]).round().astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0], np.float32)
