"""What an engine may differ by from eager PyTorch, by precision."""

from dataclasses import dataclass, replace

from edge_vos.runtime.golden import GoldenLimits


@dataclass(frozen=True)
class Tolerance:
    """Say what an engine may differ by.

    Args:
        mask_iou: the least mean overlap of the masks over a closed loop.
        mean_abs_error: of the probabilities in one call, on average.
        norm_error: of a key or value in one call: the L2 norm of the difference as a part of its
            own.
        max_abs_error: of an output at any place, of a key or value as a part of its largest;
            ``None`` where single places may be off by any amount, as in a quantized mask's
            outline, and are only reported.
        jf_drop: how many points of J&F may be lost where the clip has a truth.
        golden_iou: the least overlap over the golden that goes along, which tells a device that
            works from one that does not: a few coarse pictures, at the probability's size, where
            one cell of an outline weighs as much as 16 pixels.
    """

    mask_iou: float
    mean_abs_error: float
    norm_error: float
    max_abs_error: float | None
    jf_drop: float
    golden_iou: float

    @property
    def golden(self) -> GoldenLimits:
        """Return what holds for the golden that goes along."""
        return {
            "mask_iou": self.golden_iou,
            "max_abs_error": self.max_abs_error,
            "mean_abs_error": self.mean_abs_error,
            "norm_error": self.norm_error,
        }


FP32 = Tolerance(0.999, 1e-5, norm_error=1e-4, max_abs_error=1e-4, jf_drop=0.1, golden_iou=0.999)
FP16 = Tolerance(0.995, 1e-3, norm_error=0.015, max_abs_error=None, jf_drop=0.5, golden_iou=0.98)
QUANTIZED = Tolerance(0.97, 2e-2, norm_error=0.25, max_abs_error=None, jf_drop=1.0, golden_iou=0.85)


PROMPT_QUANTIZED = replace(QUANTIZED, mask_iou=0.96)
"""Of the prompt head, whose masks are compared on single frames, small objects included."""


def tolerance_for(precision: str) -> Tolerance:
    """Return what holds for a precision, of every engine."""
    return {"fp32": FP32, "fp16": FP16}.get(precision, QUANTIZED)


def prompt_tolerance_for(precision: str) -> Tolerance:
    """Return what holds for the prompt head in a precision: the mean overlap of single masks."""
    return {"fp32": FP32, "fp16": FP16}.get(precision, PROMPT_QUANTIZED)
