"""Clips: reproducible, labelled as they say, read from the layouts they claim to read."""

from dataclasses import replace

import numpy as np

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.data.motion import Camera, Move, random_path, smooth_warp


def test_a_batch_depends_on_seed_and_step_alone(footage: Footage, config: TrainConfig) -> None:
    one, again = (make_batch(footage, config.clips, 3, 7) for _ in range(2))
    assert np.array_equal(one.images, again.images)
    assert np.array_equal(one.labels, again.labels)
    other = make_batch(footage, config.clips, 3, 8)
    assert not np.array_equal(one.images, other.images)


def test_labels_are_ids_of_the_first_frame(footage: Footage) -> None:
    clips = ClipConfig(size=(64, 96), clips=8, frames=3)
    for step in range(4):
        batch = make_batch(footage, clips, 0, step)
        assert batch.images.shape == (8, 3, 64, 96, 3)
        assert batch.labels.shape == (8, 3, 64, 96)
        for labels, active in zip(batch.labels, batch.active, strict=True):
            ids = set(np.unique(labels)) - {0}
            assert ids <= set(np.unique(labels[0]))
            assert {i for i in (1, 2) if active[i]} == set(np.unique(labels[0])) - {0}
            assert active[0] == 1


def test_a_scene_is_as_likely_as_any_other_however_many_tracks_it_has(footage: Footage) -> None:
    one = footage.videos[0]
    names = ["lake", "a-00000-1", "a-00000-2", "a-00048-1", "b-00012-1~2", "b-2"]
    videos = [Video(name, one.frames, one.masks) for name in names]
    scenes = Footage(videos, []).scenes
    assert [[video.name for video in scene] for scene in scenes] == [
        ["lake"], ["a-00000-1", "a-00000-2", "a-00048-1"], ["b-00012-1~2"], ["b-2"]
    ]  # fmt: skip


def test_a_camera_at_rest_keeps_image_and_mask_together(footage: Footage) -> None:
    video = footage.videos[0]
    camera = Camera.on_object(video.masks[0], (64, 96), np.random.default_rng(0))
    warp = camera.warp(Move((0.0, 0.0), 1.0, 0.0))
    image, mask = warp.image(video.frames[0]), warp.mask(video.masks[0])
    assert mask.any()
    assert (image[mask > 0] == (40, 120, 230)).all(axis=1).mean() > 0.9


def test_a_camera_that_follows_keeps_the_object_in_view(footage: Footage) -> None:
    masks = [np.zeros((96, 160), np.uint8) for _ in range(6)]
    for index, mask in enumerate(masks[:-1]):
        mask[10 + 12 * index : 26 + 12 * index, 20 + 20 * index : 40 + 20 * index] = 1
    rng = np.random.default_rng(0)
    camera = Camera.on_object(masks[0], (48, 80), rng)
    cameras = camera.following(masks, rng)
    at_rest = random_path(1, 0.0, rng)[0]
    for seen, mask in zip(cameras[:-1], masks, strict=False):
        assert seen.warp(at_rest).mask(mask, mirror=False).sum() >= mask.sum() * seen.zoom**2 * 0.9
        assert 1 / 2 <= seen.zoom <= 48 / (0.43 * 96)
    assert cameras[-1] == cameras[-2]  # nothing is there to follow
    config = ClipConfig(size=(48, 80), still_share=0.0, follow_share=1.0)
    batch, whole = (
        make_batch(footage, each, 1, 0) for each in (config, replace(config, follow_share=0))
    )
    assert not np.array_equal(batch.images, whole.images)


def test_paths_and_bends_start_at_rest() -> None:
    rng = np.random.default_rng(0)
    assert random_path(4, 0.3, rng)[0] == Move((0.0, 0.0), 1.0, 0.0)
    bends = smooth_warp((64, 96), 3, 0.05, rng)
    assert not bends[0].any()
    assert bends[2].any()


def _figure() -> Footage:
    """A photograph of a figure in three parts that touch, the middle one the smallest."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (96, 144, 3), np.uint8)
    labels = np.zeros((96, 144), np.uint8)
    labels[20:44, 40:90], labels[44:50, 50:80], labels[50:80, 45:85] = 3, 5, 9
    for part, colour in ((3, (40, 120, 230)), (5, (230, 60, 60)), (9, (60, 230, 60))):
        frame[labels == part] = colour
    return Footage([], [Still(frame, labels, (3, 5, 9))])


def test_a_figure_is_one_object_or_its_parts_are_objects() -> None:
    clips = ClipConfig(size=(64, 96), clips=24, frames=2, objects=2, paste_share=0.0)
    batch = make_batch(_figure(), clips, 0, 0)
    shown = [set(np.unique(prompt)) - {0} for prompt in batch.prompt]
    assert {1} in shown
    assert {1, 2} in shown
    assert all(ids in ({1}, {2}, {1, 2}) for ids in shown)
    composed = replace(clips, layers=1, layer_share=0.0)
    whole = make_batch(_figure(), composed, 0, 0)
    assert {1, 2} in [set(np.unique(prompt)) - {0} for prompt in whole.prompt]


def test_everything_is_hidden_for_a_while_and_comes_back_at_the_end() -> None:
    clips = ClipConfig(size=(64, 96), clips=12, frames=5, paste_share=0.0, hide_share=1.0)
    figure = _figure()
    empty_still = Still(np.full((96, 144, 3), 200, np.uint8), np.zeros((96, 144), np.uint8), (1,))
    for footage in (figure, replace(figure, stills=[*figure.stills, empty_still])):
        batch = make_batch(footage, clips, 0, 0)
        seen = (batch.labels > 0).any(axis=(2, 3))
        hidden = ~seen[:, 1:-1]
        shown = seen[:, 0]
        assert shown.any()
        assert hidden[shown].any()
        assert seen[shown, -1].mean() > 0.9


def test_without_anything_else_to_paste_a_clip_stays_as_it_is() -> None:
    """Of photographs alone there is no video to paste from, or to hide something with."""
    plain = ClipConfig(size=(64, 96), clips=16, frames=3, objects=3, paste_share=1.0)
    figure = _figure()
    batch = make_batch(figure, plain, 0, 0)
    most = [len(np.unique(labels)) - 1 for labels in batch.labels]
    assert max(most) > 1
    assert all(set(np.unique(labels)) <= {0, 1, 2, 3} for labels in batch.labels)


def test_a_neighbour_takes_no_id_that_is_in_use() -> None:
    clips = ClipConfig(
        size=(64, 96), clips=12, frames=3, objects=3, paste_share=0.0, neighbour_share=1.0
    )
    alone = make_batch(_figure(), replace(clips, neighbour_share=0.0), 0, 0)
    beside = make_batch(_figure(), clips, 0, 0)
    assert not np.array_equal(alone.images, beside.images)
    ids = [set(np.unique(prompt)) - {0} for prompt in beside.prompt]
    assert all(each <= {1, 2, 3} for each in ids)
    assert np.count_nonzero(beside.active[:, 1:]) == sum(map(len, ids))
