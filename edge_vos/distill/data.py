"""Training clips from videos with masks and from stills, made on the fly and reproducibly.

Everything is decoded once into memory; a clip then costs a few image warps. The random numbers of
a batch depend on the seed and the step alone, so a resumed run sees the batches it would have seen.
"""

import queue
import re
import threading
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.motion import Camera, Warp, jitter_colour, random_path, smooth_warp, soften
from edge_vos.errors import DatasetError

Image = NDArray[np.uint8]
DECODE_HEIGHT = 360

_TRACK = re.compile(r"-\d{5}-\d+(~\d+)?$")  # what ``tracks.follow`` adds to a clip's name


@dataclass(frozen=True)
class Video:
    """Hold one decoded sequence: BGR frames and binary masks (0 or 1) of one object."""

    name: str
    frames: list[Image]
    masks: list[Image]


@dataclass(frozen=True)
class Still:
    """Hold one decoded photograph and its label map; label 0 is the background."""

    frame: Image
    labels: Image
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Footage:
    """Hold all decoded training material."""

    videos: list[Video]
    stills: list[Still]

    @cached_property
    def scenes(self) -> list[list[Video]]:
        """Return the videos by what was filmed: tracks from one clip are one scene."""
        scenes: dict[str, list[Video]] = {}
        for video in self.videos:
            scenes.setdefault(_TRACK.sub("", video.name), []).append(video)
        return list(scenes.values())


@dataclass(frozen=True)
class ClipConfig:
    """Describe the clips of a batch.

    Args:
        size: (height, width) in pixels of the training image.
        clips: clips in a batch.
        frames: frames in a clip; the first one carries the prompt.
        objects: largest number of labelled objects in a clip.
        max_gap: largest distance, in frames, between neighbours taken from a video.
        still_share: share of clips made from stills.
        paste_share: share of clips onto which another object is pasted.
        hide_share: share of clips in which everything is hidden for a while and comes back.
        ring_dropout: share of frames that must do without the ring of the memory.
    """

    size: tuple[int, int] = (224, 336)
    clips: int = 4
    frames: int = 4
    objects: int = 2
    max_gap: int = 8
    still_share: float = 0.4
    paste_share: float = 0.6
    hide_share: float = 0.15
    ring_dropout: float = 0.2


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


def load_videos(root: Path, exclude: tuple[str, ...] = ()) -> list[Video]:
    """Decode every sequence of a DAVIS 2016 folder but the excluded ones.

    Raises:
        DatasetError: if the folder is not in DAVIS layout or a mask is missing.
    """
    folder = root / "JPEGImages" / "480p"
    if not folder.is_dir():
        raise DatasetError(f"{root} has no JPEGImages/480p", "a folder in DAVIS 2016 layout")
    videos = []
    for sequence in sorted(folder.iterdir()):
        if sequence.name in exclude:
            continue
        frames, masks = [], []
        for path in sorted(sequence.glob("*.jpg")):
            mask_path = root / "Annotations" / "480p" / sequence.name / f"{path.stem}.png"
            frame, mask = _read(path, cv2.IMREAD_COLOR), _read(mask_path, cv2.IMREAD_GRAYSCALE)
            frames.append(_limit_height(frame, cv2.INTER_AREA))
            masks.append(_limit_height((mask > 0).astype(np.uint8), cv2.INTER_NEAREST))
        videos.append(Video(sequence.name, frames, masks))
    return videos


def load_stills(folder: Path) -> list[Still]:
    """Decode ``images/*.jpg`` with ``labels/*.png`` or ``masks/*.png`` beside it.

    Raises:
        DatasetError: if there is neither a labels nor a masks folder.
    """
    maps = next((folder / n for n in ("labels", "masks") if (folder / n).is_dir()), None)
    if maps is None:
        raise DatasetError(f"{folder} has no masks", "a folder labels/ or masks/ beside images/")
    stills = []
    for path in sorted((folder / "images").glob("*.jpg")):
        map_path = maps / f"{path.stem}.png"
        if not map_path.is_file():
            continue
        frame = _limit_height(_read(path, cv2.IMREAD_COLOR), cv2.INTER_AREA)
        labels = _limit_height(_read(map_path, cv2.IMREAD_GRAYSCALE), cv2.INTER_NEAREST)
        if labels.shape != frame.shape[:2]:
            continue
        counts = np.bincount(labels.ravel(), minlength=256)
        counts[0] = 0
        parts = tuple(int(i) for i in np.flatnonzero(counts > 0.004 * labels.size))
        if parts:
            stills.append(Still(frame, labels, parts))
    return stills


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


