"""Clips that are put together: layers over a clip, look-alikes, occluders, exchanged grounds."""

import cv2
import numpy as np

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.footage import Footage, Image
from edge_vos.distill.data.layers import (
    OPAQUE,
    Layer,
    cut_out,
    leaving,
    passing,
    placed,
    random_cutouts,
)
from edge_vos.distill.data.motion import Camera, random_path, smooth_warp

Clip = tuple[list[Image], list[Image]]
"""Frames (H, W, 3) uint8, BGR, and labels (H, W) uint8."""

LEAST_VISIBLE = 0.0008
"""Of the image's area: an object of which less is seen in the first frame is not followed."""


def ground(footage: Footage, config: ClipConfig, rng: np.random.Generator) -> Clip:
    """Make a clip of which nothing is labelled, whatever it shows."""
    if footage.stills and (not footage.videos or rng.random() < 0.7):
        still = footage.stills[int(rng.integers(len(footage.stills)))]
        sources = [still.frame] * config.frames
    else:
        video = footage.draw_video(rng)
        start = int(rng.integers(0, max(1, len(video.frames) - 2 * config.frames)))
        chosen = np.minimum(start + 2 * np.arange(config.frames), len(video.frames) - 1)
        sources = [video.frames[i] for i in chosen]
    nothing = np.zeros(sources[0].shape[:2], np.uint8)
    camera = Camera.on_object(nothing, config.size, rng, zoom=(1.0, 1.8))
    path = random_path(config.frames, float(rng.uniform(0.0, 0.2)), rng)
    bends = smooth_warp(config.size, config.frames, 0.015, rng)
    frames = [
        camera.warp(move, bend).image(source)
        for source, move, bend in zip(sources, path, bends, strict=True)
    ]
    return frames, [np.zeros(config.size, np.uint8) for _ in frames]


def add_layers(clip: Clip, footage: Footage, config: ClipConfig, rng: np.random.Generator) -> None:
    """Put objects over a clip, in place: followed ones, look-alikes, and something in front."""
    frames, labels = clip
    taken = _ids(labels)
    free = [number for number in range(1, config.objects + 1) if number not in taken]
    stack = []
    for number in sorted(taken):
        if rng.random() < config.copy_share:
            twin = _twin_id(free, config, rng)
            if layer := _copy_of_original(clip, number, twin, config, rng):
                stack.append(layer)
                taken |= {twin} - {0}
                free = [one for one in free if one != twin]
    for _ in range(int(rng.integers(1, config.layers + 1))):
        follow = bool(free) and (not taken or rng.random() < 0.75)
        number = free[0] if follow else 0
        twin = _twin_id(free[1:], config, rng) if follow else 0
        layers = _new_layers(footage, config, (number, twin), rng)
        stack += layers
        given = {layer.number for layer in layers} - {0}
        taken |= given
        free = [one for one in free if one not in given]
    for index in rng.permutation(len(stack)):
        stack[int(index)].draw(frames, labels)
    if rng.random() < config.occluder_share:
        _occlude(clip, footage, config, rng)


def swapped(clip: Clip, other: Clip, objects: int, rng: np.random.Generator) -> Clip:
    """Exchange the ground of a clip for another clip's on the way; the objects of both stay.

    Swap-and-attach, so that an id must follow its object and not the place where it was; after
    https://arxiv.org/abs/2207.06953. Objects for which there is no id are left in their own clip.

    Args:
        clip: what the first frames show.
        other: what the last ones show.
        objects: largest id.
        rng: chooses the frame.
    """
    own, theirs = _ids(clip[1]), sorted(_ids(other[1][:1]))
    free = [number for number in range(1, objects + 1) if number not in own]
    table = np.zeros(256, np.uint8)
    for number, given in zip(theirs, free, strict=False):
        table[number] = given
    change = int(rng.integers(1, len(clip[0])))
    frames, labels = [], []
    for index, (frame, label) in enumerate(zip(*clip, strict=True)):
        coming, theirs_label = other[0][index], table[other[1][index]]
        if index < change:
            joined = _attached(frame, label, coming, theirs_label)
        else:
            joined = _attached(coming, theirs_label, frame, label)
        frames.append(joined[0])
        labels.append(joined[1])
    return frames, labels


