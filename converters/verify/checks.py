"""Verify an engine against eager PyTorch: every call, and a closed loop over a clip.

Both run in the loop that ships, ``edge_vos.runtime.segmenter.Segmenter``, with masks as the network
gives them. In the first pass the engine gets the inputs that eager PyTorch had, with its
memory; in the second it feeds on its own memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.converters.verify.parity import ComparingRunner, TensorError
from edge_vos.converters.verify.reference import Reference, follow
from edge_vos.runtime.backends.runner import Runner, Tensors
from edge_vos.runtime.golden import GoldenReport, check_golden
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.segmenter import FrameResult

FOLLOWED = 0.5
"""From this J on, eager PyTorch follows an object."""

LEAST_JUDGED = 0.5
"""The least part of all objects in all frames that it has to follow, for the rest not to count."""

Score = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
"""Scores the mask of one object against its truth, in [0, 1]."""


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
        golden_iou: the least overlap over the recording that goes along, which tells a device that
            works from one that does not: a few coarse pictures, at the probability's size, where
            one cell of an outline weighs as much as 16 pixels.
    """

    mask_iou: float
    mean_abs_error: float
    norm_error: float
    max_abs_error: float | None
    jf_drop: float
    golden_iou: float


FP32 = Tolerance(0.999, 1e-5, norm_error=1e-4, max_abs_error=1e-4, jf_drop=0.1, golden_iou=0.999)
FP16 = Tolerance(0.995, 1e-3, norm_error=0.015, max_abs_error=None, jf_drop=0.5, golden_iou=0.98)
QUANTIZED = Tolerance(0.97, 2e-2, norm_error=0.25, max_abs_error=None, jf_drop=1.0, golden_iou=0.85)

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("onnx", "fp32"): FP32,
    ("onnx", "fp16"): FP16,
    ("onnx", "int8"): QUANTIZED,
    ("litert", "fp32"): FP32,
    ("litert", "fp16"): FP16,
    ("litert", "int8"): QUANTIZED,
    ("executorch-xnnpack", "fp32"): FP32,
    ("executorch-xnnpack", "int8"): QUANTIZED,
    ("executorch-coreml", "fp16"): FP16,
    ("executorch-vulkan", "fp32"): FP32,
    ("coreml", "fp32"): FP32,
    ("coreml", "fp16"): FP16,
    ("coreml", "int8"): QUANTIZED,
    ("coreml", "palette6"): QUANTIZED,
    ("coreml", "palette4"): QUANTIZED,
    ("coreml", "w8a8"): QUANTIZED,
    ("tensorrt", "fp32"): FP32,
    ("tensorrt", "fp16"): FP16,
}
"""By (backend, precision)."""


@dataclass(frozen=True)
class Verification:
    """Hold what a verification found.

    Args:
        tolerance: what was allowed.
        clip: the clip's name.
        frames: how many frames.
        tensors: the worst of every output over all calls.
        mask_iou: mean over the frames of the closed loop, and the objects followed in them.
        worst_frame: the frame of the closed loop with the lowest overlap.
        worst_frame_iou: its overlap.
        drift: largest error of a probability in the closed loop; not judged.
        jf: eager PyTorch's J&F in percent, ``None`` where nobody knows the truth.
        jf_drop: what the engine loses of it, in points.
        golden: how it did on the recording that goes along.
        latency_ms: median time of a call with one thread, on this machine.
        evaluated_by: what stood in for the engine; empty where the engine itself ran.
    """

    tolerance: Tolerance
    clip: str
    frames: int
    tensors: dict[str, TensorError]
    mask_iou: float
    worst_frame: int
    worst_frame_iou: float
    drift: float
    jf: float | None
    jf_drop: float | None
    golden: GoldenReport
    latency_ms: float
    evaluated_by: str = ""

    @property
    def max_abs_error(self) -> float:
        """Return the largest error of a probability in one call."""
        return self.tensors["probability"].max_abs_error

    @property
    def worst_tensor(self) -> str:
        """Return the output that is furthest off, as a part of what is allowed."""
        # NaN is worse than any number.
        parts = {name: error / limit for name, (error, limit) in self._overall().items()}
        return max(parts, key=lambda name: (np.isnan(parts[name]), parts[name]))

    def _overall(self) -> dict[str, tuple[float, float]]:
        """Return what each output as a whole is off by, and what is allowed."""
        limits = self.tolerance
        return {
            name: (error.mean_error, limits.mean_abs_error)
            if name == "probability"
            else (error.norm_error, limits.norm_error)
            for name, error in self.tensors.items()
        }

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what was not met, in words; none if all was."""
        found = []
        limits = self.tolerance
        for name, (overall, allowed) in self._overall().items():
            error = self.tensors[name]
            # Written so that NaN fails.
            if limits.max_abs_error is not None and not (
                error.relative_error <= limits.max_abs_error
            ):
                found.append(
                    f"{name} is off by {error.relative_error:.2g} in frame {error.call} at "
                    f"{error.index}: {error.found:.6g} instead of {error.expected:.6g} "
                    f"(allowed {limits.max_abs_error:g})"
                )
            elif not overall <= allowed:
                found.append(
                    f"{name} as a whole is off by {overall:.2g} (allowed {allowed:g}), most in "
                    f"frame {error.call} at {error.index}: {error.found:.6g} instead of "
                    f"{error.expected:.6g}"
                )
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
                f"in the recording, masks overlap by {self.golden.mask_iou:.5f}, a probability is "
                f"off by {self.golden.max_abs_error:.2g} ({self.golden.mean_abs_error:.2g} on "
                f"average), the last entry by {self.golden.entry_error:.2g} "
                f"({self.golden.entry_norm_error:.2g} as a whole)"
            )
        return tuple(found)

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

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON has it, except what differs from run to run.

        A figure that is no number is null.
        """
        closed_loop = {
            "frames": self.frames,
            "mask_iou": self.mask_iou,
            "worst_frame": self.worst_frame,
            "worst_frame_iou": self.worst_frame_iou,
            "max_abs_error": self.drift,
        }
        report = {
            "executed": self.executed,
            "evaluated_by": self.evaluated_by,
            "passed": self.passed,
            "failures": list(self.failures),
            "tolerance": asdict(self.tolerance),
            "clip": self.clip,
            "parity": {name: asdict(error) for name, error in self.tensors.items()},
            "closed_loop": closed_loop,
            "golden": asdict(self.golden),
            "max_abs_error": self.max_abs_error,
            "mask_iou": self.mask_iou,
            "jf": self.jf,
            "jf_drop": self.jf_drop,
        }
        return _finite(report)  # type: ignore[no-any-return]


