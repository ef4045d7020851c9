import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_vos.runtime.guided_filter import guided_filter
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


def _image(seed: int) -> NDArray[np.float32]:
    """Make a network's image of 64x96 with edges where they happen to be."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (5, 7, 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[np.newaxis]


def _blank() -> NDArray[np.float32]:
    return np.full((1, 3, 64, 96), 127.0, np.float32)


@given(st.integers(0, 10_000), st.integers(0, 3), st.sampled_from([0.0, 0.3, 2.0]), SIZES)
def test_background_is_decided_by_the_picture_and_objects_by_their_probability(
    seed: int, blobs: int, roughness: float, frame_size: tuple[int, int]
) -> None:
    box, image = Letterbox.fit(frame_size, (64, 96)), _image(seed)
    probability = _probability(seed, blobs, roughness)
    ids = [1, 2, 4, 5]
    mask, states = label_frame(probability, ids, box, image)
    cells = box.crop(probability)[[0, *ids]]
    enlarged = np.stack([box.enlarge(np.ascontiguousarray(plane)) for plane in cells[1:]])
    ranked = np.sort(enlarged, axis=0)
    inside = (mask > 0) & (ranked[-1] - ranked[-2] > 1e-5)  # where rounding cannot decide
    winner = np.array(ids, np.uint8)[enlarged.argmax(axis=0)]
    likeliest = cells.argmax(axis=0)
    # Around every object, and nowhere else, an object may win.
    near = np.stack([_near(likeliest == i, box) for i in range(1, 5)])
    assert not (mask[~near.any(axis=0)]).any()
    everywhere = inside & near.all(axis=0)
    np.testing.assert_array_equal(mask[everywhere], winner[everywhere])
    assert [state.id for state in states] == ids
    for state in states:
        rows, columns = np.nonzero(mask == state.id)
        assert state.area_px == len(rows)
        assert state.lost == (len(rows) == 0) == (state.confidence == 0.0)
        if not state.lost:
            left, top, width, height = state.box_xywh
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)


def _near(cells: NDArray[np.bool_], box: Letterbox) -> NDArray[np.bool_]:
    """Tell which pixels lie in the rectangle of some cells, two cells wider to each side."""
    near = np.zeros(box.frame_size, np.bool_)
    if cells.any():
        rows, columns = np.nonzero(cells)
        near[
            box.window(
                (
                    slice(max(rows.min() - 2, 0), min(rows.max() + 3, cells.shape[0])),
                    slice(max(columns.min() - 2, 0), min(columns.max() + 3, cells.shape[1])),
                )
            )
        ] = True
    return near


@given(st.integers(0, 10_000), st.sampled_from([(480, 640), (360, 640), (640, 360)]))
def test_one_objects_outline_is_that_of_the_guided_filter(
    seed: int, frame_size: tuple[int, int]
) -> None:
    """It is filtered in a window around it, whose border is a mirror; little depends on that."""
    box, image = Letterbox.fit(frame_size, (64, 96)), _image(seed)
    probability = np.zeros((2, 16, 24), np.float32)
    content = box.crop(probability)
    height, width = content.shape[1:]
    content[1, height // 3 : height // 3 + 4, width // 3 : width // 3 + 5] = 0.9
    probability[0] = 1 - probability[1]
    mask, _ = label_frame(probability, [1], box, image)
    chance = np.maximum(content, 1e-3)
    whole = guided_filter(np.log(chance[1] / chance[0]), box.pixels(image)[0])
    outline = box.enlarge(whole)
    clear = np.abs(outline) > 0.2
    agreed = (mask > 0) == (outline > 0)
    assert agreed[clear].mean() > 0.98


def test_an_outline_ends_where_the_colour_does() -> None:
    """The network is a pixel and a half off, in cells of four; the mask is not."""
    image = _blank()
    image[0, :, :, 42:] = np.array([40.0, 90.0, 200.0], np.float32).reshape(3, 1, 1)
    probability = np.zeros((2, 16, 24), np.float32)
    probability[1, 2:14, 10:20] = 0.95
    probability[1, 2:14, 10] = 0.6
    probability[0] = 1 - probability[1]
    mask, _ = label_frame(probability, [1], Letterbox.fit((64, 96), (64, 96)), image)
    assert mask[20:44, 42:70].all()
    assert not mask[20:44, :42].any()


def test_confidence_is_the_mean_probability_where_the_object_is_the_likeliest() -> None:
    probability = np.zeros((3, 16, 24), np.float32)
    probability[0] = 1.0
    probability[:, 4:8, 4:8] = np.array([0.3, 0.7, 0.0]).reshape(3, 1, 1)
    probability[:, 4:8, 8:12] = np.array([0.1, 0.9, 0.0]).reshape(3, 1, 1)
    probability[:, 12, 12] = (0.6, 0.0, 0.4)
    box = Letterbox.fit((64, 96), (64, 96))
    _, (first, second) = label_frame(probability, [1, 2], box, _blank())
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
    mask, (first, second) = label_frame(probability, [1, 2], box, _blank())
    assert set(np.unique(mask)) == {0, 1}
    assert second.lost
    assert first.confidence == pytest.approx(0.5)
    assert mask[:, -1].all()
    assert not mask[:, :20].any()
