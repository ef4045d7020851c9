"""Polygons along pixels' edges are filled to the same mask; simpler ones to within a pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.polygons import fill, join, polygons, rings

masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(lambda s: arrays(np.bool_, s))


@given(masks)
def test_a_mask_is_traced_and_filled_again(mask: NDArray[np.bool_]) -> None:
    filled = np.zeros_like(mask)
    for part in rings(mask):
        one = fill(join(part), mask.shape)
        assert not (filled & one).any()
        filled |= one
    np.testing.assert_array_equal(filled, mask)


def _blob(seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(120, 160)), (0, 0), 6)
    return np.asarray(noise > 0.02, np.bool_)


@pytest.mark.parametrize("seed", range(5))
def test_simple_polygons_lie_within_a_pixel(seed: int) -> None:
    mask = _blob(seed)
    outlines = polygons(mask)
    filled = np.zeros_like(mask)
    for outline in outlines:
        filled |= fill(outline, mask.shape)
    kernel = np.ones((3, 3), np.uint8)
    # The picture's own rim is an edge, too.
    padded = np.pad(mask, 1).view(np.uint8)
    inner = cv2.erode(padded, kernel)[1:-1, 1:-1] > 0
    outer = cv2.dilate(mask.view(np.uint8), kernel) > 0
    assert not (inner & ~filled).any()
    assert not (filled & ~outer).any()
    exact = sum(len(ring) for part in rings(mask) for ring in part)
    assert sum(map(len, outlines)) < exact / 2


def test_a_polygon_may_leave_the_picture() -> None:
    box = np.array([(-5.0, -5.0), (3.0, -5.0), (3.0, 9.0), (-5.0, 9.0)])
    assert fill(box, (4, 6))[:, :3].all()
    assert fill(box, (4, 6)).sum() == 12
    assert not fill(box + 100, (4, 6)).any()


def test_a_polygon_without_end_is_refused() -> None:
    zigzag = np.zeros((200_000, 2))
    zigzag[::2, 1] = 2000
    with pytest.raises(MaskError, match="200000 points"):
        fill(zigzag, (2000, 2000))
