"""What an object looks like to the network."""

import time

import numpy as np
import pytest

from edge_vos.runtime.objects.appearance import UNLIKE, Appearance, find_looks


def test_a_look_is_the_mean_key_of_the_cells_an_object_fills() -> None:
    rng = np.random.default_rng(0)
    key = rng.normal(size=(5, 3, 4)).astype(np.float32)
    probability = np.zeros((5, 12, 16), np.float32)
    probability[1, 4:8, 8:16] = 0.75  # the cells (1, 2) and (1, 3)
    probability[1, 0:2, 0:4] = 1.0  # half of a cell
    probability[3, 8:12, 0:4] = 1.0
    looks = find_looks(key, probability, [1, 3])
    np.testing.assert_allclose(looks[1].key, key[:, 1, 2:].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(looks[3].key, key[:, 2, 0], rtol=1e-5)
    assert looks[1].whole
    assert looks[3].whole


def test_what_fills_no_cell_looks_like_those_that_it_touches() -> None:
    rng = np.random.default_rng(0)
    key = rng.normal(size=(5, 3, 4)).astype(np.float32)
    probability = np.zeros((4, 12, 16), np.float32)
    probability[1, 3:5, 0:4] = 1.0  # half of (0, 0), a quarter of the next cell
    probability[1, 2:3, 0:4] = 1.0
    probability[2, 11, 15] = 0.5  # a thirty-second of a cell
    looks = find_looks(key, probability, [1, 2])
    assert set(looks) == {1}
    assert not looks[1].whole
    np.testing.assert_allclose(looks[1].key, (2 * key[:, 0, 0] + key[:, 1, 0]) / 3, rtol=1e-5)


def test_nothing_goes_on_spinning_beside_the_engine() -> None:
    rng = np.random.default_rng(0)
    key = rng.normal(size=(64, 30, 54)).astype(np.float32)  # of a 480x864 student
    probability = rng.random((11, 120, 216), dtype=np.float32)

    def idle_cpu_s() -> float:
        find_looks(key, probability, range(1, 11))
        before_s = time.process_time()
        time.sleep(0.02)
        return time.process_time() - before_s

    assert sorted(idle_cpu_s() for _ in range(5))[2] < 0.01


def test_another_look_is_one_far_from_the_shown_and_the_last() -> None:
    shown = np.array([2, 0, 0], np.float32)
    appearance = Appearance(shown)
    far = np.array([2, 2 * UNLIKE**0.5, 0], np.float32)
    assert not appearance.is_unlike(0.99 * far + 0.01 * shown)
    assert appearance.is_unlike(1.01 * far - 0.01 * shown)
    appearance.accept(far)
    assert not appearance.is_unlike(far)
    assert not appearance.is_unlike(shown)


@pytest.mark.parametrize("pace", [0.004, 0.2])
def test_a_look_may_change_slowly_but_not_fast(pace: float) -> None:
    appearance = Appearance(np.array([1, 0], np.float32))
    unlike = [
        appearance.is_unlike(np.array([np.cos(angle), np.sin(angle)], np.float32))
        for angle in np.arange(0, np.pi, pace)
    ]
    assert any(unlike) == (pace > 0.1)
