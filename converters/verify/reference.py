"""Run eager PyTorch once over a clip; every engine is held against that one run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import Clip
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.runner import Runner, Tensors
from edge_vos.runtime.golden import Golden, Script
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.segmenter import FrameResult, Segmenter

GOLDEN_FRAMES = 6
GOLDEN_STRIDE = 4
GOLDEN_PIXELS = 32_000

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Reference:
    """Hold a run of eager PyTorch over a clip.

    Args:
        clip: what was followed.
        outputs: of every call.
        results: of every frame.
        golden: the recording that goes along with every bundle.
    """

    clip: Clip
    outputs: tuple[Outputs, ...]
    results: tuple[FrameResult, ...]
    golden: Golden

    def answers(self) -> "Answering":
        """Return a runner that gives the recorded answers again, in their order."""
        return Answering(self.outputs)


class Answering:
    """Give recorded answers in their order, whatever the inputs."""

    def __init__(self, outputs: tuple[Outputs, ...]) -> None:
        self._outputs = outputs
        self._call = 0

    def run(self, inputs: Tensors) -> Outputs:  # noqa: ARG002
        """Return the next answer."""
        if self._call == len(self._outputs):
            raise EngineError("The recorded run is over", f"{self._call} calls")
        self._call += 1
        return self._outputs[self._call - 1]

    def close(self) -> None:
        """Hold nothing that could be freed."""


class _Recording:
    """Answer as another runner does and keep what it answered."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.outputs: list[Outputs] = []

    def run(self, inputs: Tensors) -> Outputs:
        self.outputs.append(self._runner.run(inputs))
        return self.outputs[-1]

    def close(self) -> None:
        self._runner.close()


def record_reference(eager: Runner, manifest: Manifest, clip: Clip) -> Reference:
    """Follow a clip with eager PyTorch and keep everything that it answers.

    Args:
        eager: the student before any rewrite.
        manifest: the tensors and the memory policy.
        clip: at least one frame.
    """
    recording = _Recording(eager)
    results = follow(recording, manifest, clip)
    golden = record_golden(eager, manifest, clip)
    return Reference(clip, tuple(recording.outputs), tuple(results), golden)


def follow(runner: Runner, manifest: Manifest, clip: Clip) -> list[FrameResult]:
    """Run the runtime's own loop over a clip.

    Masks are taken as the network gives them: whether an object counts as hidden is decided at
    thresholds, and there a hair's breadth between two engines would become a whole mask.
    """
    model = LoadedModel(manifest, runner, "verify", "", None, 0.0, None)
    segmenter, prompts, results = Segmenter(model, confirm=False), clip.prompts(), []
    for index, frame in enumerate(clip.frames):
        if index in prompts:
            segmenter.prompt(prompts[index])
        results.append(segmenter.step(frame))
    return results


def record_golden(reference: Runner, manifest: Manifest, clip: Clip) -> Golden:
    """Record a short loop of the reference: an object is added half way, every slot is written."""
    letterbox = Letterbox.fit(clip.frames[0].shape[:2], manifest.size)
    frames = range(0, min(len(clip.frames), GOLDEN_FRAMES * GOLDEN_STRIDE), GOLDEN_STRIDE)
    count, channels = len(frames), manifest.channels
    shrink = 1
    while manifest.size[0] * manifest.size[1] / shrink**2 > GOLDEN_PIXELS and shrink < 16:
        shrink *= 2
    images = [letterbox.image(clip.frames[i])[0, :, ::shrink, ::shrink] for i in frames]
    prompt = np.zeros((count, *manifest.shape("prompt")[1:]), np.float32)
    prompted = np.zeros((count, channels), np.float32)
    active = np.zeros((count, channels), np.float32)
    writes = np.zeros((count, manifest.slots), np.bool_)

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
        writes[t, 2 + t % max(1, manifest.slots - 2) :][:1] = True
    script = Script(np.rint(np.stack(images)).astype(np.uint8), prompt, prompted, active, writes)
    return Golden.record(reference, manifest, script)
