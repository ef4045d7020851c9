"""What is carried between given frames, and what outlines learn."""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import PromptError, SourceLost
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.propagation.follow import Found, Stack
from edge_vos.runtime.propagation.job import Job, Keyframe, frame_size
from edge_vos.runtime.propagation.propagate import propagate

SIZE = (128, 192)
COLOURS = np.array([[40, 40, 40], [0, 0, 230], [0, 230, 0]], np.uint8)


def _truth(index: int) -> NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8)
    mask[32:96, 32 + 4 * index : 96 + 4 * index] = 1
    return mask


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, ...]:
    paths = tuple(tmp_path / f"{index:05d}.png" for index in range(6))
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), COLOURS[_truth(index)])
    return paths


def _job(frames: tuple[Path, ...], *indices: int) -> Job:
    keys = tuple(Keyframe(index, _truth(index)) for index in indices)
    return Job(frames, keys, 25.0, {1: "cup"}, {1: 77})


def test_every_frame_comes_once_in_order_with_names_and_ids(
    tiny_model: LoadedModel, frames: tuple[Path, ...]
) -> None:
    found = list(propagate(tiny_model, _job(frames, 1, 4)))
    assert [frame.index for frame, _ in found] == list(range(6))
    assert [frame.timestamp_s for frame, _ in found] == [index / 25 for index in range(6)]
    for frame, result in found:
        (state,) = result.objects
        assert (state.id, state.number, state.name) == (1, 77, "cup")
        assert jaccard(result.mask == 1, _truth(frame.index) == 1) > 0.8
        assert state.area_px == np.count_nonzero(result.mask)
        left, top, width, height = state.box_xywh
        assert np.count_nonzero(result.mask[top : top + height, left : left + width])
    for index in (1, 4):
        np.testing.assert_array_equal(found[index][1].mask, _truth(index))


def test_the_same_job_gives_the_same_masks(
    tiny_model: LoadedModel, frames: tuple[Path, ...]
) -> None:
    first, second = (
        [result.mask for _, result in propagate(tiny_model, _job(frames, 5))] for _ in range(2)
    )
    np.testing.assert_array_equal(np.stack(first), np.stack(second))


def test_it_stops_when_it_is_told(tiny_model: LoadedModel, frames: tuple[Path, ...]) -> None:
    found = propagate(tiny_model, _job(frames, 0, 5), stopped=lambda: True)
    assert [frame.index for frame, _ in found] == [0, 5]


def test_masks_that_do_not_fit_are_refused(
    tiny_model: LoadedModel, frames: tuple[Path, ...]
) -> None:
    small = Job(frames, (Keyframe(0, _truth(0)[:9]),), 25.0, {}, {})
    with pytest.raises(PromptError, match="The mask is empty"):
        list(propagate(tiny_model, small))
    half = Job(frames, (Keyframe(0, _truth(0)[:64]),), 25.0, {}, {})
    with pytest.raises(PromptError, match=r"64x192.*128x192"):
        list(propagate(tiny_model, half))
    frames[3].write_bytes(b"broken")
    with pytest.raises(SourceLost, match=r"00003\.png cannot be decoded"):
        list(propagate(tiny_model, _job(frames, 0)))


def test_a_stack_gives_back_what_was_put_in(tiny_model: LoadedModel) -> None:
    stack = Stack(tiny_model, objects=1, first=10, count=3)
    shape = (2, *tiny_model.manifest.shape("probability")[2:])
    maps = np.random.default_rng(0).random((3, *shape), np.float32)
    keys = np.random.default_rng(1).random((3, *tiny_model.manifest.shape("key")[1:]), np.float32)
    with closing(stack):
        for index in (12, 10, 11):
            stack.put(index, Found(View(index, 100, 3, 200), maps[index - 10], keys[index - 10]))
        for index in range(10, 13):
            found = stack.get(index)
            assert found.view == View(index, 100, 3, 200)
            np.testing.assert_allclose(found.probability, maps[index - 10], atol=1e-3)
            np.testing.assert_allclose(found.key, keys[index - 10], atol=1e-3)


def test_the_size_of_a_frame(frames: tuple[Path, ...]) -> None:
    assert frame_size(frames[0]) == SIZE
