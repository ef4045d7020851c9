"""Verify an engine against eager PyTorch: every call, and a closed loop over a clip.

Both run in the loop that ships, ``edge_vos.runtime.segmenter.Segmenter``, with masks as the network
gives them. In the first pass the engine gets the inputs that eager PyTorch had, with its
memory; in the second it feeds on its own memory.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_vos.converters.verify.parity import ComparingRunner
from edge_vos.converters.verify.reference import Reference, follow
from edge_vos.converters.verify.tolerance import Tolerance
from edge_vos.converters.verify.verification import Verification
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends.runner import Runner, Tensors
from edge_vos.runtime.golden import check_golden
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.segmenter import FrameResult

FOLLOWED = 0.5
"""From this J on, eager PyTorch follows an object."""

LEAST_JUDGED = 0.5
"""The least part of all objects in all frames that it has to follow, for the rest not to count."""

Score = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
"""Scores the mask of one object against its truth, in [0, 1]."""


def verify(
    reference: Reference,
    candidate: Runner,
    graph: GraphSpec,
    tolerance: Tolerance,
    score: Score | None = None,
    *,
    evaluated_by: str = "",
    stride: int = 1,
) -> tuple[Verification, Tensors]:
    """Verify an engine on the clip that eager PyTorch followed.

    Args:
        reference: eager PyTorch's run.
        candidate: the engine.
        graph: what it takes and returns.
        tolerance: what is allowed.
        score: judges masks where the clip has a truth; J&F.
        evaluated_by: what stands in for the engine.
        stride: compare the tensors of every so many calls.

    Returns:
        what was found, and the inputs of the call in which the worst tensor is furthest off.
    """
    clip, expected = reference.clip, reference.results
    comparing = ComparingRunner(reference.answers(), candidate, stride)
    follow(comparing, graph, clip)
    found = follow(candidate, graph, clip)
    overlaps = loop_overlaps(expected, found, clip.truth)
    pairs = zip(expected, found, strict=True)
    jf, jf_found = _mean_score(expected, reference, score), _mean_score(found, reference, score)
    verification = Verification(
        tolerance=tolerance,
        clip=clip.name,
        frames=len(clip.frames),
        tensors=comparing.worst,
        mask_iou=float(np.nanmean(overlaps)),
        worst_frame=int(np.nanargmin(overlaps)),
        worst_frame_iou=float(np.nanmin(overlaps)),
        drift=float(np.max([np.abs(a.probability - b.probability).max() for a, b in pairs])),
        jf=jf,
        jf_drop=None if jf is None or jf_found is None else jf - jf_found,
        golden=check_golden(candidate, graph, reference.golden, **tolerance.golden),
        latency_ms=float(np.median([result.timings_ms["infer"] for result in found])),
        evaluated_by=evaluated_by,
    )
    return verification, comparing.worst_inputs[verification.worst_tensor]


def loop_overlaps(
    expected: Sequence[FrameResult],
    found: Sequence[FrameResult],
    truths: Sequence[NDArray[np.uint8]] | None,
) -> NDArray[np.float64]:
    """Return each frame's mean overlap over the objects; NaN where none is to be judged.

    Where the truth is known, an object counts in the frames in which eager PyTorch follows it. What
    it has lost, it finds again or not by a hair's breadth, and no engine can be held to that. If it
    follows too little to judge by, everything counts.
    """
    overlaps = np.full((len(expected), 256), np.nan)
    followed = np.zeros(overlaps.shape, bool)
    for t, (one, other) in enumerate(zip(expected, found, strict=True)):
        for state in one.objects:
            i, mask = state.id, one.mask == state.id
            overlaps[t, i] = jaccard(mask, other.mask == i)
            followed[t, i] = truths is None or jaccard(mask, truths[t] == i) >= FOLLOWED
    counted = ~np.isnan(overlaps)
    if followed.sum() >= LEAST_JUDGED * counted.sum():
        counted = followed
    totals = np.where(counted, overlaps, 0).sum(axis=1)
    judged = counted.sum(axis=1)
    by_frame: NDArray[np.float64] = np.full(len(totals), np.nan)
    np.divide(totals, judged, out=by_frame, where=judged > 0)
    return by_frame


def _mean_score(
    results: Sequence[FrameResult], reference: Reference, score: Score | None
) -> float | None:
    truths = reference.clip.truth
    if score is None or truths is None:
        return None
    scores = [
        score(result.mask == state.id, truth == state.id)
        for result, truth in zip(results, truths, strict=True)
        for state in result.objects
    ]
    return 100.0 * float(np.mean(scores))
