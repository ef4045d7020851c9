"""A clip gives prompts to follow, finds masks beside it, and is played there and back."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.converters.clip import Clip, cut_to, load_clip, rectangles
from edge_vos.errors import PromptError, SourceError
from edge_vos.runtime.masks import write_palette_png


@pytest.fixture
def folder(clip: Clip, tmp_path: Path) -> Path:
    """The clip's frames as DAVIS has them."""
    frames = tmp_path / "JPEGImages" / "480p" / "bear"
    frames.mkdir(parents=True)
    for index, frame in enumerate(clip.frames):
        cv2.imwrite(str(frames / f"{index:05d}.png"), frame)
    return frames


def test_prompts_are_the_truth_with_a_correction_half_way(clip: Clip) -> None:
    assert clip.truth is not None
    prompts = clip.prompts()
    assert list(prompts) == [0, 4]
    np.testing.assert_array_equal(prompts[0], clip.truth[0])
    assert set(np.unique(prompts[4])) == {0, 2}


def test_where_nobody_knows_the_truth_rectangles_are_followed(clip: Clip) -> None:
    prompts = replace(clip, truth=None).prompts()
    assert set(np.unique(prompts[0])) == {0, 1, 2}
    assert set(np.unique(prompts[4])) == {0, 2}


@pytest.mark.parametrize("objects", [1, 2, 3, 6, 10])
def test_rectangles_are_as_many_and_apart(objects: int) -> None:
    mask = rectangles((64, 96), objects)
    assert (mask.shape, mask.dtype) == ((64, 96), np.uint8)
    assert set(np.unique(mask)) == set(range(objects + 1))
    assert np.bincount(mask.ravel())[1:].min() > 50


def test_a_clip_has_no_path_of_this_machine(clip: Clip, folder: Path) -> None:
    found = load_clip(str(folder), frames=8)
    assert found.name == "bear"
    assert found.truth is found.start is None


def test_masks_of_every_frame_beside_it_are_the_truth(clip: Clip, folder: Path) -> None:
    masks = folder.parents[2] / "Annotations" / "480p" / "bear"
    masks.mkdir(parents=True)
    assert clip.truth is not None
    for index, mask in enumerate(clip.truth):
        write_palette_png(masks / f"{index:05d}.png", mask)
    truth = load_clip(str(folder), frames=8).truth
    assert truth is not None
    np.testing.assert_array_equal(np.stack(truth), np.stack(clip.truth))


def test_a_mask_beside_it_starts_it(clip: Clip, folder: Path) -> None:
    video = folder.parent / "bear.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (96, 64))
    for frame in clip.frames:
        writer.write(frame)
    writer.release()
    moved = folder.parents[2] / "bear.avi"
    video.rename(moved)
    mask = rectangles((64, 96), 3)
    write_palette_png(moved.with_suffix(".png"), mask)
    found = load_clip(str(moved), frames=8)
    assert found.truth is None
    np.testing.assert_array_equal(found.mask(5), mask)
    write_palette_png(moved.with_suffix(".png"), mask[:32])
    with pytest.raises(PromptError, match="32x96"):
        load_clip(str(moved), frames=8)


def test_a_short_clip_is_played_there_and_back(clip: Clip) -> None:
    uri = "synthetic://?size=64x96&objects=2&frames=8&seed=1"
    found = load_clip(uri, frames=20)
    order = [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]
    assert len(found.frames) == 20
    assert found.truth is not None
    for index, source in enumerate(order):
        np.testing.assert_array_equal(found.frames[index], clip.frames[source])
    assert found.name.endswith("8 frames there and back")


def test_a_clip_that_is_too_short_is_refused() -> None:
    with pytest.raises(SourceError, match="has 5 frames"):
        load_clip("synthetic://?size=64x96&objects=2&frames=5")


def test_an_upright_image_gets_an_upright_part_with_the_object(clip: Clip) -> None:
    assert clip.truth is not None
    frames = [np.pad(frame, ((0, 0), (400, 300), (0, 0))) for frame in clip.frames]
    truth = [np.pad(mask, ((0, 0), (400, 300))) for mask in clip.truth]
    wide = replace(clip, frames=tuple(frames), truth=tuple(truth))
    assert cut_to(wide, (240, 432)) is wide
    upright = cut_to(wide, (432, 240))
    height, width = upright.frames[0].shape[:2]
    assert (height, width) == (clip.frames[0].shape[0], height * 240 // 432)
    assert upright.truth is not None
    assert upright.truth[0].any()
    for frame, mask in zip(upright.frames, upright.truth, strict=True):
        assert frame.shape[:2] == mask.shape == (height, width)
    assert cut_to(upright, (432, 240)) is upright
