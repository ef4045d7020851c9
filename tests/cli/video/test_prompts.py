"""Boxes and points as they are typed, and what negative points take away."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.cli.video.prompts import Prompts
from edge_vos.errors import PromptError, UsageError
from edge_vos.runtime.masks import jaccard, write_palette_png
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.prompts.grabcut import correct_mask
from edge_vos.runtime.segmenter import Segmenter

Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
SIZE = (128, 192)


@pytest.fixture
def frame(scene: Draw) -> NDArray[np.uint8]:
    image = scene((16, 32), (112, 32))[0]
    return cv2.add(image, np.random.default_rng(0).integers(0, 12, image.shape, np.uint8))


@pytest.fixture
def truth(scene: Draw) -> NDArray[np.uint8]:
    return scene((16, 32), (112, 32))[1]


def _masks(
    prompts: Prompts, model: LoadedModel, frame: NDArray[np.uint8]
) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    segmenter = Segmenter(model)
    prompts.give(segmenter, SIZE)
    result = segmenter.step(frame)
    return tuple(state.id for state in result.objects), result.mask


def test_each_point_is_an_object_and_several_may_be_one(
    tiny_model: LoadedModel, frame: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    ids, _ = _masks(Prompts(points=("48,64", "144,64")), tiny_model, frame)
    assert ids == (1, 2)
    ids, mask = _masks(Prompts(points=("30,46,66,80",)), tiny_model, frame)
    assert ids == (1,)
    assert jaccard(mask == 1, truth == 1) > 0.7


def test_names_go_to_the_mask_the_boxes_and_the_points_in_turn(
    tiny_model: LoadedModel, frame: NDArray[np.uint8], truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    write_palette_png(mask, (truth == 2) * np.uint8(2))
    names = ("green", "red", "ground", "later")
    prompts = Prompts((str(mask),), ("8,24,78,80",), ("8,8",), names=names)
    segmenter = Segmenter(tiny_model)
    prompts.give(segmenter, SIZE)
    result = segmenter.step(frame)
    assert [(s.id, s.name) for s in result.objects] == [(1, "red"), (2, "green"), (3, "ground")]
    assert not Prompts(names=names)


def test_a_negative_point_takes_away_from_a_box(
    tiny_model: LoadedModel, frame: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    both = ("8,24,178,80",)
    _, whole = _masks(Prompts(boxes=both), tiny_model, frame)
    _, less = _masks(Prompts(boxes=both, negatives=("144,64",)), tiny_model, frame)
    right = truth == 2
    assert np.count_nonzero(less[right]) < 0.6 * np.count_nonzero(whole[right])
    assert np.count_nonzero(less[truth == 1]) > 0.8 * np.count_nonzero(truth == 1)


def test_a_mask_is_corrected_by_points(frame: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    half = (truth == 1).astype(np.uint8)
    half[:, :48] = 0
    more = correct_mask(frame, half, [(30, 64), (60, 64)], [1, 1])
    assert jaccard(more == 1, truth == 1) > jaccard(half == 1, truth == 1) + 0.2
    with pytest.raises(PromptError, match="The point 500,1"):
        correct_mask(frame, half, [(500, 1)], [1])
    with pytest.raises(PromptError, match="The mask is 3x3"):
        correct_mask(frame, np.ones((3, 3), np.uint8), [(1, 1)], [1])


@pytest.mark.parametrize(
    "words",
    [{"boxes": ("1,2,3",)}, {"boxes": ("a,b,c,d",)}, {"points": ("1",)}, {"points": ("1,2,3",)},
     {"points": ("",)}, {"points": ("1,2",), "negatives": ("7",)}, {"negatives": ("1,2",)},
     {"points": ("1,2",), "names": ("a\tb",)}],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(words: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises((UsageError, PromptError), match="Expected"):
        Prompts(**words)
