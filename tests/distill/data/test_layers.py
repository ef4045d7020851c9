"""Layers: cut cleanly, placed as large as asked, on paths that do what they say."""

import numpy as np
import pytest

from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.data.layers import (
    Layer,
    cut_out,
    leaving,
    one_thing,
    passing,
    placed,
    random_cutouts,
)
from edge_vos.distill.data.motion import Move

SIZE = (120, 200)
REST = Move((0.0, 0.0), 1.0, 0.0)


def red_square() -> tuple[np.ndarray, np.ndarray]:
    """A red square on blue: blue must never be seen where it is pasted."""
    picture = np.full((100, 100, 3), (255, 0, 0), np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    mask[20:80, 20:80] = 1
    picture[mask > 0] = (0, 0, 255)
    return picture, mask


def canvas(frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return (
        [np.full((*SIZE, 3), (0, 255, 0), np.uint8) for _ in range(frames)],
        [np.zeros(SIZE, np.uint8) for _ in range(frames)],
    )


def test_a_cutout_brings_nothing_of_its_picture_along() -> None:
    cutouts = cut_out(*([one] for one in red_square()))
    assert cutouts is not None
    frames, labels = canvas(1)
    Layer(cutouts, (100.0, 60.0), [REST], 3).draw(frames, labels)
    assert frames[0][..., 0].max() <= 40  # blue
    inside, outside = labels[0] == 3, labels[0] == 0
    assert 0.9 * 58**2 <= inside.sum() <= 60**2
    assert (frames[0][inside][:, 2] >= 127).all()
    assert (frames[0][outside][:, 1] >= 127).all()
    rows, columns = np.nonzero(inside)
    assert (columns.mean(), rows.mean()) == pytest.approx((100, 60), abs=1)


def test_nothing_to_cut_is_none() -> None:
    picture, mask = red_square()
    assert cut_out([picture], [np.zeros_like(mask)]) is None


@pytest.mark.parametrize("area", [0.005, 0.02, 0.1])
def test_is_as_large_as_asked(area: float) -> None:
    cutouts = cut_out(*([one] for one in red_square()))
    assert cutouts is not None
    for seed in range(5):
        layer = placed(cutouts, SIZE, area, 1, np.random.default_rng(seed), bends=False)
        assert layer is not None
        pixels = int((layer.cutouts[0][..., 3] >= 128).sum())
        assert pixels / (SIZE[0] * SIZE[1]) == pytest.approx(area, rel=0.25)


def test_stays_off_the_image_where_it_leaves_and_comes_back() -> None:
    cutouts = cut_out(*([one] for one in red_square()))
    assert cutouts is not None
    for seed in range(10):
        rng = np.random.default_rng(seed)
        layer = placed(cutouts * 5, SIZE, 0.03, 1, rng)
        assert layer is not None
        still = Layer(layer.cutouts, (100.0, 60.0), [REST] * 5, 1)
        frames, labels = canvas(5)
        leaving(still, SIZE, rng).draw(frames, labels)
        seen = [label.any() for label in labels]
        assert seen[0]
        assert seen[4]
        assert not all(seen)


def test_two_frames_are_too_few_to_come_back() -> None:
    cutouts = cut_out(*([one] for one in red_square()))
    assert cutouts is not None
    layer = Layer(cutouts * 2, (100.0, 60.0), [REST] * 2, 1)
    assert leaving(layer, SIZE, np.random.default_rng(0)) is layer


def test_passes_over_the_place_at_its_frame() -> None:
    cutouts = cut_out(*([one] for one in red_square()))
    assert cutouts is not None
    layer = Layer(cutouts * 4, (0.0, 0.0), [REST] * 4, 7)
    frames, labels = canvas(4)
    passing(layer, (90.0, 50.0), SIZE, 2, np.random.default_rng(0)).draw(frames, labels)
    assert labels[2][50, 90] == 7
    assert labels[0][50, 90] == labels[3][50, 90] == 0


def test_parts_that_hang_together_are_one_thing_and_a_herd_is_none() -> None:
    labels = np.zeros((40, 80), np.uint8)
    labels[10:20, 10:30], labels[20:30, 10:30] = 7, 9
    whole = one_thing(labels)
    assert whole is not None
    assert np.array_equal(whole, labels > 0)
    labels[2:5, 60:64] = 3  # a bottle beside the person
    labels[35:37, 10:14] = 9  # a shoe of the person, apart
    whole = one_thing(labels)
    assert whole is not None
    assert np.array_equal(whole, np.isin(labels, (7, 9)))
    labels[10:30, 50:70] = 3
    assert one_thing(labels) is None
    assert one_thing(np.zeros((40, 80), np.uint8)) is None


def test_of_a_herd_one_animal_is_cut_out() -> None:
    frame = np.zeros((40, 80, 3), np.uint8)
    labels = np.zeros((40, 80), np.uint8)
    labels[10:30, 10:30], labels[10:30, 50:70] = 1, 2
    footage = Footage([], [Still(frame, labels, (1, 2))])
    for seed in range(8):
        cutouts = random_cutouts(footage, 3, np.random.default_rng(seed))
        assert cutouts is not None
        assert len(cutouts) == 3
        assert cutouts[0].shape[:2] == (24, 24)


def test_a_video_gives_an_object_that_moves(footage: Footage) -> None:
    videos = Footage([Video("one", footage.videos[0].frames, footage.videos[0].masks)], [])
    cutouts = random_cutouts(videos, 3, np.random.default_rng(0))
    assert cutouts is not None
    centres = [np.nonzero(cutout[..., 3] >= 128)[1].mean() for cutout in cutouts]
    assert centres == sorted(centres)
    assert centres[0] < centres[-1]
    assert random_cutouts(Footage([], []), 3, np.random.default_rng(0)) is None