def verify(
    reference: Reference,
    candidate: Runner,
    manifest: Manifest,
    tolerance: Tolerance,
    score: Score | None = None,
    *,
    evaluated_by: str = "",
    stride: int = 1,
) -> tuple[Verification, Tensors]:
    """Verify an engine on the clip that eager PyTorch followed.

    Args:
        reference: eager PyTorch's run.
        candidate: the engine.
        manifest: the tensors and the memory policy.
        tolerance: what is allowed.
        score: judges masks where the clip has a truth; J&F.
        evaluated_by: what stands in for the engine.
        stride: compare the tensors of every so many calls.

    Returns:
        what was found, and the inputs of the call in which the worst tensor is furthest off.
    """
    clip, expected = reference.clip, reference.results
    comparing = ComparingRunner(reference.answers(), candidate, stride)
    follow(comparing, manifest, clip)
    found = follow(candidate, manifest, clip)
    overlaps = loop_overlaps(expected, found, clip.truth)
    pairs = zip(expected, found, strict=True)
    jf, jf_found = _mean_score(expected, reference, score), _mean_score(found, reference, score)
    again = check_golden(
        candidate,
        manifest,
        reference.golden,
        mask_iou=tolerance.golden_iou,
        max_abs_error=tolerance.max_abs_error,
        mean_abs_error=tolerance.mean_abs_error,
        norm_error=tolerance.norm_error,
    )
    verification = Verification(
        tolerance=tolerance,
        clip=clip.name,
        frames=len(clip.frames),
        tensors=comparing.worst,
        mask_iou=float(np.nanmean(overlaps)),
        worst_frame=int(np.nanargmin(overlaps)),
        worst_frame_iou=float(np.nanmin(overlaps)),
        drift=float(np.max([np.abs(a.probability - b.probability).max() for a, b in pairs])),
        jf=jf,
        jf_drop=None if jf is None or jf_found is None else jf - jf_found,
        golden=again,
        latency_ms=float(np.median([result.timings_ms["infer"] for result in found])),
        evaluated_by=evaluated_by,
    )
    return verification, comparing.worst_inputs[verification.worst_tensor]


def loop_overlaps(
    expected: Sequence[FrameResult],
    found: Sequence[FrameResult],
    truths: Sequence[NDArray[np.uint8]] | None,
) -> NDArray[np.float64]:
    """Return each frame's mean overlap over the objects; NaN where none is to be judged.

    Where the truth is known, an object counts in the frames in which eager PyTorch follows it. What
    it has lost, it finds again or not by a hair's breadth, and no engine can be held to that. If it
    follows too little to judge by, everything counts.
    """
    overlaps = np.full((len(expected), 256), np.nan)
    followed = np.zeros(overlaps.shape, bool)
    for t, (one, other) in enumerate(zip(expected, found, strict=True)):
        for state in one.objects:
            i, mask = state.id, one.mask == state.id
            overlaps[t, i] = jaccard(mask, other.mask == i)
            followed[t, i] = truths is None or jaccard(mask, truths[t] == i) >= FOLLOWED
    counted = ~np.isnan(overlaps)
    if followed.sum() >= LEAST_JUDGED * counted.sum():
        counted = followed
    totals = np.where(counted, overlaps, 0).sum(axis=1)
    judged = counted.sum(axis=1)
    by_frame: NDArray[np.float64] = np.full(len(totals), np.nan)
    np.divide(totals, judged, out=by_frame, where=judged > 0)
    return by_frame


def _mean_score(
    results: Sequence[FrameResult], reference: Reference, score: Score | None
) -> float | None:
    truths = reference.clip.truth
    if score is None or truths is None:
        return None
    scores = [
        score(result.mask == state.id, truth == state.id)
        for result, truth in zip(results, truths, strict=True)
        for state in result.objects
    ]
    return 100.0 * float(np.mean(scores))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
