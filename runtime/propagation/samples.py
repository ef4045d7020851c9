"""Make frames whose truth is known out of the given ones, to learn outlines from.

Each given frame is moved, turned and scaled a little, and the network finds the objects in it from
the given masks (Khoreva et al., Lucid Data Dreaming, arXiv 1703.09554). And each of two given
frames is looked for from the other one alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View, box_around
from edge_vos.runtime.objects.zoom import view_of
from edge_vos.runtime.propagation.follow import certain, chances, follow, to_labels
from edge_vos.runtime.propagation.job import Job, Keyframe, read_given
from edge_vos.runtime.propagation.outline import Lesson, Outline, make_lesson
from edge_vos.runtime.propagation.views import FILL
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sources.frame import Frame

_MOVED = 24
_TURN_DEGREES, _SCALE, _SHIFT_X, _SHIFT_Y = 4.0, 0.06, 0.04, 0.03


@dataclass(frozen=True)
class _Known:
    """Hold a frame, what the network found in it, and the truth."""

    frame: Frame
    result: FrameResult
    truth: NDArray[np.uint8]


def learn_outlines(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> dict[int, Outline]:
    """Learn the outlines of the objects that the given masks show.

    Args:
        model: the student.
        job: has the frames and the objects.
        anchors: one given mask, or two.

    Returns:
        an outline for each object that is seen in a given mask.
    """
    object_ids = job.object_ids
    lessons: dict[int, list[Lesson]] = {object_id: [] for object_id in object_ids}
    for known in (*_moved(model, job, anchors), *_from_the_other(model, job, anchors)):
        found = certain(known.result, object_ids)
        mask, _, probability, letterbox = to_labels(model, known.frame, object_ids, found)
        for object_id in object_ids:
            truth = found.view.of(known.truth) == object_id
            if truth.any():
                chance = chances(probability, letterbox, object_id)
                taken = mask == object_id
                lesson = make_lesson(found.view.of(known.frame.image), chance, taken, truth)
                if len(lesson.truth):
                    lessons[object_id].append(lesson)
    return {object_id: Outline.learn(found) for object_id, found in lessons.items() if found}


def _moved(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> Iterator[_Known]:
    random = np.random.default_rng(0)
    for near in anchors:
        others = [key for key in anchors if key is not near]
        frame = read_given(job, near)
        height, width = frame.image.shape[:2]
        for place in range(_MOVED // len(anchors)):
            turn, scale = random.normal(0, _TURN_DEGREES), np.exp(random.normal(0, _SCALE))
            turned = cv2.getRotationMatrix2D((width / 2, height / 2), turn, float(scale))
            matrix = np.asarray(turned, np.float64)
            matrix[:, 2] += random.normal(0, (_SHIFT_X * width, _SHIFT_Y * height))
            moved = cv2.warpAffine(
                frame.image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT
            )
            truth = cv2.warpAffine(near.mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
            shown = [near, *others] if place % 2 else [*others, near]
            picture = replace(frame, image=np.asarray(moved, np.uint8))
            moved_mask = np.asarray(truth, np.uint8)
            result = _find(model, job, shown, picture, _view(model, moved_mask))
            yield _Known(picture, result, moved_mask)


def _from_the_other(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> Iterator[_Known]:
    for near in anchors:
        for other in anchors:
            if other is not near:
                views = {near.index: _view(model, near.mask)}
                for frame, result in follow(model, job, [other], [near.index], views.__getitem__):
                    yield _Known(frame, result, near.mask)


def _view(model: LoadedModel, mask: NDArray[np.uint8]) -> View:
    """Return the part of a frame around a mask; the whole frame where it is empty."""
    frame_size = mask.shape[0], mask.shape[1]
    if not mask.any():
        return View.whole(frame_size)
    return view_of(box_around(mask), frame_size, model.manifest.size, FILL)


def _find(
    model: LoadedModel, job: Job, anchors: Sequence[Keyframe], frame: Frame, view: View
) -> FrameResult:
    segmenter = Segmenter(model)
    for key in anchors:
        segmenter.prompt(key.mask)
        segmenter.step(read_given(job, key))
    return segmenter.step(frame, view)
