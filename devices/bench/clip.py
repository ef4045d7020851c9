"""Step through a drawn clip, as fast as the machine can.

The protocol is a single stream, as in MLPerf: steps follow one another, the warm-up is counted
apart, and a step is one whole ``Segmenter.step`` with the bundle's own memory policy, from a frame
to its mask. Frames are drawn before anything is measured.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.measurement import (
    STAGES,
    Measurement,
    MeasurementLimit,
    Progress,
    SampleCollector,
)
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.opening import open_source

CAMERA_SIZE = (480, 640)
RING_FRAMES = 16


@dataclass(frozen=True)
class Clip:
    """Hold the frames that are fed again and again.

    Args:
        frames: each (H, W, 3) uint8 BGR.
        mask: (H, W) uint8 label map of the first frame; every object is in it.
    """

    frames: tuple[NDArray[np.uint8], ...]
    mask: NDArray[np.uint8]

    @property
    def objects(self) -> int:
        """Return how many objects there are."""
        return len(np.unique(self.mask[self.mask > 0]))

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the frames."""
        height, width = self.mask.shape
        return height, width

    def endless(self) -> Iterator[NDArray[np.uint8]]:
        """Play it forwards and backwards, so that nothing ever jumps."""
        return itertools.cycle(self.frames + self.frames[-2:0:-1])


def draw_clip(size: tuple[int, int], objects: int) -> Clip:
    """Draw a short synthetic clip with so many moving objects, all of them in its first frame.

    Args:
        size: (height, width) of its frames.
        objects: how many, 1 to 10.
    """
    uri = f"synthetic://?size={size[0]}x{size[1]}&objects={objects}&frames={RING_FRAMES}&seed=0"
    with open_source(uri) as source:
        drawn = list(source)
    mask = drawn[0].truth
    if mask is None or len(np.unique(mask)) != objects + 1:
        raise RuntimeError(f"the first frame of {uri} does not show every object")
    return Clip(tuple(frame.image for frame in drawn), mask)


def measure_clip(
    model: LoadedModel, clip: Clip, limit: MeasurementLimit, on_progress: Progress = lambda _: None
) -> Measurement:
    """Step through a clip: a warm-up until memory is full, then what is asked for.

    Args:
        model: is not closed.
        clip: to play.
        limit: of what is measured after the warm-up.
        on_progress: called now and then with the share of it that is done, in [0, 1].

    Raises:
        PromptError: if the model has no room for the clip's objects.
        EngineError: if the engine fails.
    """
    segmenter = Segmenter(model)
    segmenter.prompt(clip.mask)
    frames = clip.endless()
    first_infer_ms = segmenter.step(next(frames)).timings_ms["infer"]
    warmup = 1
    start_s = time.perf_counter()
    while not limit.is_warm(model.manifest, warmup, time.perf_counter() - start_s):
        segmenter.step(next(frames))
        warmup += 1
    collector = SampleCollector(limit, on_progress)
    for frame in frames:
        step_s = time.perf_counter()
        timings_ms = segmenter.step(frame).timings_ms
        now_s = time.perf_counter()
        whole_ms = {"end_to_end": (now_s - step_s) * 1e3}
        if collector.add({stage: timings_ms[stage] for stage in STAGES} | whole_ms, now_s):
            break
    return collector.finish(
        objects=clip.objects,
        frame_size=clip.size,
        first_infer_ms=first_infer_ms,
        warmup=warmup,
    )
