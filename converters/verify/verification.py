"""What a verification found, what of it fails, and its one form in JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_vos.converters.verify.parity import TensorError
from edge_vos.converters.verify.tolerance import Tolerance
from edge_vos.runtime.golden import GoldenReport
from edge_vos.runtime.prompts.prompt_golden import PromptGoldenReport


@dataclass(frozen=True, kw_only=True)
class Verdict(ABC):
    """Hold what both graphs are verified by, and say whether it passes.

    Args:
        tolerance: what was allowed.
        clip: the clip's name.
        tensors: the worst of every output over all calls.
        mask_iou: mean overlap of the masks with eager PyTorch's.
        golden: how it did on the golden that goes along.
        latency_ms: median time of a call with one thread, on this machine.
        evaluated_by: what stood in for the engine; empty where the engine itself ran.
    """

    tolerance: Tolerance
    clip: str
    tensors: dict[str, TensorError]
    mask_iou: float
    golden: GoldenReport | PromptGoldenReport
    latency_ms: float
    evaluated_by: str = ""

    @property
    def max_abs_error(self) -> float:
        """Return the largest error of a probability in one call."""
        return self.tensors["probability"].max_abs_error

    @property
    @abstractmethod
    def failures(self) -> tuple[str, ...]:
        """Return what was not met, in words; none if all was."""

    @property
    def agrees(self) -> bool:
        """Return whether everything was met, by the engine or by what stood in for it."""
        return not self.failures

    @property
    def executed(self) -> bool:
        """Return whether the engine itself ran."""
        return not self.evaluated_by

    @property
    def passed(self) -> bool:
        """Return whether the engine itself ran and everything was met."""
        return self.executed and self.agrees

    def report(self, **more: Any) -> dict[str, Any]:
        """Return what both graphs have in JSON, and more, except what differs from run to run.

        A figure that is no number is null.
        """
        report = {
            "executed": self.executed,
            "evaluated_by": self.evaluated_by,
            "passed": self.passed,
            "failures": list(self.failures),
            "tolerance": asdict(self.tolerance),
            "clip": self.clip,
            "parity": {name: asdict(error) for name, error in self.tensors.items()},
            "golden": asdict(self.golden),
            "max_abs_error": self.max_abs_error,
            "mask_iou": self.mask_iou,
            **more,
        }
        return finite(report)


@dataclass(frozen=True, kw_only=True)
class Verification(Verdict):
    """Hold what a verification found.

    Args:
        frames: how many frames; ``mask_iou`` is the mean over those of the closed loop, and the
            objects followed in them.
        worst_frame: the frame of the closed loop with the lowest overlap.
        worst_frame_iou: its overlap.
        drift: largest error of a probability in the closed loop; not judged.
        jf: eager PyTorch's J&F in percent, ``None`` where nobody knows the truth.
        jf_drop: what the engine loses of it, in points.
        golden: how it did on the golden that goes along.
    """

    frames: int
    worst_frame: int
    worst_frame_iou: float
    drift: float
    jf: float | None
    jf_drop: float | None
    golden: GoldenReport

    @property
    def worst_tensor(self) -> str:
        """Return the output that is furthest off, as a part of what is allowed."""
        # NaN is worse than any number.
        parts = {
            name: error / limit
            for name, (error, limit) in _overall(self.tensors, self.tolerance).items()
        }
        return max(parts, key=lambda name: (np.isnan(parts[name]), parts[name]))

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what was not met, in words; none if all was."""
        limits = self.tolerance
        found = tensor_failures(self.tensors, limits)
        if not self.mask_iou >= limits.mask_iou:
            found.append(
                f"masks overlap by {self.mask_iou:.5f} over {self.frames} frames (at least "
                f"{limits.mask_iou:g}), least in frame {self.worst_frame} with "
                f"{self.worst_frame_iou:.3f}"
            )
        if self.jf_drop is not None and not self.jf_drop <= limits.jf_drop:
            found.append(
                f"J&F falls by {self.jf_drop:.2f} points from {self.jf:.1f} "
                f"(at most {limits.jf_drop:g})"
            )
        if not self.golden.passed:
            found.append(
                f"in the golden, masks overlap by {self.golden.mask_iou:.5f}, a probability is "
                f"off by {self.golden.max_abs_error:.2g} ({self.golden.mean_abs_error:.2g} on "
                f"average), the last entry by {self.golden.entry_error:.2g} "
                f"({self.golden.entry_norm_error:.2g} as a whole)"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it, except what differs from run to run."""
        closed_loop = {
            "frames": self.frames,
            "mask_iou": self.mask_iou,
            "worst_frame": self.worst_frame,
            "worst_frame_iou": self.worst_frame_iou,
            "max_abs_error": self.drift,
        }
        return self.report(closed_loop=closed_loop, jf=self.jf, jf_drop=self.jf_drop)


def tensor_failures(
    tensors: Mapping[str, TensorError], limits: Tolerance, call: str = "frame"
) -> list[str]:
    """Return which outputs are off by more than is allowed, in words.

    Args:
        tensors: the worst of every output over all calls.
        limits: what is allowed.
        call: what one call is called.
    """
    found = []
    for name, (overall, allowed) in _overall(tensors, limits).items():
        error = tensors[name]
        # Written so that NaN fails.
        if limits.max_abs_error is not None and not (error.relative_error <= limits.max_abs_error):
            found.append(
                f"{name} is off by {error.relative_error:.2g} in {call} {error.call} at "
                f"{error.index}: {error.found:.6g} instead of {error.expected:.6g} "
                f"(allowed {limits.max_abs_error:g})"
            )
        elif not overall <= allowed:
            found.append(
                f"{name} as a whole is off by {overall:.2g} (allowed {allowed:g}), most in "
                f"{call} {error.call} at {error.index}: {error.found:.6g} instead of "
                f"{error.expected:.6g}"
            )
    return found


def _overall(
    tensors: Mapping[str, TensorError], limits: Tolerance
) -> dict[str, tuple[float, float]]:
    """Return what each output as a whole is off by, and what is allowed."""
    return {
        name: (error.mean_error, limits.mean_abs_error)
        if name == "probability"
        else (error.norm_error, limits.norm_error)
        for name, error in tensors.items()
    }


def finite(value: Any) -> Any:
    """Return plain values, with nothing in the place of a figure that is no number."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
