"""Make a golden: run eager PyTorch over a few frames of a clip and keep what goes in and out.

``edge_vos.runtime.golden`` repeats it on an engine, on any machine.
"""

import numpy as np

from edge_vos.converters.clip import Clip
from edge_vos.graph import MEMORY_STRIDE, GraphSpec
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.golden import Golden, Script, fixed_point, replay
from edge_vos.runtime.preprocess import Letterbox

GOLDEN_FRAMES = 6
EVERY = 4
"""A golden takes every so many frames of its clip."""
GOLDEN_PIXELS = 60_000


def run_script(runner: Runner, graph: GraphSpec, script: Script) -> Golden:
    """Run a loop and keep what it finds."""
    outputs = list(replay(runner, graph, script))
    return Golden(
        script,
        np.stack([fixed_point(output["probability"][0]) for output in outputs]),
        outputs[-1]["key"].astype(np.float16),
        outputs[-1]["value"].astype(np.float16),
    )


def make_golden(reference: Runner, graph: GraphSpec, clip: Clip) -> Golden:
    """Run a short loop of the reference: an object is added half way, every slot is written."""
    letterbox = Letterbox.fit(clip.frames[0].shape[:2], graph.size)
    frames = range(0, min(len(clip.frames), GOLDEN_FRAMES * EVERY), EVERY)
    count, channels = len(frames), graph.channels
    shrink = shrinking(graph.size)
    images = [letterbox.image(clip.frames[i])[0, :, ::shrink, ::shrink] for i in frames]
    prompt = np.zeros((count, *graph.shape("prompt")[1:]), np.float32)
    prompted = np.zeros((count, channels), np.float32)
    active = np.zeros((count, channels), np.float32)
    writes = np.zeros((count, graph.slots), np.bool_)

    first, half = clip.mask(0), count // 2
    ids = [int(i) for i in np.unique(first) if i]
    late = ids[1:][-1:]  # the last of several objects comes later
    now = [i for i in ids if i not in late]
    prompt[0] = letterbox.coverage(
        np.where(np.isin(first, now), first, 0).astype(np.uint8), channels
    )
    prompted[0, [0, *now]] = 1.0
    active[:, [0, *now]] = 1.0
    if late:
        prompt[half] = letterbox.coverage(clip.mask(frames[half]), channels)
        prompted[half, late] = 1.0
        active[half:, late] = 1.0
    writes[0, 0], writes[:, 1] = True, True
    for t in range(1, count):
        writes[t, 2 + t % max(1, graph.slots - 2) :][:1] = True
    script = Script(np.rint(np.stack(images)).astype(np.uint8), prompt, prompted, active, writes)
    return run_script(reference, graph, script)


def shrinking(size: tuple[int, int]) -> int:
    """Return of how many pixels of the image, each way, a golden keeps one: a power of two."""
    shrink = 1
    while size[0] * size[1] / shrink**2 > GOLDEN_PIXELS and shrink < MEMORY_STRIDE:
        shrink *= 2
    return shrink
