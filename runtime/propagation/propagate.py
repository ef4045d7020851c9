"""Carry the masks of a few frames of a folder to all the others, from both sides.

Between two given frames the video is followed forwards from the one and backwards from the other,
each time with both of them in memory. Where the objects are is found out before that, on another
way back, so both look at the same well-chosen parts of the frames (``views``). The two
probabilities are blended by how near the given frames are, and the outlines are mended by what the
given masks taught (``outline``). One stretch between two given frames is worked on at a time, and
what the way back found lies in a file meanwhile, so memory grows neither with the stretch nor with
the video. A working folder keeps both for a later run (``working_folder``): a finished stretch is
taken as it is; of the one that was worked on, a whole way back, and the finished frames of the way
forward, which is stepped again.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState, states_in
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import Box, View, joined
from edge_vos.runtime.outlines.mending import mend
from edge_vos.runtime.outlines.outline import Outline
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.prompts.checks import check_mask
from edge_vos.runtime.propagation.follow import Found, Stack, certain, follow, to_labels
from edge_vos.runtime.propagation.job import Job, Keyframe, read_frame, read_given
from edge_vos.runtime.propagation.samples import learn_from_given
from edge_vos.runtime.propagation.views import plan_views
from edge_vos.runtime.propagation.working_folder import Kept, WorkingFolder
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sources.frame import Frame


@dataclass(frozen=True)
class _Stretch:
    """Hold the frames after one keyframe and before the next; at the ends there is only one."""

    start: int
    stop: int
    before: Keyframe | None
    after: Keyframe | None

    @property
    def keys(self) -> list[Keyframe]:
        return [key for key in (self.before, self.after) if key is not None]

    def weight(self, index: int) -> float:
        """Return how much the way forwards counts between two keyframes."""
        assert self.before is not None
        assert self.after is not None
        return (self.after.index - index) / (self.after.index - self.before.index)


@dataclass(frozen=True)
class _Run:
    """Hold what a run has from its beginning to its end, as ``propagate`` takes it."""

    model: LoadedModel
    job: Job
    stopped: Callable[[], bool]
    folder: WorkingFolder | None


def propagate(
    model: LoadedModel,
    job: Job,
    stopped: Callable[[], bool] = lambda: False,
    folder: WorkingFolder | None = None,
) -> Generator[tuple[Frame, FrameResult], None, None]:
    """Give every frame with its masks, in order; a given frame has the masks that were given.

    Args:
        model: the student, loaded into an engine.
        job: what to carry where.
        stopped: is asked before each frame whether to end.
        folder: keeps what is found, and has what a run before found.

    Raises:
        SinkError: if the folder cannot be written or read.
        PromptError: if a given mask does not fit its frame or the model.
        SourceLost: if a picture cannot be read.
        EngineError: if the engine fails.
    """
    for key in job.keyframes:
        check_mask(key.mask, model.manifest.channels)
    run = _Run(model, job, stopped, folder)
    for before, after in pairwise([None, *job.keyframes, None]):
        if before is not None:
            yield _given(job, before, model)
        start = 0 if before is None else before.index + 1
        stop = len(job.frames) if after is None else after.index
        if start < stop and not stopped():
            yield from _carry(run, _Stretch(start, stop, before, after))


def _carry(run: _Run, stretch: _Stretch) -> Iterator[tuple[Frame, FrameResult]]:
    model, job, stopped, folder = run.model, run.job, run.stopped, run.folder
    there = range(stretch.start, stretch.stop)
    if folder is None:
        yield from _find(run, stretch)
        return
    if folder.frames.issuperset(there):
        for index in there:
            if stopped():
                return
            frame, kept = read_frame(job, index), folder.get(index)
            if kept is not None:
                yield frame, _take(model, job, frame, kept, {})
    else:
        for frame, result in _find(run, stretch):
            if frame.index not in folder.frames:
                folder.put(result)
            yield frame, result
    if folder.frames.issuperset(there):
        folder.forget_way_back(stretch.start)


def _find(run: _Run, stretch: _Stretch) -> Iterator[tuple[Frame, FrameResult]]:
    model, job, stopped, folder = run.model, run.job, run.stopped, run.folder
    object_ids, there = job.object_ids, range(stretch.start, stretch.stop)
    outlines = learn_from_given(model, job, stretch.keys)
    path = folder.way_back(stretch.start) if folder is not None and stretch.after else None
    with closing(Stack(model, len(object_ids), stretch.start, len(there), path)) as stack:
        if stretch.after is not None and not stack.is_whole:
            views = _plan(run, stretch) if stretch.before is not None else {}
            for frame, result in follow(model, job, stretch.keys, reversed(there), views.get):
                if stopped():
                    return
                stack.put(frame.index, certain(result, object_ids))
            stack.complete()
        forwards: Iterator[tuple[Frame, FrameResult | None]]
        if stretch.before is None:
            forwards = ((read_frame(job, index), None) for index in there)
        else:
            # Both ways look at the same parts of the frames, so what they find can be blended.
            view_of = (lambda _: None) if stretch.after is None else lambda i: stack.get(i).view
            forwards = follow(model, job, stretch.keys[::-1], there, view_of)
        for frame, step in forwards:
            if stopped():
                return
            timings_ms = step.timings_ms if step is not None else {}
            kept = folder.get(frame.index) if folder is not None else None
            if kept is not None:
                yield frame, _take(model, job, frame, kept, timings_ms)
                continue
            if step is None:
                found = stack.get(frame.index)
            elif stretch.after is None:
                found = certain(step, object_ids)
            else:
                ways = certain(step, object_ids), stack.get(frame.index)
                found = _blended(*ways, np.float32(stretch.weight(frame.index)))
            yield frame, _finish(model, job, frame, found, timings_ms, outlines)


def _plan(run: _Run, stretch: _Stretch) -> dict[int, View]:
    """Find out where the objects are, and say which part of each frame to look at."""
    there = range(stretch.start, stretch.stop)
    boxes: list[Box | None] = []
    frame_size = (0, 0)
    for frame, result in follow(run.model, run.job, stretch.keys, reversed(there)):
        if run.stopped():
            return {}
        frame_size = frame.image.shape[:2]
        is_whole = not any(state.lost for state in result.objects)
        boxes.append(joined([state.box_xywh for state in result.objects]) if is_whole else None)
    views = plan_views(boxes, frame_size, run.model.manifest.size)
    return dict(zip(reversed(there), views, strict=True))


def _blended(forwards: Found, backwards: Found, weight: np.float32) -> Found:
    blend = weight * forwards.probability + (1 - weight) * backwards.probability
    return Found(forwards.view, blend, forwards.key)


def _finish(
    model: LoadedModel,
    job: Job,
    frame: Frame,
    found: Found,
    timings_ms: dict[str, float],
    outlines: Mapping[int, Outline],
) -> FrameResult:
    seen, states = to_labels(model, frame, job.object_ids, found)
    placed = found.view.placed(
        mend(found.view.of(frame.image), seen, outlines), frame.image.shape[:2]
    )
    objects = _states(job, placed, {state.id: state.confidence for state in states})
    return FrameResult(placed, seen.probability, objects, timings_ms, frame.index, found.view)


def _take(
    model: LoadedModel, job: Job, frame: Frame, kept: Kept, timings_ms: dict[str, float]
) -> FrameResult:
    """Make the result of a frame again that a run before found."""
    probability = np.zeros(model.manifest.shape("probability")[1:], np.float32)
    probability[[0, *job.object_ids]] = kept.probability
    confidence = dict(zip(job.object_ids, kept.confidence.tolist(), strict=True))
    objects = _states(job, kept.mask, confidence)
    return FrameResult(kept.mask, probability, objects, timings_ms, frame.index, kept.view)


def _given(job: Job, key: Keyframe, model: LoadedModel) -> tuple[Frame, FrameResult]:
    """Make the result of a frame whose mask was given: that mask, to the last pixel."""
    frame = read_given(job, key)
    letterbox = Letterbox.fit(frame.image.shape[:2], model.manifest.size)
    probability = letterbox.coverage(key.mask, model.manifest.channels)[0].copy()
    objects = _states(job, key.mask, {})
    return frame, FrameResult(key.mask, probability, objects, {}, key.index)


def _states(
    job: Job, mask: NDArray[np.uint8], confidence: Mapping[int, float]
) -> tuple[ObjectState, ...]:
    known = (
        ObjectState(
            object_id,
            0,
            (0, 0, 0, 0),
            confidence.get(object_id, 1.0),
            lost=False,
            name=job.names.get(object_id, ""),
            given_id=job.given_ids.get(object_id, 0),
        )
        for object_id in job.object_ids
    )
    return states_in(mask, tuple(known))
