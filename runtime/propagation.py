"""Carry the masks of a few frames of a folder to all the others, from both sides.

Between two given frames the video is followed forwards from the one and backwards from the other,
each time with both of them in memory, and the two probabilities are blended by how near the given
frames are. One stretch between two given frames is worked on at a time: what the way back found
lies in a file meanwhile, so memory grows neither with the stretch nor with the video.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceLost
from edge_vos.runtime.interactive.prompts import check_mask, check_size
from edge_vos.runtime.labels import ObjectState, label_frame
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sources.frame import Frame

Stack = NDArray[np.float16]


@dataclass(frozen=True)
class Keyframe:
    """Hold a frame whose mask is given.

    Args:
        index: its place among the frames.
        mask: (H, W) uint8 label map of channels, of that frame's size.
    """

    index: int
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """Say what to carry where.

    Args:
        frames: the pictures in order.
        keyframes: at least one, by ascending index.
        fps: for their times.
        names: of the objects, by channel.
        given_ids: the user's own ids, by channel, where they are others.
    """

    frames: Sequence[Path]
    keyframes: Sequence[Keyframe]
    fps: float
    names: Mapping[int, str]
    given_ids: Mapping[int, int]

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return the channels that any keyframe shows, ascending."""
        return tuple(sorted({int(i) for key in self.keyframes for i in np.unique(key.mask) if i}))


@dataclass(frozen=True)
class _Stretch:
    """Hold the frames after one keyframe and before the next; at the ends there is only one."""

    start: int
    stop: int
    before: Keyframe | None
    after: Keyframe | None

    def anchors(self, near: Keyframe | None, far: Keyframe | None) -> list[Keyframe]:
        return [key for key in (far, near) if key is not None]

    def weight(self, index: int) -> float:
        """Return how much the way forwards counts."""
        if self.before is None or self.after is None:
            return 0.0 if self.before is None else 1.0
        return (self.after.index - index) / (self.after.index - self.before.index)


def propagate(model: LoadedModel, job: Job) -> Iterator[tuple[Frame, FrameResult]]:
    """Give every frame with its masks, in order; a given frame has the masks that were given.

    Args:
        model: the student, loaded into an engine.
        job: what to carry where.

    Raises:
        PromptError: if a given mask does not fit its frame or the model.
        SourceLost: if a picture cannot be read.
        EngineError: if the engine fails.
    """
    for key in job.keyframes:
        check_mask(key.mask, model.manifest.channels)
    keys = [None, *job.keyframes, None]
    for before, after in pairwise(keys):
        if before is not None:
            yield _given(job, before, model)
        start = 0 if before is None else before.index + 1
        stop = len(job.frames) if after is None else after.index
        if start < stop:
            yield from _carry(model, job, _Stretch(start, stop, before, after))


def _carry(model: LoadedModel, job: Job, stretch: _Stretch) -> Iterator[tuple[Frame, FrameResult]]:
    before, after = stretch.before, stretch.after
    with TemporaryFile(prefix="edge-vos-") as file:
        back: Stack | None = None
        if after is not None:
            back = _way_back(model, job, stretch, file)
        if before is None:
            found: Iterator[tuple[Frame, FrameResult | None]] = (
                (_read(job, index), None) for index in range(stretch.start, stretch.stop)
            )
        else:
            found = _follow(
                model, job, stretch.anchors(before, after), range(stretch.start, stretch.stop)
            )
        for frame, result in found:
            if back is None and result is not None:
                yield frame, _named(result, job)
                continue
            here = None if back is None else back[frame.index - stretch.start]
            yield frame, _blend(model, job, frame, result, here, stretch.weight(frame.index))


def _way_back(model: LoadedModel, job: Job, stretch: _Stretch, file: object) -> Stack:
    """Follow from the stretch's end to its start, and leave what was found in a file."""
    height, width = model.manifest.shape("probability")[2:]
    shape = (stretch.stop - stretch.start, 1 + len(job.object_ids), height, width)
    stack: Stack = np.memmap(file, np.float16, "w+", shape=shape)  # type: ignore[call-overload]
    anchors = stretch.anchors(stretch.after, stretch.before)
    for frame, result in _follow(
        model, job, anchors, range(stretch.stop - 1, stretch.start - 1, -1)
    ):
        stack[frame.index - stretch.start] = _certain(result, job.object_ids)
    return stack