def drop_hidden(labels: list[Image]) -> bool:
    """Forget objects of which too little is seen in the first frame; tell whether any is left.

    Args:
        labels: (H, W) uint8, changed in place.
    """
    counts = np.bincount(labels[0].ravel(), minlength=256)
    counts[0] = 0
    seen = counts >= LEAST_VISIBLE * labels[0].size
    for number in _ids(labels) - {int(one) for one in np.flatnonzero(seen)}:
        for label in labels:
            label[label == number] = 0
    return bool(seen.any())


def _ids(labels: list[Image]) -> set[int]:
    """Return the ids of all objects that some frame shows."""
    counts = sum(np.bincount(label.ravel(), minlength=256) for label in labels)
    return {int(number) for number in np.flatnonzero(counts)} - {0}


def _twin_id(free: list[int], config: ClipConfig, rng: np.random.Generator) -> int:
    """Return the id of a look-alike: 0 where it is background."""
    return free[0] if config.twin_share and free and rng.random() < config.twin_share else 0


def _new_layers(
    footage: Footage, config: ClipConfig, numbers: tuple[int, int], rng: np.random.Generator
) -> list[Layer]:
    """Cut an object out and place it, and perhaps a look-alike; none if there is nothing to cut.

    Args:
        footage: what it is cut out of.
        config: of the clips.
        numbers: its id and the look-alike's, or 0.
        rng: source of randomness.
    """
    number, twin = numbers
    cutouts = random_cutouts(footage, config.frames, rng)
    if cutouts is None:
        return []
    area = float(np.exp(rng.uniform(np.log(config.smallest), np.log(config.largest))))
    layer = placed(cutouts, config.size, area, number, rng)
    if layer is None:
        return []
    if number and rng.random() < config.leave_share:
        layer = leaving(layer, config.size, rng)
    if not number or rng.random() >= config.copy_share:
        return [layer]
    alike = placed(cutouts, config.size, area * _size_change(rng), twin, rng)
    return [layer, alike] if alike else [layer]


def _copy_of_original(
    clip: Clip, number: int, twin: int, config: ClipConfig, rng: np.random.Generator
) -> Layer | None:
    frames, labels = clip
    masks = [(label == number).astype(np.uint8) for label in labels]
    cutouts = cut_out(frames, masks)
    if cutouts is None:
        return None
    area = float(masks[0].mean()) * _size_change(rng)
    return placed(cutouts, config.size, min(area, config.largest), twin, rng)


def _size_change(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.6), np.log(1.6))))


def _occlude(clip: Clip, footage: Footage, config: ClipConfig, rng: np.random.Generator) -> None:
    """Let something pass in front of an object, but not in the first frame."""
    frames, labels = clip
    at = int(rng.integers(1, len(frames)))
    rows, columns = np.nonzero(labels[at])
    cutouts = random_cutouts(footage, len(frames), rng)
    if not rows.size or cutouts is None:
        return
    pick = int(rng.integers(rows.size))
    layer = placed(cutouts, config.size, float(rng.uniform(0.02, 0.15)), 0, rng, bends=False)
    if layer is not None:
        target_xy = float(columns[pick]), float(rows[pick])
        passing(layer, target_xy, config.size, at, rng).draw(frames, labels)


def _attached(under: Image, below: Image, over: Image, above: Image) -> tuple[Image, Image]:
    """Put the labelled objects of one frame over another frame; return frame and labels."""
    solid = np.where(above > 0, 255, 0).astype(np.uint8)
    opacity = cv2.GaussianBlur(cv2.erode(solid, np.ones((3, 3), np.uint8)), (3, 3), 0)
    weight = opacity.astype(np.float32) / 255
    frame = np.asarray(cv2.blendLinear(over, under, weight, 1 - weight), np.uint8)
    return frame, np.where(opacity >= OPAQUE, above, below).astype(np.uint8)
