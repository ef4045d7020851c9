import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_vos.errors import ShapeError
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox, check_frame

FRAMES = st.tuples(st.integers(1, 700), st.integers(1, 700))
IMAGES = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda s: (s[0] * 16, s[1] * 16))


@given(FRAMES, IMAGES)
def test_content_lies_on_whole_cells_inside_the_image(
    frame_size: tuple[int, int], image_size: tuple[int, int]
) -> None:
    box = Letterbox.fit(frame_size, image_size)
    for start, length, side in zip((box.top, box.left), box.content_size, image_size, strict=True):
        assert start % 4 == length % 4 == 0
        assert start >= 0
        assert length >= 4
        assert start + length <= side
        assert abs(side - length - 2 * start) <= 4  # centred, to a cell
    assert box.content_size[0] == image_size[0] or box.content_size[1] == image_size[1]


@pytest.mark.parametrize("frame_size", [(240, 432), (480, 864), (720, 1296), (60, 108)])
def test_the_images_own_aspect_ratio_needs_no_padding(frame_size: tuple[int, int]) -> None:
    box = Letterbox.fit(frame_size, (240, 432))
    assert (box.top, box.left, box.content_size) == (0, 0, (240, 432))


@pytest.mark.parametrize(
    ("frame_size", "placed"),
    [
        ((480, 640), (0, 56, (240, 320))),
        ((640, 480), (0, 124, (240, 180))),
        ((480, 854), (0, 0, (240, 428))),
        ((100, 1000), (96, 0, (44, 432))),
    ],
)
def test_other_aspect_ratios_are_kept(
    frame_size: tuple[int, int], placed: tuple[int, int, tuple[int, int]]
) -> None:
    box = Letterbox.fit(frame_size, (240, 432))
    assert (box.top, box.left, box.content_size) == placed


@pytest.mark.parametrize("image_size", [(240, 430), (0, 16), (15, 16)])
def test_an_image_size_that_does_not_fit_the_network_is_refused(
    image_size: tuple[int, int],
) -> None:
    with pytest.raises(ShapeError, match="multiples of 16"):
        Letterbox.fit((480, 640), image_size)


def test_the_image_is_rgb_with_neutral_padding() -> None:
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:] = (10, 20, 30)
    box = Letterbox.fit((100, 200), (64, 64))
    image = box.image(frame)
    assert image.shape == (1, 3, 64, 64)
    assert image.dtype == np.float32
    assert image[0, :, 32, 32].tolist() == [30.0, 20.0, 10.0]
    assert (image[0, :, : box.top] == NEUTRAL).all()
    assert (image[0, :, box.top + 32 :] == NEUTRAL).all()


def test_the_image_is_written_where_it_is_told_to() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    box = Letterbox.fit((50, 70), (32, 48))
    out = np.full((1, 3, 32, 48), NEUTRAL, np.float32)
    assert box.image(frame, out=out) is out
    np.testing.assert_array_equal(out, box.image(frame))


@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 5, 8])
def test_shrinking_averages_areas_and_does_not_alias(shrink: int) -> None:
    # One-pixel stripes: bare bilinear sampling would let them through as bands.
    frame = np.zeros((64 * shrink, 64 * shrink, 3), np.uint8)
    frame[:, ::2] = 255
    image = Letterbox.fit((64 * shrink, 64 * shrink), (64, 64)).image(frame)
    blocks = frame[..., 0].reshape(64, shrink, 64, shrink).mean(axis=(1, 3))
    assert np.abs(image[0, 0] - blocks).max() <= (1.0 if shrink in (1, 2, 4, 8) else 90.0)
    assert abs(image[0, 0].mean() - blocks.mean()) <= 2.0