def prefetch(
    footage: Footage, config: ClipConfig, seed: int, start: int, depth: int = 3
) -> Generator[Batch, None, None]:
    """Yield the batches from step ``start`` on, made ahead in a thread."""
    batches: queue.Queue[Batch | BaseException] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        step = start
        while not stop.is_set():
            try:
                item: Batch | BaseException = make_batch(footage, config, seed, step)
            except Exception as error:
                item = error
            while not stop.is_set():
                try:
                    batches.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue
            step += 1

    thread = threading.Thread(target=work, name="clips", daemon=True)
    thread.start()
    try:
        while True:
            item = batches.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _make_clip(
    footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> tuple[Image, Image]:
    still = not footage.videos or (bool(footage.stills) and rng.random() < config.still_share)
    for _ in range(20):
        if still:
            frames, labels = _clip_from_still(footage.stills, config, rng)
        else:
            frames, labels = _clip_from_video(footage, config, rng)
        if (labels[0] > 0).mean() > 0.002:
            break
    if rng.random() < config.paste_share:
        _paste_object(frames, labels, footage, config, rng)
    if config.hide_share and rng.random() < config.hide_share:
        _hide_objects(frames, labels, footage, rng)
    if rng.random() < 0.15:
        frames = soften(frames, rng)
    rgb = [frame[..., ::-1] for frame in jitter_colour(frames, rng)]
    return np.stack(rgb), np.stack(labels)


def _choose_video(footage: Footage, rng: np.random.Generator) -> Video:
    """Choose a scene, each as likely as any other however many tracks it has, then one of them."""
    scene = footage.scenes[int(rng.integers(len(footage.scenes)))]
    return scene[int(rng.integers(len(scene)))] if len(scene) > 1 else scene[0]


def _clip_from_video(
    footage: Footage, config: ClipConfig, rng: np.random.Generator
) -> tuple[list[Image], list[Image]]:
    video = _choose_video(footage, rng)
    gaps = rng.integers(1, config.max_gap + 1, config.frames - 1)
    if rng.random() < 0.5:
        gaps[:] = gaps[0]
    indices = np.concatenate([[0], np.cumsum(gaps)])
    last = len(video.frames) - 1
    if indices[-1] > last:
        indices = indices * last // indices[-1]
    indices += rng.integers(0, last - indices[-1] + 1)
    if rng.random() < 0.5:
        indices = indices[::-1]
    masks = [video.masks[i] for i in indices]
    camera = Camera.on_object(masks[0], config.size, rng)
    wobble = 0.05 if rng.random() < 0.5 else 0.0
    path = random_path(config.frames, wobble, rng)
    frames, labels = [], []
    for index, mask, move in zip(indices, masks, path, strict=True):
        warp = camera.warp(move)
        frames.append(warp.image(video.frames[index]))
        labels.append(warp.mask(mask))
    return frames, labels


def _clip_from_still(
    stills: list[Still], config: ClipConfig, rng: np.random.Generator
) -> tuple[list[Image], list[Image]]:
    still = stills[int(rng.integers(len(stills)))]
    mask = _choose_parts(still, config.objects, rng)
    camera = Camera.on_object((mask > 0).astype(np.uint8), config.size, rng)
    path = random_path(config.frames, 0.3, rng)
    bends = smooth_warp(config.size, config.frames, 0.04, rng)
    frames, labels = [], []
    for move, bend in zip(path, bends, strict=True):
        warp = camera.warp(move, bend)
        frames.append(warp.image(still.frame))
        labels.append(warp.mask(mask))
    return frames, labels


def _choose_parts(still: Still, objects: int, rng: np.random.Generator) -> Image:
    """Label the whole figure, one part of it, or several parts as objects of their own."""
    if len(still.parts) == 1 or rng.random() < 0.5:
        return (still.labels > 0).astype(np.uint8)
    chosen = rng.permutation(still.parts)[: int(rng.integers(1, objects + 1))]
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
        video = _choose_video(footage, rng)
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
        source, cut = warp.image(sources[index]), warp.mask(cuts[index], mirror=False) > 0
        if behind:
            cut &= labels[index] == 0
        alpha = cv2.GaussianBlur(cut.astype(np.float32), (3, 3), 0)[..., None]
        frames[index] = (source * alpha + frames[index] * (1 - alpha)).astype(np.uint8)
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
        video = _choose_video(footage, rng)
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


def _read(path: Path, flag: int) -> Image:
    image = cv2.imread(str(path), flag)
    if image is None:
        raise DatasetError(f"{path} is missing or cannot be decoded", "an image file")
    return image.astype(np.uint8, copy=False)


def _limit_height(image: Image, interpolation: int) -> Image:
    height, width = image.shape[:2]
    if height <= DECODE_HEIGHT:
        return image
    size = (round(width * DECODE_HEIGHT / height), DECODE_HEIGHT)
    return cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
