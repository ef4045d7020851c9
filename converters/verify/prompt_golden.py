"""Make a prompt head's golden: eager PyTorch on a few pictures with prompts.

``edge_vos.runtime.prompts.prompt_golden`` repeats it on an engine, on any machine.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_vos.converters.prompt_cases import Recorded
from edge_vos.converters.verify.golden import shrinking
from edge_vos.graph import PromptGraphSpec
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.prompts.prompt_golden import PromptGolden

GOLDEN_PROMPTS = 4
"""One of each kind: a box, a click, a correction, a box with a click."""


def make_prompt_golden(
    eager: Runner, graph: PromptGraphSpec, recorded: Sequence[Recorded]
) -> PromptGolden:
    """Run the reference on coarse copies of its own pictures.

    Args:
        eager: the prompt head's network before any rewrite.
        graph: what it takes and returns.
        recorded: prompts; the last call of each of the first few is kept.
    """
    shrink = shrinking(graph.size)
    inputs = [each.calls[-1][0] for each in recorded[:GOLDEN_PROMPTS]]
    golden = PromptGolden(
        np.stack([np.rint(call["image"][0, :, ::shrink, ::shrink]) for call in inputs]).astype(
            np.uint8
        ),
        np.stack([call["prompt"][0] for call in inputs]).astype(np.float16),
        np.zeros((len(inputs), *graph.outputs[0].shape[1:]), np.float16),
    )
    found = [
        eager.run(golden.inputs(call, graph.size))["probability"][0] for call in range(len(inputs))
    ]
    return replace(golden, probability=np.stack(found).astype(np.float16))
