"""Run eager PyTorch once over a clip; every engine is held against that one run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_vos.converters.clip import Clip
from edge_vos.converters.verify.golden import make_golden
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.golden import Golden
from edge_vos.runtime.model import RunningGraph
from edge_vos.runtime.segmenter import FrameResult, Segmenter

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Reference:
    """Hold a run of eager PyTorch over a clip.

    Args:
        clip: what was followed.
        outputs: of every call.
        results: of every frame.
        golden: of the same clip, which goes along with every bundle.
    """

    clip: Clip
    outputs: tuple[Outputs, ...]
    results: tuple[FrameResult, ...]
    golden: Golden

    def answers(self) -> Runner:
        """Return a runner that gives these answers again, in their order, whatever the inputs."""
        again = iter(self.outputs)
        return CallableRunner(lambda _: next(again))


def run_reference(eager: Runner, graph: GraphSpec, clip: Clip) -> Reference:
    """Follow a clip with eager PyTorch and keep everything that it answers.

    Args:
        eager: the student before any rewrite.
        graph: what it takes and returns.
        clip: at least one frame.
    """
    outputs: list[Outputs] = []

    def run(inputs: Tensors) -> Outputs:
        outputs.append(eager.run(inputs))
        return outputs[-1]

    results = follow(CallableRunner(run), graph, clip)
    return Reference(clip, tuple(outputs), tuple(results), make_golden(eager, graph, clip))


def follow(runner: Runner, graph: GraphSpec, clip: Clip) -> list[FrameResult]:
    """Run the runtime's own loop over a clip.

    Masks are taken as the network gives them: whether an object counts as hidden is decided at
    thresholds, and there a hair's breadth between two engines would become a whole mask.
    """
    segmenter = Segmenter(RunningGraph(runner, graph), confirm=False)
    prompts, results = clip.prompts(), []
    for index, frame in enumerate(clip.frames):
        if index in prompts:
            segmenter.prompt(prompts[index])
        results.append(segmenter.step(frame))
    return results
