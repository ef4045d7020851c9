from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from edge_vos.errors import PromptError, ShapeError
from edge_vos.runtime.masks import (
    davis_palette,
    decode_rle,
    encode_rle,
    jaccard,
    overlay,
    read_mask,
    write_palette_png,
)

SIDES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
BINARY = arrays(np.bool_, SIDES, elements=st.booleans())
LABELS = arrays(np.uint8, SIDES, elements=st.integers(0, 10))
BLOBS = st.tuples(*[st.integers(0, 300)] * 4)


def _blob(corners: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    left, top, width, height = corners
    mask = np.zeros((300, 300), bool)
    mask[top : top + height, left : left + width] = True
    return mask


@given(BINARY)
def test_rle_round_trip(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@given(BLOBS)
def test_rle_round_trip_of_long_runs(corners: tuple[int, int, int, int]) -> None:
    mask = _blob(corners)
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@given(st.one_of(BINARY, BLOBS.map(_blob)))
def test_rle_is_that_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(mask) == {
        "size": list(expected["size"]),
        "counts": expected["counts"].decode(),
    }


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        (np.zeros((2, 3), bool), "6"),
        (np.ones((2, 3), bool), "06"),
        (
            np.array([[0, 1, 0], [0, 1, 1]], bool),
            "221O",
        ),  # the fourth run is written less the second: -1
    ],
)
def test_rle_of_masks_worked_out_by_hand(mask: NDArray[np.bool_], counts: str) -> None:
    assert encode_rle(mask)["counts"] == counts


@pytest.mark.parametrize("counts", ["5", "7", "", "o", "O1"])
def test_rle_that_does_not_fill_the_mask_is_refused(counts: str) -> None:
    with pytest.raises(ShapeError):
        decode_rle({"size": [2, 3], "counts": counts})


@given(LABELS)
def test_palette_png_round_trip(
    tmp_path_factory: pytest.TempPathFactory, mask: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("png") / "00000.png"
    write_palette_png(path, mask)
    np.testing.assert_array_equal(read_mask(path), mask)


def test_palette_png_is_indexed_with_the_davis_colours(tmp_path: Path) -> None:
    write_palette_png(tmp_path / "a.png", np.array([[0, 1], [2, 10]], np.uint8))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        colours = np.array(picture.convert("RGB")).reshape(-1, 3).tolist()
    assert colours == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 128, 0]]


def test_the_palette_has_256_different_colours() -> None:
    assert len(np.unique(davis_palette(), axis=0)) == 256


@pytest.mark.parametrize("value", [255, 1])
def test_a_mask_in_grey_levels(tmp_path: Path, value: int) -> None:
    mask = np.array([[0, value], [value, 0]], np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), mask)
    cv2.imwrite(str(tmp_path / "colour.png"), cv2.merge([mask] * 3))
    for name in ("grey.png", "colour.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), mask > 0)


def test_a_mask_with_two_objects_keeps_its_255(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "void.png"), np.array([[0, 1, 255]], np.uint8))
    assert read_mask(tmp_path / "void.png").tolist() == [[0, 1, 255]]


def test_files_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"There is no mask .*gone\.png"):
        read_mask(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PromptError, match=r"text\.png cannot be read"):
        read_mask(tmp_path / "text.png")
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((2, 2, 3), (0, 0, 200), np.uint8))
    with pytest.raises(PromptError, match="colours of mode RGB"):
        read_mask(tmp_path / "photo.png")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((2, 2), 300, np.uint16))
    with pytest.raises(PromptError, match="colours of mode"):
        read_mask(tmp_path / "deep.png")


def test_a_truncated_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    write_palette_png(path, np.random.default_rng(0).integers(0, 10, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(PromptError, match=r"cut\.png cannot be read"):
        read_mask(path)


def test_jaccard() -> None:
    a, b = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert jaccard(a, a) == 1.0
    assert jaccard(a, ~a) == 0.0
    assert jaccard(a & ~a, a & ~a) == 1.0


def test_overlay_colours_objects_and_nothing_else() -> None:
    frame = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20], mask[25:35, 20:40] = 1, 2
    drawn = overlay(frame, mask, alpha=0.5)
    np.testing.assert_array_equal(drawn[mask == 0], frame[mask == 0])
    assert drawn[15, 15].tolist() == [50, 50, 114]  # half of (128, 0, 0) in BGR
    assert drawn[30, 30].tolist() == [50, 114, 50]
    assert drawn[10, 15].tolist() == [0, 0, 128]  # the outline is opaque
    assert (frame == 100).all()
    np.testing.assert_array_equal(overlay(frame, np.zeros_like(mask)), frame)
