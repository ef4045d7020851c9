import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_vos.runtime.labels import label_frame
from edge_vos.runtime.preprocess import Letterbox

SIZES = st.sampled_from(
    [(480, 640), (360, 640), (640, 360), (97, 131), (60, 50), (7, 90), (30, 30)]
)


def _probability(seed: int, blobs: int, roughness: float) -> NDArray[np.float32]:
    """Make K = 6 channels on 16x24 cells: some blobs each, and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :24]
    logits = rng.normal(0.0, roughness, (6, 16, 24))
    logits[0] += 1.0
    for channel in range(1, 6):
        for _ in range(blobs):
            y, x, radius = rng.uniform(0, 16), rng.uniform(0, 24), rng.uniform(0.5, 5)
            logits[channel] += 4 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2)
    odds = np.exp(logits)
    return (odds / odds.sum(axis=0)).astype(np.float32)


@given(st.integers(0, 10_000), st.integers(0, 3), st.sampled_from([0.0, 0.3, 2.0]), SIZES)
def test_the_mask_is_the_argmax_at_the_frames_own_size(
    seed: int, blobs: int, roughness: float, frame_size: tuple[int, int]
) -> None:
    box = Letterbox.fit(frame_size, (64, 96))
    probability = _probability(seed, blobs, roughness)
    ids = [1, 2, 4, 5]
    enlarged = np.stack([box.to_frame(probability[channel]) for channel in [0, *ids]])
    mask, states = label_frame(probability, ids, box)
    ranked = np.sort(enlarged, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-5  # where rounding cannot decide
    expected = np.array([0, *ids], np.uint8)[enlarged.argmax(axis=0)]
    np.testing.assert_array_equal(mask[clear], expected[clear])
    assert [state.id for state in states] == ids
    for state in states:
        rows, columns = np.nonzero(mask == state.id)
        assert state.area_px == len(rows)
        assert state.lost == (len(rows) == 0) == (state.confidence == 0.0)
        if not state.lost:
            left, top, width, height = state.box_xywh
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)


def test_confidence_is_the_mean_probability_where_the_object_wins() -> None:
    probability = np.zeros((3, 16, 24), np.float32)
    probability[0] = 1.0
    probability[:, 4:8, 4:8] = np.array([0.3, 0.7, 0.0]).reshape(3, 1, 1)
    probability[:, 4:8, 8:12] = np.array([0.1, 0.9, 0.0]).reshape(3, 1, 1)
    probability[:, 12, 12] = (0.6, 0.0, 0.4)
    _, (first, second) = label_frame(probability, [1, 2], Letterbox.fit((64, 96), (64, 96)))
    assert first.confidence == pytest.approx(0.8)
    assert not first.lost
    assert (second.lost, second.area_px, second.confidence) == (True, 0, 0.0)
    assert second.box_xywh == (0, 0, 0, 0)


def test_ties_go_to_the_lower_id_and_padding_is_left_out() -> None:
    box = Letterbox.fit((64, 48), (64, 96))
    probability = np.zeros((3, 16, 24), np.float32)
    probability[1, :, : box.left // 4] = 1.0  # only in the padding
    probability[1:, :, 12:] = 0.5
    probability[0, :, 6:12] = 1.0
    mask, (first, second) = label_frame(probability, [1, 2], box)
    assert set(np.unique(mask)) == {0, 1}
    assert second.lost
    assert first.confidence == pytest.approx(0.5)
    assert mask[:, -1].all()
    assert not mask[:, :20].any()
