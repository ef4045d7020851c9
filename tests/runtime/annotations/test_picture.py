"""The rows of masks that people bring: each is read as it is meant, or refused by name."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import Annotation, FrameName
from edge_vos.runtime.annotations.reading import read_annotation
from edge_vos.runtime.masks import davis_palette, write_palette_png

SIZE = (48, 64)


def _read(path: Path, size: tuple[int, int] = SIZE) -> Annotation:
    return read_annotation(path, FrameName(size))


def _save(path: Path, pixels: NDArray[np.generic], **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def _told(annotation: Annotation) -> str:
    return "; ".join(annotation.assumed)


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    """Two objects, 1 and 2, on a background."""
    mask = np.zeros(SIZE, np.uint8)
    mask[8:30, 6:26], mask[20:40, 36:58] = 1, 2
    return mask


@pytest.fixture
def disc() -> NDArray[np.uint8]:
    """The coverage of a disc, 0 to 255, smoothed at its edge."""
    large = np.zeros((SIZE[0] * 8, SIZE[1] * 8), np.uint8)
    cv2.circle(large, (240, 200), 110, 255, -1)
    return np.asarray(cv2.resize(large, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("ids", [(1, 2), (3, 10), (7, 14), (11, 200)])
def test_palette_indices_are_ids(
    tmp_path: Path, labels: NDArray[np.uint8], ids: tuple[int, int]
) -> None:
    table = np.array([0, *ids], np.uint8)
    write_palette_png(tmp_path / "a.png", table[labels])
    read = _read(tmp_path / "a.png")
    np.testing.assert_array_equal(read.labels, table[labels])
    assert (read.object_ids, read.assumed) == (ids, ())


def test_colours_are_objects_by_the_palette_and_else_as_they_appear(
    tmp_path: Path, labels: NDArray[np.uint8]
) -> None:
    table = davis_palette()[[0, 5, 2]]
    read = _read(_save(tmp_path / "a.png", table[labels]))
    np.testing.assert_array_equal(read.labels, np.array([0, 5, 2])[labels])
    assert "(0, 128, 0) is object 2" in _told(read)
    painted = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    read = _read(_save(tmp_path / "b.png", painted[labels]))
    np.testing.assert_array_equal(read.labels, labels)
    assert "(255, 0, 0) is object 1, (0, 255, 0) is object 2" in _told(read)
    mixed = np.array([[0, 0, 0], [128, 0, 0], [255, 0, 255]], np.uint8)[3 - 1 - labels[::-1] % 3]
    assert _read(_save(tmp_path / "c.png", mixed)).object_ids == (1, 2)


def test_transparent_is_background(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    colours = np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0]], np.uint8)[labels]
    alpha = np.where(labels > 0, 255, 0).astype(np.uint8)
    read = _read(_save(tmp_path / "a.png", np.dstack((colours, alpha))))
    np.testing.assert_array_equal(read.labels, labels)
    assert "transparent" in _told(read)
    solid = np.dstack((colours, np.full_like(alpha, 255)))
    read = _read(_save(tmp_path / "b.png", solid))
    np.testing.assert_array_equal(read.labels, labels)
    assert "(255, 255, 255) along the rim is the background" in _told(read)


def test_a_picture_that_was_cut_out_is_one_object(
    tmp_path: Path, labels: NDArray[np.uint8]
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    alpha = np.where(labels > 0, 255, 0).astype(np.uint8)
    read = _read(_save(tmp_path / "a.png", np.dstack((photo, alpha))))
    np.testing.assert_array_equal(read.labels, labels > 0)
    assert "opaque" in _told(read)
    white = np.dstack((np.full_like(alpha, 255), alpha))
    np.testing.assert_array_equal(_read(_save(tmp_path / "b.png", white)).labels, labels > 0)
    with pytest.raises(MaskError, match="colours, as a photograph"):
        _read(_save(tmp_path / "c.png", photo))


@pytest.mark.parametrize("form", ["L", "RGB", "LA", "I;16", "JPEG"])
def test_a_soft_edge_is_one_object_cut_at_half(
    tmp_path: Path, disc: NDArray[np.uint8], form: str
) -> None:
    path = tmp_path / ("a.jpg" if form == "JPEG" else "a.png")
    if form == "I;16":
        _save(path, disc.astype(np.uint16) * 257)
    elif form == "LA":
        _save(path, np.dstack((np.full_like(disc, 255), disc)))
    else:
        _save(path, np.dstack([disc] * 3) if form == "RGB" else disc)
    read = _read(path)
    assert read.object_ids == (1,)
    assert "soft edge" in _told(read)
    differ = (read.labels > 0) != (disc > 127)
    assert differ.sum() <= (12 if form == "JPEG" else 0)


def test_a_dark_mask_with_a_soft_edge_is_one_object(
    tmp_path: Path, disc: NDArray[np.uint8]
) -> None:
    dark = (disc // 3).astype(np.uint8)
    read = _read(_save(tmp_path / "a.png", dark))
    assert read.object_ids == (1,)
    np.testing.assert_array_equal(read.labels > 0, dark.astype(int) * 2 > dark.max())


def test_a_blurred_mask_is_soft_too(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    blurred = cv2.GaussianBlur((labels > 0) * np.uint8(255), (0, 0), 1.5)
    read = _read(_save(tmp_path / "a.png", blurred))
    np.testing.assert_array_equal(read.labels, blurred.astype(int) * 2 > blurred.max())


def test_smoothed_edges_between_colours_go_to_the_nearer_one(
    tmp_path: Path, disc: NDArray[np.uint8]
) -> None:
    share = disc[..., np.newaxis] / 255
    painted = (share * (230, 20, 40)).round().astype(np.uint8)
    read = _read(_save(tmp_path / "a.png", painted))
    assert read.object_ids == (1,)
    assert "mixed colours" in _told(read)
    assert ((read.labels > 0) != (disc > 127)).sum() <= 4


@pytest.mark.parametrize("is_palette", [True, False])
def test_void_beside_ids_is_nobodys(
    tmp_path: Path, labels: NDArray[np.uint8], is_palette: bool
) -> None:
    rim = cv2.dilate(labels, np.ones((3, 3), np.uint8)) != labels
    given = np.where(rim, 255, labels).astype(np.uint8)
    path = tmp_path / "a.png"
    if is_palette:
        write_palette_png(path, given)
    else:
        _save(path, given)
    read = _read(path)
    np.testing.assert_array_equal(read.labels, np.where(rim, 0, labels))
    assert f"{rim.sum()} pixels of 255 are void" in _told(read)


def test_void_without_any_background(tmp_path: Path) -> None:
    given = np.full(SIZE, 255, np.uint8)
    given[10:30, 10:30] = 1
    read = _read(_save(tmp_path / "a.png", given))
    np.testing.assert_array_equal(read.labels, given == 1)


def test_grey_levels_far_apart_are_ids_and_white_is_one(
    tmp_path: Path, labels: NDArray[np.uint8]
) -> None:
    read = _read(_save(tmp_path / "a.png", np.array([0, 128, 255], np.uint8)[labels]))
    assert read.object_ids == (128, 255)
    assert "255 is an object as 128 are" in _told(read)


def test_ids_of_16_bits_and_of_one_bit(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    table = np.array([0, 300, 40_000], np.uint16)
    read = _read(_save(tmp_path / "a.png", table[labels]))
    np.testing.assert_array_equal(read.labels, table[labels])
    white = np.where(labels > 0, 65_535, 0).astype(np.uint16)
    np.testing.assert_array_equal(_read(_save(tmp_path / "b.png", white)).labels, labels > 0)
    np.testing.assert_array_equal(_read(_save(tmp_path / "c.png", labels > 0)).labels, labels > 0)
    floats = (labels > 0).astype(np.float32)
    np.testing.assert_array_equal(_read(_save(tmp_path / "d.tif", floats)).labels, labels > 0)


def test_black_and_white_is_object_1(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    read = _read(_save(tmp_path / "a.png", (labels > 0) * np.uint8(255)))
    assert (read.object_ids, read.assumed) == ((1,), ("255 is one object, whose id is 1",))


def test_a_palette_that_an_editor_made_counts_by_its_colours(
    tmp_path: Path, labels: NDArray[np.uint8]
) -> None:
    picture = Image.fromarray(np.array([2, 0, 1], np.uint8)[labels])
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    read = _read(tmp_path / "a.png")
    np.testing.assert_array_equal(read.labels, labels)
    assert "its palette has black for another value than 0" in _told(read)


def test_exif_turns_a_mask_as_it_turns_a_frame(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.rot90((labels > 0) * np.uint8(255))
    read = _read(_save(tmp_path / "a.png", np.ascontiguousarray(lying), exif=exif.tobytes()))
    np.testing.assert_array_equal(read.labels, labels > 0)
    assert "EXIF" in _told(read)


def test_what_is_no_mask_is_refused_by_name(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    cases = {
        "empty": (np.zeros(SIZE, np.uint8), "the mask is empty"),
        "noise": (noise, "neither object ids nor the soft edge"),
        "small": (labels[:9], "9x64.*the frame's size, 48x64"),
        "clear": (np.zeros((*SIZE, 4), np.uint8), "empty"),
    }
    for name, (pixels, message) in cases.items():
        path = _save(tmp_path / f"{name}.png", pixels)
        with pytest.raises(MaskError, match=message) as caught:
            _read(path)
        assert str(path) in str(caught.value)
    _save(tmp_path / "ids.jpg", labels)
    with pytest.raises(MaskError, match="JPEG, which changes object ids"):
        _read(tmp_path / "ids.jpg")
    with pytest.raises(MaskError, match="there is no such file"):
        _read(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MaskError, match="no known kind"):
        _read(tmp_path / "text.png")


def test_a_picture_of_any_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(data, "PNG")
    (tmp_path / "bomb.png").write_bytes(data.getvalue())
    with pytest.raises(MaskError, match="12000x12000"):
        _read(tmp_path / "bomb.png")


def test_floats_are_ids_or_the_coverage_of_one_object(
    tmp_path: Path, labels: NDArray[np.uint8], disc: NDArray[np.uint8]
) -> None:
    ids = _read(_save(tmp_path / "ids.tif", labels.astype(np.float32)))
    np.testing.assert_array_equal(ids.labels, labels)
    soft = _read(_save(tmp_path / "soft.tif", disc.astype(np.float32) / 255))
    np.testing.assert_array_equal(soft.labels, disc >= 128)
    assert "its fractions are one object's coverage, cut at half" in _told(soft)
    for value, told in (
        (np.nan, "holds values that are no numbers"),
        (1.5, r"holds fractions up to 1\.5"),
        (-1.0, r"holds values from -1\.0 to 2\.0"),
    ):
        broken = labels.astype(np.float32)
        broken[0, 0] = value
        if value == 1.5:
            broken[broken == 2] = 1
        with pytest.raises(MaskError, match=told):
            _read(_save(tmp_path / "broken.tif", broken))


def test_the_rims_colour_is_the_background_where_nothing_is_black(tmp_path: Path) -> None:
    pixels = np.full((*SIZE, 3), (10, 60, 200), np.uint8)
    pixels[10:30, 10:40] = (250, 240, 20)
    read = _read(_save(tmp_path / "a.png", pixels))
    assert read.object_ids == (1,)
    assert np.count_nonzero(read.labels) == 20 * 30
    assert "(10, 60, 200) along the rim is the background" in _told(read)
