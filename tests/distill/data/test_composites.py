"""Clips that are put together: labels that fit, ids that follow their object."""

import dataclasses

import numpy as np
import pytest
import tomli

from edge_vos.distill.config import RECIPES, TrainConfig, merged
from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.composites import add_layers, drop_hidden, ground, swapped
from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.data.motion import moving_light
from edge_vos.errors import UsageError

COMPOSED = ClipConfig(
    size=(96, 144), clips=4, frames=4, objects=4, hide_share=0.0, layers=4, layer_share=1.0
)
RED = (0, 0, 255)


@pytest.fixture
def flat() -> Footage:
    """Everything that is an object is red, and nothing else is."""
    frame = np.full((120, 180, 3), (120, 120, 20), np.uint8)
    mask = np.zeros((120, 180), np.uint8)
    mask[40:80, 60:120] = 1
    frame[mask > 0] = RED
    return Footage([Video("v", [frame] * 9, [mask] * 9)], [Still(frame, mask, (1,))])


def redness(frames: list[np.ndarray]) -> np.ndarray:
    return np.stack(frames)[..., 2].astype(int) - np.stack(frames)[..., 1]


def test_labels_lie_on_objects(flat: Footage) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clip = ground(Footage(flat.videos, []), COMPOSED, rng)
        assert not np.stack(clip[1]).any()
        add_layers(clip, flat, COMPOSED, rng)
        labels = np.stack(clip[1])
        assert labels[0].any()
        assert labels.max() <= 4
        assert np.median(redness(clip[0])[labels > 0]) > 100
        assert (redness(clip[0])[labels > 0] > 0).mean() > 0.98


def test_a_copy_is_drawn_and_not_labelled(flat: Footage) -> None:
    plain = ClipConfig(size=(96, 144), frames=3, layers=1, layer_share=1.0, largest=0.05)
    unlabelled = {}
    for share in (0.0, 1.0):
        config = dataclasses.replace(plain, copy_share=share)
        counts = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            frames = [np.full((96, 144, 3), 90, np.uint8) for _ in range(3)]
            clip = frames, [np.zeros((96, 144), np.uint8) for _ in range(3)]
            add_layers(clip, flat, config, rng)
            counts.append(((redness(clip[0]) > 120) & (np.stack(clip[1]) == 0)).sum())
        unlabelled[share] = float(np.mean(counts))
    assert unlabelled[0.0] < 20
    assert unlabelled[1.0] > 10 * max(unlabelled[0.0], 5)


def test_an_id_follows_its_object_when_the_grounds_are_exchanged() -> None:
    def clip(shade: int, colour: tuple[int, int, int], left: int) -> tuple[list, list]:
        frames, labels = [], []
        for _ in range(4):
            frame, label = np.full((60, 90, 3), shade, np.uint8), np.zeros((60, 90), np.uint8)
            label[10:40, left : left + 20] = 1
            frame[label > 0] = colour
            frames.append(frame)
            labels.append(label)
        return frames, labels

    one, other = clip(50, (0, 0, 255), 10), clip(200, (0, 255, 0), 55)
    frames, labels = swapped(one, other, 2, np.random.default_rng(0))
    shades = [int(frame[55, 45, 0]) for frame in frames]
    assert shades[0] == 50
    assert shades[-1] == 200
    assert shades == sorted(shades)
    for frame, label in zip(frames, labels, strict=True):
        assert tuple(np.median(frame[label == 1], axis=0)) == (0, 0, 255)
        assert tuple(np.median(frame[label == 2], axis=0)) == (0, 255, 0)
        assert set(np.unique(label)) == {0, 1, 2}
    _, alone = swapped(one, other, 1, np.random.default_rng(0))
    assert all(set(np.unique(label)) == {0, 1} for label in alone)


def test_what_is_not_seen_at_first_is_not_followed() -> None:
    labels = [np.zeros((50, 50), np.uint8) for _ in range(2)]
    labels[0][0, 0], labels[0][10:20, 10:20], labels[1][:5, :5] = 1, 2, 1
    assert drop_hidden(labels)
    assert set(np.unique(np.stack(labels))) == {0, 2}
    assert not drop_hidden([np.zeros((50, 50), np.uint8)])


def test_every_clip_of_the_recipe_begins_with_an_object(footage: Footage) -> None:
    recipe = tomli.loads((RECIPES / "quality.toml").read_text())
    config = merged(TrainConfig(), recipe)
    assert config.clips.size == (352, 640)
    assert config.clips_at(0).frames == 5
    assert config.clips_at(config.steps - 1).frames == 8
    small = dataclasses.replace(config.clips, size=(96, 144), clips=4)
    ids: set[int] = set()
    for step in range(12):
        batch = make_batch(footage, small, 0, step)
        assert np.array_equal(batch.images, make_batch(footage, small, 0, step).images)
        assert all(prompt.any() for prompt in batch.prompt)
        ids |= set(np.unique(batch.prompt))
        for labels, prompt in zip(batch.labels, batch.prompt, strict=True):
            assert set(np.unique(labels)) <= set(np.unique(prompt)) | {0}
    assert ids == {0, 1, 2, 3, 4}


def test_light_is_smooth_and_moves() -> None:
    frames = [np.full((60, 90, 3), 100, np.uint8)] * 3
    lit = np.stack(moving_light(frames, np.random.default_rng(0))).astype(int)
    assert lit.std() > 5
    assert np.abs(np.diff(lit, axis=2)).max() <= 6
    assert (lit[0] != lit[2]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"copy_share": 1.5},
        {"layer_share": 0.5},
        {"smallest": 0.5, "largest": 0.1},
        {"frames": 1},
        {"objects": 0},
        {"least_zoom": 0.0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_says_what_a_clip_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        ClipConfig(**wrong)
