"""Record the calls of real tracking runs, from which every engine takes its ranges.

The eager student runs in the loop that ships. Calls are taken only once its memory is full: ranges
that were seen on an empty memory are wrong for every frame but the first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import MemoryPolicy
from edge_vos.converters.clip import Clip, rectangles
from edge_vos.converters.lowering import Calibration
from edge_vos.errors import GateError
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.model import RunningGraph
from edge_vos.runtime.segmenter import Segmenter

OBJECTS = (1, 6, 10)
"""How many objects are followed from rectangles, a run each."""

RUN_FRAMES = 30
RUN_CALLS = 8
EAGER_WRITES = MemoryPolicy(mem_every=3, write_confidence=0.0)
"""Fill the memory soon: short runs then show it full for longer."""

LEAST_FULL = 0.75
"""The least part of the slots, over all calls, that has to hold an entry."""


def calibration_clips(whole: Clip, objects: int) -> list[Clip]:
    """Return a clip a run: one from the footage's own mask, the others from rectangles.

    Args:
        whole: the footage.
        objects: the most that the student can follow.
    """
    counts = sorted({min(count, objects) for count in OBJECTS})
    own = Clip(whole.name, whole.frames[:RUN_FRAMES], None, whole.mask(0))
    clips = [own]
    for index, count in enumerate(counts, start=1):
        first = index * (len(whole.frames) - RUN_FRAMES) // (len(counts) + 1)
        frames = whole.frames[first : first + RUN_FRAMES]
        clips.append(Clip(whole.name, frames, None, rectangles(frames[0].shape[:2], count)))
    return clips


def run_calibration(reference: Runner, graph: GraphSpec, clips: Sequence[Clip]) -> Calibration:
    """Follow clips with eager PyTorch and keep calls with a full memory, strided.

    The call of a correction, in mid-stream, is among them.

    Args:
        reference: eager PyTorch.
        graph: what it takes and returns.
        clips: a run each.

    Raises:
        GateError: if the memory does not fill.
    """
    calls: list[Tensors] = []
    for clip in clips:
        calls += _strided(_full_calls(reference, graph, clip), RUN_CALLS)
    names = dict.fromkeys(clip.name for clip in clips)
    calibration = Calibration("; ".join(names), tuple(calls))
    check_calibration(calibration)
    return calibration


def check_calibration(calibration: Calibration) -> None:
    """Refuse a calibration whose memory is (almost) empty.

    Raises:
        GateError: if there is no call, too few slots hold an entry, or entries are zero.
    """
    valid = [float(call["memory_valid"].mean()) for call in calibration.calls]
    full = float(np.mean(valid)) if valid else 0.0
    zero = [
        name
        for name in ("memory_key", "memory_value")
        if not any(call[name].any() for call in calibration.calls)
    ]
    if full < LEAST_FULL or zero:
        raise GateError(
            f"The calibration on {calibration.name or 'nothing'} fills {full:.0%} of the memory"
            + (f", with nothing but zeros in {zero[0]}" if zero else ""),
            f"at least {LEAST_FULL:.0%}, of a run that was really followed",
            "Give a longer clip with --calibrate, or leave it out for a generated one",
        )


def _full_calls(reference: Runner, graph: GraphSpec, clip: Clip) -> list[Tensors]:
    """Follow a clip and return the inputs of the calls in which every memory slot is full."""
    calls: list[Tensors] = []

    def run(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        if inputs["memory_valid"].all():
            calls.append({name: array.copy() for name, array in inputs.items()})
        return reference.run(inputs)

    segmenter = Segmenter(RunningGraph(CallableRunner(run), graph, EAGER_WRITES))
    prompts = clip.prompts()
    for index, frame in enumerate(clip.frames):
        if index in prompts:
            segmenter.prompt(prompts[index])
        segmenter.step(frame)
    return calls


def _strided(calls: Sequence[Tensors], count: int) -> list[Tensors]:
    """Return that many calls, evenly spread, and every one with a prompt."""
    prompted = [index for index, call in enumerate(calls) if call["prompted"].any()]
    spread = np.linspace(0, len(calls) - 1, max(0, count - len(prompted))) if calls else ()
    return [calls[index] for index in sorted({*prompted, *(int(i) for i in spread)})]
