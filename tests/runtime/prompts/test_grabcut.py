from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import PromptError, ShapeError
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.prompts.grabcut import (
    check_mask,
    mask_from_box,
    mask_from_guess,
    mask_from_point,
)

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@pytest.fixture
def picture() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A noisy ellipse on a noisy ground of another colour, 240x320."""
    rng = np.random.default_rng(0)
    mask = np.zeros((240, 320), np.uint8)
    cv2.ellipse(mask, (180, 120), (60, 40), 20, 0, 360, 1, -1)
    frame = np.where(mask[..., np.newaxis] > 0, (40, 60, 200), (120, 140, 60))
    noisy = np.clip(frame + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8)
    return noisy, mask > 0


def test_a_box_finds_what_is_in_it(picture: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    frame, truth = picture
    left, top, width, height = cv2.boundingRect(truth.astype(np.uint8))
    mask = mask_from_box(frame, (left, top, width, height))
    assert (mask.shape, mask.dtype, set(np.unique(mask))) == (truth.shape, np.uint8, {0, 1})
    assert jaccard(mask > 0, truth) > 0.9
    np.testing.assert_array_equal(mask, mask_from_box(frame, (left, top, width, height)))


def test_a_box_may_reach_over_the_edge(
    picture: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    frame, truth = (array[:, :200] for array in picture)
    mask = mask_from_box(np.ascontiguousarray(frame), (110, 70, 200, 100))
    assert jaccard(mask > 0, truth) > 0.9


def test_a_box_holds_all_of_its_mask(picture: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    frame, _ = picture
    mask = mask_from_box(frame, (150, 100, 30, 20))
    assert mask.any()
    mask[100:120, 150:180] = 0
    assert not mask.any()


def test_a_point_finds_the_object_around_it(
    picture: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    frame, truth = picture
    mask = mask_from_point(frame, [(180, 120)])
    assert (mask.shape, mask.dtype) == (truth.shape, np.uint8)
    assert jaccard(mask > 0, truth) > 0.9
    np.testing.assert_array_equal(mask, mask_from_point(frame, [(180, 120)], [1]))


def test_a_point_beside_the_object_takes_its_part_away() -> None:
    frame = np.full((120, 200, 3), (120, 140, 60), np.uint8)
    frame[40:80, 60:140] = (40, 60, 200)
    frame[40:80, 100:140] = (40, 160, 200)
    both = mask_from_point(frame, [(80, 60), (120, 60)])
    one = mask_from_point(frame, [(80, 60), (120, 60)], [1, 0])
    assert both[60, 80] == both[60, 120] == one[60, 80] == 1
    assert one[60, 120] == 0
    assert one.sum() < both.sum()


@pytest.mark.parametrize(
    "box", [(10, 10, 0, 5), (10, 10, -4, 5), (320, 10, 20, 20), (-30, 0, 30, 30), (5, 5, 1, 1)]
)
def test_a_box_with_no_area_in_the_frame_is_refused(
    box: tuple[int, int, int, int], picture: tuple[NDArray[np.uint8], NDArray[np.bool_]]
) -> None:
    with pytest.raises(PromptError, match="320x240 pixels"):
        mask_from_box(picture[0], box)


@pytest.mark.parametrize("point", [(-1, 5), (320, 5), (5, 240)])
def test_a_point_outside_the_frame_is_refused(
    point: tuple[int, int], picture: tuple[NDArray[np.uint8], NDArray[np.bool_]]
) -> None:
    with pytest.raises(PromptError, match="320x240 pixels"):
        mask_from_point(picture[0], [point])


@pytest.mark.parametrize(("points", "labels"), [([], None), ([(5, 5)], [0]), ([(5, 5)], [1, 1])])
def test_points_without_one_on_the_object_are_refused(
    points: list[tuple[int, int]], labels: list[int] | None
) -> None:
    with pytest.raises(PromptError, match="at least one of them 1"):
        mask_from_point(np.zeros((20, 20, 3), np.uint8), points, labels)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (8, 8), (40, 1)])
def test_tiny_frames_work(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    mask = mask_from_point(frame, [(0, 0)])
    assert mask.shape == size
    assert mask[0, 0] == 1


def test_a_frame_of_one_colour_gives_something_inside_the_box() -> None:
    mask = mask_from_box(np.full((60, 80, 3), 90, np.uint8), (20, 20, 30, 30))
    assert 0 < mask.sum() <= 900


def test_finding_nothing_is_an_error_with_a_way_out() -> None:
    frame = np.full((60, 80, 3), 90, np.uint8)
    with pytest.raises(PromptError, match=r"No object was found at the point 40,30\..*--mask"):
        mask_from_point(frame, [(40, 30), (40, 30)], [1, 0])
    with pytest.raises(PromptError, match=r"No object was found at the box 10,0,2,2000\."):
        mask_from_box(np.full((2000, 80, 3), 90, np.uint8), (10, 0, 2, 2000))


def test_the_point_needs_a_colour_frame() -> None:
    with pytest.raises(ShapeError):
        mask_from_point(np.zeros((20, 20), np.uint8), [(5, 5)])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 4), np.uint8), "is empty"),
        (np.full((4, 4), 11, np.uint8), "id 11. Expected: object ids from 1 to 10"),
        (np.ones((4, 4, 1), np.uint8), r"shape \(4, 4, 1\)"),
        (np.ones((4, 4), np.float32), "float32"),
        (np.ones((4, 4), bool), "bool"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(mask: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        check_mask(mask, channels=11)


def test_the_ids_of_a_mask() -> None:
    assert check_mask(np.array([[0, 10], [3, 3]], np.uint8), channels=11) == (3, 10)


def test_a_rough_guess_is_cut_out_along_the_edges(
    picture: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    frame, truth = picture
    guess = np.roll(cv2.erode(truth.astype(np.uint8), np.ones((5, 5), np.uint8)), 9, axis=1)
    found = mask_from_guess(frame, guess)
    assert jaccard(found > 0, truth) > 0.95 > 0.85 > jaccard(guess > 0, truth)
    with pytest.raises(PromptError, match="empty"):
        mask_from_guess(frame, np.zeros_like(guess))
    with pytest.raises(PromptError, match="240x320"):
        mask_from_guess(frame, guess[1:])