def _disc(size: tuple[int, int], y: float, x: float, radius: float) -> NDArray[np.uint8]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return ((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius**2).astype(np.uint8)


def test_coverage_is_the_part_of_each_cell_and_adds_up_to_one() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[8:20, 8:18] = 2
    mask[40:41, 40:44] = 3
    coverage = Letterbox.fit((64, 64), (64, 64)).coverage(mask, channels=5)
    assert coverage.shape == (1, 5, 16, 16)
    assert coverage[0, 2, 2:5, 2:4].tolist() == [[1.0, 1.0]] * 3
    assert coverage[0, 2, 2:5, 4].tolist() == [0.5] * 3
    assert coverage[0, 3, 10, 10] == 0.25
    np.testing.assert_allclose(coverage.sum(axis=1), 1.0, atol=1e-6)
    assert coverage[0, [1, 4]].max() == 0.0


@given(FRAMES.filter(lambda s: min(s) >= 64), IMAGES.filter(lambda s: min(s) >= 64))
def test_coverage_keeps_areas(frame_size: tuple[int, int], image_size: tuple[int, int]) -> None:
    box = Letterbox.fit(frame_size, image_size)
    mask = np.zeros(frame_size, np.uint8)
    mask[frame_size[0] // 3 : frame_size[0] // 2, frame_size[1] // 4 :] = 1
    coverage = box.coverage(mask, channels=3)
    np.testing.assert_allclose(coverage.sum(axis=1), 1.0, atol=1e-5)
    content = box.crop(coverage[0, 1])
    assert content.mean() == pytest.approx(mask.mean(), abs=0.03)
    assert coverage[0, 1].sum() == pytest.approx(content.sum(), abs=1e-3)


@given(
    st.sampled_from([(480, 640), (360, 640), (640, 360), (301, 457), (720, 1280)]),
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
)
def test_there_and_back_keeps_the_place_to_sub_pixel(
    frame_size: tuple[int, int], y: float, x: float
) -> None:
    centre = (y * frame_size[0], x * frame_size[1])
    mask = _disc(frame_size, *centre, radius=0.2 * min(frame_size))
    box = Letterbox.fit(frame_size, (240, 432))
    back = box.enlarge(box.crop(box.coverage(mask, channels=2)[0, 1]))
    assert back.shape == frame_size
    assert back.sum() == pytest.approx(mask.sum(), rel=0.003)
    rows, columns = np.ogrid[: frame_size[0], : frame_size[1]]
    for axis in (rows, columns):
        shift = (axis * back).sum() / back.sum() - (axis * mask).sum() / mask.sum()
        assert abs(shift) < 0.05
    agreed = (back > 0.5) == (mask > 0)
    assert agreed.mean() > 0.995


@given(FRAMES, IMAGES)
def test_a_constant_comes_back_constant(
    frame_size: tuple[int, int], image_size: tuple[int, int]
) -> None:
    cells = np.full((image_size[0] // 4, image_size[1] // 4), 0.25, np.float32)
    box = Letterbox.fit(frame_size, image_size)
    back = box.enlarge(box.crop(cells))
    assert back.shape == frame_size
    np.testing.assert_allclose(back, 0.25, atol=1e-6)


@given(
    st.sampled_from([(480, 640), (360, 640), (640, 360), (301, 457), (20, 30), (1, 1)]),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.integers(0, 1000),
)
def test_a_window_is_a_part_of_the_whole(
    frame_size: tuple[int, int], corners: tuple[float, float, float, float], seed: int
) -> None:
    box = Letterbox.fit(frame_size, (64, 96))
    cells = np.random.default_rng(seed).random((16, 24), np.float32)
    (top, bottom), (left, right) = sorted(corners[:2]), sorted(corners[2:])
    height, width = frame_size
    rows = slice(int(top * (height - 1)), int(bottom * (height - 1)) + 1)
    columns = slice(int(left * (width - 1)), int(right * (width - 1)) + 1)
    window = box.to_window(cells, rows, columns)
    np.testing.assert_allclose(window, box.enlarge(box.crop(cells))[rows, columns], atol=1e-5)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_colour_frame_is_refused(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"\(height, width, 3\) uint8"):
        check_frame(frame)
