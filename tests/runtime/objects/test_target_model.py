"""What tells an object from its surroundings: learned where it is shown, used where it is not."""

import numpy as np
import pytest

from edge_vos.runtime.objects.target_model import TargetModel, take_away

KEYS, HEIGHT, WIDTH, CHANNELS = 16, 12, 20, 3
RNG = np.random.default_rng(0)
COMMON, OWN, OTHER = RNG.normal(size=(3, KEYS)).astype(np.float32)
BLACK = 3 * COMMON
"""What a dog and shorts have in common; they differ by little."""


def frame(dog: slice, shorts: slice, seed: int) -> np.ndarray:
    """The keys of grass, with a dog and shorts that look alike."""
    rng = np.random.default_rng(seed)
    key = rng.normal(0, 0.1, (KEYS, HEIGHT, WIDTH)).astype(np.float32)
    key[:, 3:9, dog] += (BLACK + 0.5 * OWN)[:, None, None]
    key[:, 3:9, shorts] += (BLACK + 0.5 * OTHER)[:, None, None]
    return key


def masks(*columns: slice) -> np.ndarray:
    """The probabilities of a frame in which an object fills these columns."""
    probability = np.zeros((CHANNELS, HEIGHT * 4, WIDTH * 4), np.float32)
    for part in columns:
        probability[1, 12:36, part.start * 4 : part.stop * 4] = 0.96
    probability[0] = 1 - probability[1]
    return probability


DOG, SHORTS = slice(2, 8), slice(11, 16)


@pytest.fixture
def model() -> TargetModel:
    """Knows the dog."""
    learned = TargetModel()
    learned.learn([(frame(DOG, SHORTS, 0), masks(DOG))], {1})
    return learned


def test_what_was_beside_the_object_is_doubted(model: TargetModel) -> None:
    moved, alike = slice(5, 11), slice(13, 18)
    found = model.doubted(frame(moved, alike, 1), masks(moved, alike), [1])
    cells = found[1]
    assert cells[4:8, 14:17].all()
    assert not cells[:, moved].any()
    assert not cells[:3].any()


def test_an_object_alone_is_not_doubted(model: TargetModel) -> None:
    moved = slice(6, 12)
    key = frame(moved, slice(0, 0), 2)
    assert model.doubted(key, masks(moved), [1]) == {}
    assert model.doubted(key, masks(), [1]) == {}
    assert model.doubted(key, masks(moved), [2]) == {}


def test_a_correction_adds_to_what_is_known(model: TargetModel) -> None:
    """The user says that the shorts are the object's, too; the dog still is."""
    both = frame(DOG, SHORTS, 3)
    for _ in range(3):
        model.learn([(both, masks(DOG, SHORTS))], {1})
    assert model.doubted(both, masks(DOG, SHORTS), [1]) == {}


def test_forgotten_objects_are_not_doubted(model: TargetModel) -> None:
    key, found = frame(DOG, SHORTS, 4), masks(DOG, SHORTS)
    assert 1 in model.doubted(key, found, [1])
    model.forget(1)
    assert model.doubted(key, found, [1]) == {}
    model.learn([(key, masks(DOG))], {1})
    model.clear()
    assert model.doubted(key, found, [1]) == {}


def test_an_object_that_fills_the_frame_or_nothing_teaches_nothing() -> None:
    model, key = TargetModel(), frame(DOG, SHORTS, 0)
    everywhere = masks()
    everywhere[1], everywhere[0] = 1, 0
    model.learn([(key, masks())], {1})
    model.learn([(key, everywhere)], {1})
    assert model.doubted(key, masks(DOG, SHORTS), [1]) == {}


def test_doubted_cells_become_background_in_mask_and_memory() -> None:
    probability = masks(DOG, SHORTS)
    probability[2, :8, :8] = probability[0, :8, :8]
    probability[0, :8, :8] = 0
    value = np.zeros((1, CHANNELS * 4, HEIGHT, WIDTH), np.float32)
    value[0, :4], value[0, 4:8], value[0, 8:] = 1, -1, 5  # background, object 1, object 2
    value[0, :4, 3:9, SHORTS], value[0, 4:8, 3:9, SHORTS] = -2, 2
    before = value.copy()
    cells = np.zeros((HEIGHT, WIDTH), bool)
    cells[3:9, SHORTS] = True
    outputs = {"probability": probability[None], "value": value}
    take_away(outputs, {1: cells})
    assert np.allclose(probability.sum(0), 1, atol=1e-6)
    assert probability[1, 16:32, 48:60].max() < 0.01
    assert np.array_equal(probability[1, :, :36], masks(DOG, SHORTS)[1, :, :36])
    assert np.allclose(value[0, :4][:, cells], 1)
    assert np.allclose(value[0, 4:8][:, cells], -1)
    assert np.array_equal(value[0, 8:], before[0, 8:])
    assert np.array_equal(value[0][:, ~cells], before[0][:, ~cells])


def test_a_part_apart_is_judged_as_a_whole(model: TargetModel) -> None:
    """A third of the shorts looks like the dog. Where they touch it, cells are judged alone."""
    key, found = frame(DOG, SHORTS, 7), masks(DOG, SHORTS)
    key[:, 3:5, SHORTS] = key[:, 3:5, 2:7]
    assert model.doubted(key, found, [1])[1][3:9, SHORTS].all()
    bridge = found.copy()
    bridge[1, 12:16, 32:44], bridge[0, 12:16, 32:44] = 0.96, 0.04
    assert not model.doubted(key, bridge, [1])[1][3, SHORTS].any()


def test_an_object_in_one_piece_is_not_taken_away_as_a_whole(model: TargetModel) -> None:
    """Two thirds of what is left look like the shorts; the rest of it stays."""
    key, found = frame(DOG, SHORTS, 7), masks(SHORTS)
    key[:, 3:5, SHORTS] = key[:, 3:5, 2:7]
    cells = model.doubted(key, found, [1])[1]
    assert cells[6:8, SHORTS].all()
    assert not cells[3, SHORTS].any()
