"""Training clips from videos with masks and from stills, made on the fly and reproducibly.

A clip costs a few image warps. The random numbers of a batch depend on the seed and the step alone,
so a resumed run sees the batches it would have seen, whoever makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.composites import add_layers, drop_hidden, ground, swapped
from edge_vos.distill.data.footage import Footage, Image, Still
from edge_vos.distill.data.layers import one_thing
from edge_vos.distill.data.motion import (
    Camera,
    Warp,
    jitter_colour,
    moving_light,
    random_path,
    smooth_warp,
    soften,
)
from edge_vos.distill.data.neighbours import add_neighbour

TRIES = 20
"""Clips that are made before one without a visible object is taken."""


@dataclass(frozen=True)
class Batch:
    """Hold one batch.

    Args:
        images: (clips, frames, H, W, 3) uint8, RGB.
        prompt: (clips, H, W) uint8, object ids in the first frame, 0 for the background.
        active: (clips, objects + 1) float32, 1 for the ids in the prompt, and for the background.
        ring: (clips, frames) float32, 0 for a frame that must do without the memory's ring.
        labels: (clips, frames, H, W) uint8, object ids, drawn by a person or, in footage that a
            teacher labelled, found by that teacher; ``None`` for a student that sees none.
    """

    images: NDArray[np.uint8]
    prompt: NDArray[np.uint8]
    active: NDArray[np.float32]
    ring: NDArray[np.float32]
    labels: NDArray[np.uint8] | None


def make_batch(footage: Footage, config: ClipConfig, seed: int, step: int) -> Batch:
    """Make the batch of one step; the same arguments give the same batch.

    Args:
        footage: decoded material.
        config: shape of the batch.
        seed: seed of the run.
        step: number of the step, from 0.
    """
    rng = np.random.default_rng((seed, step))
    clips = [_make_clip(footage, config, rng) for _ in range(config.clips)]
    labels = np.stack([clip[1] for clip in clips])
    present = [[float((first == i).any()) for i in range(config.objects + 1)]
               for first in labels[:, 0]]  # fmt: skip
    active = np.array(present, dtype=np.float32)
    active[:, 0] = 1
    known = np.take_along_axis(active, labels.reshape(len(clips), -1).astype(np.int64), 1) > 0
    labels = np.where(known.reshape(labels.shape), labels, 0).astype(np.uint8)
    ring = rng.random((config.clips, config.frames)) >= config.ring_dropout
    images = np.stack([clip[0] for clip in clips])
    return Batch(images, labels[:, 0], active, ring.astype(np.float32), labels)


def _make_clip(
    footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> tuple[Image, Image]:
    for _ in range(TRIES):
        frames, labels = _content(footage, config, rng)
        if config.swap_share and rng.random() < config.swap_share:
            other = _content(footage, config, rng)
            frames, labels = swapped((frames, labels), other, config.objects, rng)
        if config.neighbour_share and rng.random() < config.neighbour_share:
            add_neighbour((frames, labels), footage, config, rng)
        if not config.composes or drop_hidden(labels):
            break
    if config.hide_share and rng.random() < config.hide_share:
        _hide_objects(frames, labels, footage, rng)
    if rng.random() < config.blur_share:
        frames = soften(frames, rng)
    if config.light_share and rng.random() < config.light_share:
        frames = moving_light(frames, rng)
    rgb = [frame[..., ::-1] for frame in jitter_colour(frames, rng)]
    return np.stack(rgb), np.stack(labels)


def _content(
    footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> tuple[list[Image], list[Image]]:
    """Make a clip of one source, or a ground, and put over it what belongs there."""
    if config.ground_share and rng.random() < config.ground_share:
        clip = ground(footage, config, rng)
        add_layers(clip, footage, config, rng)
        return clip
    still = not footage.videos or (bool(footage.stills) and rng.random() < config.still_share)
    for _ in range(TRIES):
        if still:
            frames, labels = _clip_from_still(footage.stills, config, rng)
        else:
            frames, labels = _clip_from_video(footage, config, rng)
        if (labels[0] > 0).mean() > 0.002:
            break
    if config.layer_share and rng.random() < config.layer_share:
        add_layers((frames, labels), footage, config, rng)
    elif rng.random() < config.paste_share:
        _paste_object(frames, labels, footage, config, rng)
    return frames, labels


def _clip_from_video(
    footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> tuple[list[Image], list[Image]]:
    video = footage.draw_video(rng)
    gaps = rng.integers(1, config.max_gap + 1, config.frames - 1)
    if rng.random() < 0.5:
        gaps[:] = gaps[0]
    indices = np.concatenate([[0], np.cumsum(gaps)])
    last = len(video.frames) - 1
    if indices[-1] > last:
        indices = indices * last // indices[-1]
    indices += rng.integers(0, last - indices[-1] + 1)
    if rng.random() < config.reverse_share:
        indices = indices[::-1]
    masks = [video.masks[i] for i in indices]
    camera = Camera.on_object(masks[0], config.size, rng, (config.least_zoom, 2.0))
    wobble = 0.05 if rng.random() < 0.5 else 0.0
    path = random_path(config.frames, wobble, rng)
    cameras = [camera] * config.frames
    if config.follow_share and rng.random() < config.follow_share:
        cameras = camera.following(masks, rng)
    frames, labels = [], []
    for index, mask, move, seen in zip(indices, masks, path, cameras, strict=True):
        warp = seen.warp(move)
        frames.append(warp.image(video.frames[index]))
        labels.append(warp.mask(mask))
    return frames, labels


def _clip_from_still(
    stills: Sequence[Still], config: ClipConfig, rng: np.random.Generator
) -> tuple[list[Image], list[Image]]:
    still = stills[int(rng.integers(len(stills)))]
    mask = _choose_parts(still, config, rng)
    whole = (mask > 0).astype(np.uint8)
    camera = Camera.on_object(whole, config.size, rng, (config.least_zoom, 2.0))
    path = random_path(config.frames, 0.3, rng)
    bends = smooth_warp(config.size, config.frames, 0.04, rng)
    frames, labels = [], []
    for move, bend in zip(path, bends, strict=True):
        warp = camera.warp(move, bend)
        frames.append(warp.image(still.frame))
        labels.append(warp.mask(mask))
    return frames, labels


def _choose_parts(still: Still, config: ClipConfig, rng: np.random.Generator) -> Image:
    """Label the whole figure, one part of it, or several parts as objects of their own."""
    if len(still.parts) == 1 or rng.random() < 0.5:
        whole: Image | None = (still.labels > 0).astype(np.uint8)
        if config.composes and len(still.parts) > 1:
            whole = one_thing(still.labels)
        if whole is not None:
            return whole
    chosen = rng.permutation(still.parts)[: int(rng.integers(1, config.objects + 1))]
    mask = np.zeros_like(still.labels)
    for number, part in enumerate(chosen, start=1):
        mask[still.labels == part] = number
    return mask


def _paste_object(
    frames: list[Image],
    labels: list[Image],
    footage: Footage,
    config: ClipConfig,
    rng: np.random.Generator,
) -> None:
    """Move another object across the clip, in place: labelled, or as an unlabelled occluder."""
    if footage.stills and rng.random() < 0.6:
        still = footage.stills[int(rng.integers(len(footage.stills)))]
        sources = [still.frame] * len(frames)
        cuts = [(still.labels > 0).astype(np.uint8)] * len(frames)
    else:
        if not footage.videos:
            return
        video = footage.draw_video(rng)
        start = int(rng.integers(0, max(1, len(video.frames) - 3 * len(frames))))
        indices = np.minimum(start + 3 * np.arange(len(frames)), len(video.frames) - 1)
        sources = [video.frames[i] for i in indices]
        cuts = [video.masks[i] for i in indices]
    used = int(max(label.max() for label in labels))
    labelled = used < config.objects and rng.random() < 0.6
    number = used + 1 if labelled else 0
    camera = Camera.on_object(cuts[0], config.size, rng, zoom=(0.3, 1.0), place=True)
    path = random_path(len(frames), 0.8, rng)
    behind = rng.random() < 0.25
    for index, move in enumerate(path):
        warp: Warp = camera.warp(move)
        cut = warp.mask(cuts[index], mirror=False) > 0
        if behind:
            cut &= labels[index] == 0
        rows, columns = np.flatnonzero(cut.any(1)), np.flatnonzero(cut.any(0))
        if not rows.size:
            continue
        # Two pixels around it are as far as its soft edge reaches.
        box = np.s_[max(rows[0] - 2, 0) : rows[-1] + 3, max(columns[0] - 2, 0) : columns[-1] + 3]
        source = Warp(warp.map_x[box], warp.map_y[box]).image(sources[index])
        alpha = cv2.GaussianBlur(cut[box].astype(np.float32), (3, 3), 0)[..., None]
        frames[index][box] = (source * alpha + frames[index][box] * (1 - alpha)).astype(np.uint8)
        labels[index] = np.where(cut, number, labels[index]).astype(np.uint8)


def _hide_objects(
    frames: list[Image], labels: list[Image], footage: Footage, rng: np.random.Generator
) -> None:
    """Cover all labelled objects with a piece of another picture, in place, but not at the ends."""
    if len(frames) < 3:
        return
    first = int(rng.integers(1, len(frames) - 1))
    last = int(rng.integers(first, len(frames) - 1))
    if footage.stills and rng.random() < 0.5:
        source = footage.stills[int(rng.integers(len(footage.stills)))].frame
    elif footage.videos:
        video = footage.draw_video(rng)
        source = video.frames[int(rng.integers(len(video.frames)))]
    else:
        return
    margin = float(rng.uniform(0.02, 0.15))
    height, width = labels[0].shape
    cover = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA)
    for index in range(first, last + 1):
        rows, columns = np.nonzero(labels[index])
        if not rows.size:
            continue
        top, bottom = rows.min() - margin * height, rows.max() + 1 + margin * height
        left, right = columns.min() - margin * width, columns.max() + 1 + margin * width
        box = np.s_[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)]
        frames[index][box] = cover[box]
        labels[index][box] = 0