def _follow(
    model: LoadedModel, job: Job, anchors: list[Keyframe], indices: range
) -> Iterator[tuple[Frame, FrameResult]]:
    segmenter = Segmenter(model)
    for key in anchors:
        frame = _read(job, key.index)
        check_size(key.mask, frame.image.shape[:2])
        segmenter.prompt(key.mask)
        segmenter.step(frame)
    for index in indices:
        frame = _read(job, index)
        yield frame, segmenter.step(frame)


def _certain(result: FrameResult, object_ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the probabilities of background and objects; what was taken for lost is background."""
    found = result.probability[[0, *object_ids]].copy()
    for place, object_id in enumerate(object_ids, start=1):
        state = next((state for state in result.objects if state.id == object_id), None)
        if state is None or state.lost:
            found[0] += found[place]
            found[place] = 0.0
    return found


def _blend(
    model: LoadedModel,
    job: Job,
    frame: Frame,
    forwards: FrameResult | None,
    back: Stack | None,
    weight: float,
) -> FrameResult:
    object_ids = job.object_ids
    shape = model.manifest.shape("probability")[1:]
    probability = np.zeros(shape, np.float32)
    both = np.zeros((1 + len(object_ids), *shape[1:]), np.float32)
    if forwards is not None:
        both += weight * _certain(forwards, object_ids)
    if back is not None:
        both += (1 - weight) * back.astype(np.float32)
    probability[[0, *object_ids]] = both
    letterbox = Letterbox.fit(frame.image.shape[:2], model.manifest.size)
    image = np.full(model.manifest.shape("image"), NEUTRAL, np.float32)
    letterbox.image(frame.image, out=image)
    mask, states = label_frame(probability, object_ids, letterbox, image)
    timings_ms = forwards.timings_ms if forwards is not None else {}
    return _named(FrameResult(mask, probability, states, timings_ms, frame.index), job)


def _named(result: FrameResult, job: Job) -> FrameResult:
    objects = tuple(
        replace(state, name=job.names.get(state.id, ""), given_id=job.given_ids.get(state.id, 0))
        for state in result.objects
    )
    return replace(result, objects=objects)


def _given(job: Job, key: Keyframe, model: LoadedModel) -> tuple[Frame, FrameResult]:
    """Make the result of a frame whose mask was given: that mask, to the last pixel."""
    frame = _read(job, key.index)
    check_size(key.mask, frame.image.shape[:2])
    probability = np.zeros(model.manifest.shape("probability")[1:], np.float32)
    letterbox = Letterbox.fit(frame.image.shape[:2], model.manifest.size)
    probability[:] = letterbox.coverage(key.mask, model.manifest.channels)[0]
    states = tuple(_state(key.mask, object_id) for object_id in job.object_ids)
    return frame, _named(FrameResult(key.mask, probability, states, {}, key.index), job)


def _state(mask: NDArray[np.uint8], object_id: int) -> ObjectState:
    selected = (mask == object_id).view(np.uint8)
    area_px = cv2.countNonZero(selected)
    if not area_px:
        return ObjectState(object_id, 0, (0, 0, 0, 0), 0.0, lost=True)
    left, top, width, height = (int(side) for side in cv2.boundingRect(selected))
    return ObjectState(object_id, area_px, (left, top, width, height), 1.0, lost=False)


def _read(job: Job, index: int) -> Frame:
    started_s = time.perf_counter()
    path = job.frames[index]
    try:
        encoded = np.fromfile(path, np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except OSError:
        image = None
    if image is None:
        raise SourceLost(
            f"The image {path} cannot be decoded", "intact images", "Remove it or replace it"
        )
    capture_ms = (time.perf_counter() - started_s) * 1e3
    picture = np.asarray(image, np.uint8)
    return Frame(picture, index, index / job.fps, started_s, capture_ms)
