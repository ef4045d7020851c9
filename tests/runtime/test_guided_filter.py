import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.guided_filter import EPSILON, FLAT, RADIUS, guided_filter


def _box(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average windows of (h, w), reflected at the border without repeating it."""
    padded = np.pad(values, RADIUS, mode="reflect")
    size = 2 * RADIUS + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).mean(axis=(2, 3))


def _textbook(source: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float64]:
    """Equations 14 to 16 of the paper, cell by cell in double precision, then enlarged.

    What is flat is interpolated instead.
    """
    height, width = source.shape
    scale = guide.shape[1] // height
    colours = guide.reshape(3, height, scale, width, scale).mean(axis=(2, 4), dtype=np.float64)
    means = np.stack([_box(plane) for plane in colours])
    level = _box(source.astype(np.float64))
    slopes, offset, trust = (
        np.zeros((3, height, width)),
        np.zeros((height, width)),
        np.zeros((height, width)),
    )
    second = np.array([[_box(a * b) for a in colours] for b in colours])
    joint = np.array([_box(plane * source) for plane in colours])
    for y, x in np.ndindex(height, width):
        mean = means[:, y, x]
        variance = second[:, :, y, x] - np.outer(mean, mean)
        covariance = joint[:, y, x] - mean * level[y, x]
        slopes[:, y, x] = np.linalg.solve(variance + EPSILON * np.eye(3), covariance)
        trust[y, x] = variance.trace() / (variance.trace() + FLAT)
        offset[y, x] = level[y, x] - slopes[:, y, x] @ mean
    size = guide.shape[2], guide.shape[1]
    planes = [source.astype(np.float64), *map(_box, (trust, offset, *slopes))]
    plain, weight, fitted, *steep = [cv2.resize(plane, size) for plane in planes]
    for slope, colour in zip(steep, guide, strict=True):
        fitted += slope * colour
    return plain + weight * (fitted - plain)


@pytest.mark.parametrize(("size", "scale"), [((9, 13), 4), ((5, 6), 2), ((16, 8), 4), ((3, 3), 4)])
@pytest.mark.parametrize("contrast", [255.0, 3.0])
def test_it_is_the_papers_filter(size: tuple[int, int], scale: int, contrast: float) -> None:
    rng = np.random.default_rng(0)
    guide = rng.uniform(0, contrast, (3, scale * size[0], scale * size[1])).astype(np.float32)
    source = rng.normal(0, 3, size).astype(np.float32)
    np.testing.assert_allclose(guided_filter(source, guide), _textbook(source, guide), atol=0.02)


def test_what_is_linear_in_colour_comes_back_at_the_pixels() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_LINEAR)
    guide = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    wanted = 0.05 * guide[0] - 0.02 * guide[1] + 0.03 * guide[2] - 4
    cells = cv2.resize(wanted, (16, 12), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(guided_filter(cells, guide), wanted, atol=0.1)


def test_a_grey_picture_is_no_singular_one() -> None:
    grey = np.tile(np.random.default_rng(2).uniform(0, 255, (32, 48)).astype(np.float32), (3, 1, 1))
    source = np.random.default_rng(3).normal(0, 3, (8, 12)).astype(np.float32)
    found = guided_filter(source, grey)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, _textbook(source, grey), atol=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_without_a_picture_it_interpolates(noise: float) -> None:
    """A thin or small object on ground of its own colour is not smoothed away."""
    rng = np.random.default_rng(4)
    source = np.full((12, 12), -6.0, np.float32)
    source[4:6, 5:7] = 1.0
    guide = (90 + noise * rng.normal(size=(3, 48, 48))).astype(np.float32)
    plain = cv2.resize(source, (48, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(guided_filter(source, guide), plain, atol=0.4 * noise + 1e-4)
