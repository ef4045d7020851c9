"""A history of frames: thinned, shrunk, and gone along."""

from dataclasses import replace

import numpy as np
import pytest

from edge_vos.runtime.objects.history import MOST_FRAMES, FrameHistory
from edge_vos.runtime.sources.frame import Frame

FIRST = Frame(np.zeros((600, 800, 3), np.uint8), 4, 0.0, 0.0, 0.0)


def _go(history: FrameHistory, count: int) -> list[int]:
    for step in range(1, count + 1):
        image = np.full((600, 800, 3), step, np.uint8)
        history.add(replace(FIRST, image=image, index=FIRST.index + step))
    images = list(history.after_first())
    assert {image.shape for image in images} <= {FIRST.image.shape}
    return [int(image[300, 400, 0]) for image in images]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (3, [1, 2, 3]),
        (15, list(range(1, 16))),
        (17, [*range(2, 17, 2), 17]),
        (130, [*range(16, 129, 16), 130]),
    ],
)
def test_frames_are_thinned_evenly_and_the_newest_stays(count: int, expected: list[int]) -> None:
    history = FrameHistory(FIRST)
    assert _go(history, count) == expected
    assert len(expected) <= MOST_FRAMES + 1
    assert history.newest.index == 4 + count


def test_large_frames_are_kept_small() -> None:
    history = FrameHistory(FIRST)
    _go(history, 40)
    assert {image.shape for _, image in history._kept} == {(384, 512, 3)}


def test_the_same_frame_again_is_left_out() -> None:
    history = FrameHistory(FIRST)
    for _ in range(3):
        history.add(FIRST)
    assert list(history.after_first()) == []
