"""Repeat the prompt head's golden: a few pictures with prompts, and what eager PyTorch found.

It lies in a bundle beside the step's (``edge_vos.runtime.golden``), in a file of its own. Needs
neither torch nor the clip; ``edge_vos.converters.verify.prompt_golden`` makes one.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import PROMPT_GOLDEN_FILE, Bundle
from edge_vos.errors import BundleError
from edge_vos.graph import PromptGraphSpec
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.golden import GoldenLimits, within
from edge_vos.runtime.golden_file import (
    AGAIN,
    check_arrays,
    enlarged,
    golden_bytes,
    kept_pixels,
    read_golden,
)

PRESENT = 0.5
"""From this probability on, a cell counts as the object's."""

FLOAT16_TOLERANCE = 2.0**-11
"""What a probability may differ by for being kept in float16."""


@dataclass(frozen=True)
class PromptGolden:
    """Hold T calls: what goes in, and what eager PyTorch found.

    Args:
        image: (T, 3, H/s, W/s) uint8, RGB; each pixel stands for s x s pixels of the image.
        prompt: (T, 4, H/4, W/4) float16 in [0, 1]; see ``edge_vos.graph``.
        probability: (T, 1, H/4, W/4) float16 in [0, 1].
    """

    image: NDArray[np.uint8]
    prompt: NDArray[np.float16]
    probability: NDArray[np.float16]

    @classmethod
    def load(cls, bundle: Bundle) -> "PromptGolden":
        """Read the golden of a bundle with a prompt head.

        Raises:
            BundleError: if there is none, or it does not fit the manifest.
        """
        names = tuple(field.name for field in fields(cls))
        golden = cls(**read_golden(bundle, PROMPT_GOLDEN_FILE, names))
        golden._check(bundle)
        return golden

    def to_bytes(self) -> bytes:
        """Return the golden as a compressed npz; the same golden gives the same bytes."""
        return golden_bytes(vars(self))

    def inputs(self, call: int, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
        """Return what goes into a call of the graph, float32."""
        return {
            "image": enlarged(self.image[call], size),
            "prompt": self.prompt[call][np.newaxis].astype(np.float32),
        }

    def _check(self, bundle: Bundle) -> None:
        entry = bundle.manifest.prompt_head
        if entry is None:
            raise BundleError(f"{bundle.path} holds no prompt head", "one with its golden", AGAIN)
        calls, *sides = kept_pixels(self.image, entry.size)
        shapes = {spec.name: spec.shape for spec in (*entry.graph.inputs, *entry.graph.outputs)}
        expected: dict[str, tuple[tuple[int, ...], type]] = {
            "image": ((calls, 3, *sides), np.uint8),
            "prompt": ((calls, *shapes["prompt"][1:]), np.float16),
            "probability": ((calls, *shapes["probability"][1:]), np.float16),
        }
        check_arrays(bundle, PROMPT_GOLDEN_FILE, vars(self), expected)


@dataclass(frozen=True)
class PromptGoldenReport:
    """Say how an engine did on a prompt head's golden.

    Args:
        passed: within the bundle's tolerances.
        prompts: how many were run.
        mask_iou: overlap of the objects of all calls together, at the probability's size.
        max_abs_error: largest error of a probability.
        mean_abs_error: the largest of the calls' mean errors.
    """

    passed: bool
    prompts: int
    mask_iou: float
    max_abs_error: float
    mean_abs_error: float


def check_prompt_golden(
    runner: Runner, graph: PromptGraphSpec, golden: PromptGolden, limits: GoldenLimits
) -> PromptGoldenReport:
    """Repeat a golden on an engine and compare.

    Args:
        runner: the engine with the prompt head's graph.
        graph: what it takes and returns.
        golden: to be repeated.
        limits: what is allowed, as ``check_golden`` describes; there is no key or value.
    """
    worst, means = [], []
    common = covered = 0
    for call, kept in enumerate(golden.probability):
        expected = kept.astype(np.float32)
        found = runner.run(golden.inputs(call, graph.size))["probability"][0]
        difference = np.abs(found - expected)
        worst.append(difference.max())
        means.append(difference.mean())
        # Rounded alike: a probability that float16 moves across the threshold is no error.
        one, other = found.astype(np.float16) >= PRESENT, kept >= PRESENT
        common += int(np.count_nonzero(one & other))
        covered += int(np.count_nonzero(one | other))
    error, mean = float(np.max(worst)), float(np.max(means))
    overlap = common / covered if covered else 1.0
    passed = (
        overlap >= limits["mask_iou"]
        and within(error, limits["max_abs_error"], FLOAT16_TOLERANCE)
        and within(mean, limits["mean_abs_error"], FLOAT16_TOLERANCE)
    )
    return PromptGoldenReport(passed, len(worst), overlap, error, mean)
