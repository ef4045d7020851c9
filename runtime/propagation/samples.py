"""Make frames whose truth is known out of the given ones of a job, to learn outlines from.

Each given frame is moved a little (``edge_vos.runtime.outlines.learning``) and looked at with all
of them in memory. And each of two given frames is looked for from the other one alone.
"""

from collections.abc import Iterator, Sequence

from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.outlines.learning import (
    MADE_FRAMES,
    Known,
    learn_outlines,
    make_frames,
    view_around,
)
from edge_vos.runtime.outlines.outline import Outline
from edge_vos.runtime.propagation.follow import certain, follow, show, to_labels
from edge_vos.runtime.propagation.job import Job, Keyframe, read_given


def learn_from_given(
    model: LoadedModel, job: Job, anchors: Sequence[Keyframe]
) -> dict[int, Outline]:
    """Learn the outlines of the objects that the given masks show.

    Args:
        model: the student.
        job: has the frames and the objects.
        anchors: one given mask, or two.

    Returns:
        an outline for each object that is seen in a given mask.
    """
    known = (*_moved(model, job, anchors), *_from_the_other(model, job, anchors))
    return learn_outlines(known, job.object_ids)


def _moved(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> Iterator[Known]:
    orders = [anchors] if len(anchors) == 1 else [anchors, anchors[::-1]]
    looks = [show(model, job, order).look for order in orders]
    for key in anchors:
        image = read_given(job, key).image
        yield from make_frames(
            looks, image, key.mask, model.manifest.size, MADE_FRAMES // len(anchors)
        )


def _from_the_other(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> Iterator[Known]:
    for near in anchors:
        for other in anchors:
            if other is not near:
                views = {near.index: view_around(near.mask, model.manifest.size)}
                for frame, result in follow(model, job, [other], [near.index], views.__getitem__):
                    seen, _ = to_labels(
                        model, frame, job.object_ids, certain(result, job.object_ids)
                    )
                    yield Known(frame.image, seen, near.mask)
