"""Verify an engine's prompt head against eager PyTorch: every call, and the masks of real prompts.

Masks are made by the class that ships, ``edge_vos.runtime.prompts.prompt_head.PromptHead``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from edge_vos.converters.prompt_cases import Recorded
from edge_vos.converters.verify.parity import ComparingRunner
from edge_vos.converters.verify.tolerance import Tolerance
from edge_vos.converters.verify.verification import Verdict, tensor_failures
from edge_vos.graph import PromptGraphSpec
from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.prompts.prompt_golden import (
    PromptGolden,
    PromptGoldenReport,
    check_prompt_golden,
)
from edge_vos.runtime.prompts.prompt_head import PromptHead


@dataclass(frozen=True)
class PromptReference:
    """Hold what eager PyTorch made of prompts on real frames.

    Args:
        clip: the clip's name.
        recorded: the prompts, the calls of the network and the masks.
        golden: of the same clip, which goes along with every bundle.
    """

    clip: str
    recorded: tuple[Recorded, ...]
    golden: PromptGolden


@dataclass(frozen=True, kw_only=True)
class PromptVerification(Verdict):
    """Hold what the verification of a prompt head found.

    Args:
        prompts: how many prompts; ``mask_iou`` is the mean overlap of their masks.
        worst_prompt: the prompt whose masks overlap least.
        worst_prompt_iou: their overlap.
        golden: how it did on the golden that goes along.
    """

    prompts: int
    worst_prompt: int
    worst_prompt_iou: float
    golden: PromptGoldenReport

    @property
    def frames(self) -> int:
        """Return how many prompts were given, each on a frame."""
        return self.prompts

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what was not met, in words; none if all was."""
        limits = self.tolerance
        found = tensor_failures(self.tensors, limits, "call")
        if not self.mask_iou >= limits.mask_iou:  # written so that NaN fails
            found.append(
                f"masks overlap by {self.mask_iou:.5f} over {self.prompts} prompts (at least "
                f"{limits.mask_iou:g}), least at prompt {self.worst_prompt} with "
                f"{self.worst_prompt_iou:.3f}"
            )
        if not self.golden.passed:
            found.append(
                f"in the golden, masks overlap by {self.golden.mask_iou:.5f}, a probability is "
                f"off by {self.golden.max_abs_error:.2g} ({self.golden.mean_abs_error:.2g} on "
                "average)"
            )
        return tuple(f"the prompt head: {each}" for each in found)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it, except what differs from run to run."""
        return self.report(
            prompts=self.prompts,
            worst_prompt=self.worst_prompt,
            worst_prompt_iou=self.worst_prompt_iou,
        )


def verify_prompt_head(
    reference: PromptReference,
    candidate: Runner,
    graph: PromptGraphSpec,
    tolerance: Tolerance,
    *,
    evaluated_by: str = "",
    stride: int = 1,
) -> tuple[PromptVerification, Tensors]:
    """Verify an engine on the prompts that eager PyTorch was given.

    Args:
        reference: eager PyTorch's masks.
        candidate: the engine.
        graph: what it takes and returns.
        tolerance: what is allowed.
        evaluated_by: what stands in for the engine.
        stride: give every so many of the prompts.

    Returns:
        what was found, and the inputs of the call in which the probability is furthest off.
    """
    given = reference.recorded[::stride]
    calls = [call for each in given for call in each.calls]
    answers = iter([outputs for _, outputs in calls])
    comparing = ComparingRunner(CallableRunner(lambda _: next(answers)), candidate)
    for inputs, _ in calls:
        comparing.run(inputs)
    overlaps, times_ms = _overlaps(given, candidate, graph.size)
    worst = int(np.argmin(overlaps))
    verification = PromptVerification(
        tolerance=tolerance,
        clip=reference.clip,
        prompts=len(given),
        tensors=comparing.worst,
        mask_iou=float(np.mean(overlaps)),
        worst_prompt=worst * stride,
        worst_prompt_iou=float(overlaps[worst]),
        golden=check_prompt_golden(candidate, graph, reference.golden, tolerance.golden),
        latency_ms=float(np.median(times_ms)),
        evaluated_by=evaluated_by,
    )
    return verification, comparing.worst_inputs["probability"]


def _overlaps(
    given: Sequence[Recorded], candidate: Runner, size: tuple[int, int]
) -> tuple[list[float], list[float]]:
    """Return how each prompt's mask overlaps with eager PyTorch's, and each call's time."""
    times_ms = []

    def run(inputs: Tensors) -> dict[str, Any]:
        start = perf_counter()
        outputs = candidate.run(inputs)
        times_ms.append((perf_counter() - start) * 1e3)
        return outputs

    head = PromptHead(CallableRunner(run), size)
    overlaps = [jaccard(each.mask > 0, each.case.give(head) > 0) for each in given]
    return overlaps, times_ms
