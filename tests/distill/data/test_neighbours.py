"""Things beside an object: where they lie, what colour they have, which id."""

import cv2
import numpy as np
import pytest

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.composites import add_layers
from edge_vos.distill.data.footage import Footage, Still
from edge_vos.distill.data.neighbours import add_neighbour, coloured_like

SIZE = (96, 144)
RED, BLUE = (0, 0, 255), (255, 0, 0)


def clip() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A blue square that goes to the right over grey."""
    frames, labels = [], []
    for left in (40, 46, 52):
        label = np.zeros(SIZE, np.uint8)
        label[30:60, left : left + 30] = 1
        frame = np.full((*SIZE, 3), 120, np.uint8)
        frame[label > 0] = BLUE
        frames.append(frame)
        labels.append(label)
    return frames, labels


@pytest.fixture
def red() -> Footage:
    """Photographs of one red thing."""
    frame, mask = np.full((120, 180, 3), 120, np.uint8), np.zeros((120, 180), np.uint8)
    mask[40:80, 60:120] = 1
    frame[mask > 0] = RED
    return Footage([], [Still(frame, mask, (1,))])


def test_it_lies_beside_the_object_and_is_no_part_of_it(red: Footage) -> None:
    config = ClipConfig(size=SIZE, objects=1, frames=3)
    square = clip()[1][0] > 0
    changed, touching, tinted = 0, 0, 0
    for seed in range(40):
        frames, labels = clip()
        add_neighbour((frames, labels), red, config, np.random.default_rng(seed))
        assert set(np.unique(np.stack(labels))) <= {0, 1}
        different = (frames[0] != clip()[0][0]).any(axis=2)
        assert (frames[0][(labels[0] == 1) & ~different] == BLUE).all()
        if not different.any():
            continue
        changed += 1
        near = cv2.dilate(square.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        touching += (different & near).any()
        tinted += (np.median(frames[0][different], axis=0) @ (1, 0, -1)) > 60  # bluer than red
    assert changed > 30
    assert touching > 0.6 * changed
    assert 0.3 * changed < tinted < 0.9 * changed


def test_a_free_id_is_given_to_some(red: Footage) -> None:
    config = ClipConfig(size=SIZE, objects=2, frames=3)
    given = 0
    for seed in range(40):
        frames, labels = clip()
        add_neighbour((frames, labels), red, config, np.random.default_rng(seed))
        given += 2 in np.stack(labels)
    assert 5 < given < 25


def test_nothing_to_stand_beside_changes_nothing(red: Footage) -> None:
    frames, _ = clip()
    labels = [np.zeros(SIZE, np.uint8) for _ in frames]
    config = ClipConfig(size=SIZE, frames=3)
    add_neighbour((frames, labels), red, config, np.random.default_rng(0))
    assert np.array_equal(np.stack(frames), np.stack(clip()[0]))


def test_colours_are_those_of_the_object() -> None:
    rng = np.random.default_rng(0)
    cutout = np.dstack([rng.integers(0, 256, (20, 30, 3)), np.full((20, 30), 255)])
    pixels = rng.integers(90, 110, (500, 3)).astype(np.uint8)
    painted = coloured_like(cutout.astype(np.uint8), pixels)
    assert np.array_equal(painted[..., 3], cutout[..., 3])
    assert np.allclose(painted[..., :3].mean((0, 1)), pixels.mean(0), atol=6)
    assert painted[..., :3].std() < 0.5 * cutout[..., :3].std()


def test_look_alikes_get_ids_of_their_own(red: Footage) -> None:
    config = ClipConfig(
        size=SIZE, objects=3, frames=3, layers=1, layer_share=1.0, copy_share=1.0, twin_share=1.0
    )
    most = 0
    for seed in range(10):
        frames, labels = clip()
        add_layers((frames, labels), red, config, np.random.default_rng(seed))
        most = max(most, int(np.stack(labels).max()))
        blue = np.stack(frames) @ np.array((1, 0, -1)) > 100
        assert (np.stack(labels)[blue] > 0).mean() > 0.9  # the copy of the square has an id, too
    assert most >= 2
