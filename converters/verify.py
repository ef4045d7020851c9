"""Verify an engine against eager PyTorch: every call, and a closed loop over a clip.

Both run in the loop that ships, ``edge_vos.runtime.segmenter.Segmenter``, so what is verified is
what users get. In the first pass both get the same inputs, those of the eager student with its own
memory; in the second the engine feeds on its own memory.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest
from edge_vos.converters.clip import Clip
from edge_vos.runtime.golden import Golden, Script, check_golden
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.preprocess import Letterbox
from edge_vos.runtime.runner import Runner, Tensors
from edge_vos.runtime.segmenter import FrameResult, Segmenter

GOLDEN_FRAMES = 6
GOLDEN_STRIDE = 4
GOLDEN_PIXELS = 32_000

Score = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
"""Scores the mask of one object against its truth, in [0, 1]."""


@dataclass(frozen=True)
class Tolerance:
    """Say what an engine may differ by.

    Args:
        max_abs_error: of a probability in one call; of a key or value as a part of its largest.
        mask_iou: the least mean overlap of the masks over a closed loop.
    """

    max_abs_error: float
    mask_iou: float


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("onnx", "fp32"): Tolerance(max_abs_error=1e-4, mask_iou=0.999),
}
"""By (backend, precision)."""


@dataclass(frozen=True)
class TensorError:
    """Say how far an output of the engine lies from eager PyTorch's at worst.

    Args:
        max_abs_error: the largest difference.
        relative_error: the same as a part of the largest value, for a key or value; of a
            probability the difference itself.
        call: in which call.
        index: where in the tensor.
        expected: eager PyTorch's value there.
        found: the engine's value there.
    """

    max_abs_error: float
    relative_error: float
    call: int
    index: tuple[int, ...]
    expected: float
    found: float


@dataclass(frozen=True)
class Verification:
    """Hold what a verification found.

    Args:
        tolerance: what was allowed.
        clip: the clip's name.
        frames: how many frames.
        tensors: the worst of every output over all calls.
        mask_iou: mean over frames and objects of the closed loop.
        worst_frame_iou: the lowest of a frame.
        drift: largest error of a probability in the closed loop; not judged.
        jf: eager PyTorch's J&F in percent, ``None`` where nobody knows the truth.
        jf_drop: what the engine loses of it, in points.
        golden_passed: whether the recording that goes along was met.
    """

    tolerance: Tolerance
    clip: str
    frames: int
    tensors: dict[str, TensorError]
    mask_iou: float
    worst_frame_iou: float
    drift: float
    jf: float | None
    jf_drop: float | None
    golden_passed: bool

    @property
    def max_abs_error(self) -> float:
        """Return the largest error of a probability in one call."""
        return self.tensors["probability"].max_abs_error

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what was not met, in words; none if all was."""
        found = []
        limit = self.tolerance.max_abs_error
        for name, error in self.tensors.items():
            # Written so that NaN fails.
            if not error.relative_error <= limit:
                found.append(
                    f"{name} is off by {error.relative_error:.2g} in call {error.call} at "
                    f"{error.index}: {error.found:.6g} instead of {error.expected:.6g} "
                    f"(allowed {limit:g})"
                )
        if not self.mask_iou >= self.tolerance.mask_iou:
            found.append(
                f"masks overlap by {self.mask_iou:.5f} over {self.frames} frames "
                f"(at least {self.tolerance.mask_iou:g})"
            )
        if not self.golden_passed:
            found.append("the recorded loop is not met")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Return whether everything was met."""
        return not self.failures

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON has it; a figure that is no number is null."""
        closed_loop = {
            "frames": self.frames,
            "mask_iou": self.mask_iou,
            "worst_frame_iou": self.worst_frame_iou,
            "max_abs_error": self.drift,
        }
        report = {
            "executed": True,
            "passed": self.passed,
            "failures": list(self.failures),
            "tolerance": asdict(self.tolerance),
            "clip": self.clip,
            "parity": {name: asdict(error) for name, error in self.tensors.items()},
            "closed_loop": closed_loop,
            "max_abs_error": self.max_abs_error,
            "mask_iou": self.mask_iou,
            "jf": self.jf,
            "jf_drop": self.jf_drop,
        }
        return _finite(report)  # type: ignore[no-any-return]


class ComparingRunner:
    """Answer as the reference does and note how far the candidate is off in each call."""

    def __init__(self, reference: Runner, candidate: Runner) -> None:
        self._reference = reference
        self._candidate = candidate
        self._call = 0
        self.worst: dict[str, TensorError] = {}

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run both on the same inputs."""
        expected, found = self._reference.run(inputs), self._candidate.run(inputs)
        for name, array in expected.items():
            error = _tensor_error(name, array, found[name], self._call)
            worst = self.worst.get(name)
            # NaN is worse than any number, and the first one stays.
            if worst is None or not (
                np.isnan(worst.relative_error) or error.relative_error <= worst.relative_error
            ):
                self.worst[name] = error
        self._call += 1
        return expected

    def close(self) -> None:
        """Leave both open: they are their owners'."""


def verify(
    reference: Runner,
    candidate: Runner,
    manifest: Manifest,
    clip: Clip,
    golden: Golden,
    tolerance: Tolerance,
    score: Score | None = None,
) -> Verification:
    """Verify an engine on a clip.

    Args:
        reference: eager PyTorch.
        candidate: the engine.
        manifest: the tensors and the memory policy.
        clip: at least one frame.
        golden: what ``record_golden`` made with the reference.
        tolerance: what is allowed.
        score: judges masks where the clip has a truth; J&F.
    """
    comparing = ComparingRunner(reference, candidate)
    expected = follow(comparing, manifest, clip)
    found = follow(candidate, manifest, clip)
    overlaps = [_overlap(a, b) for a, b in zip(expected, found, strict=True)]
    pairs = zip(expected, found, strict=True)
    jf, jf_found = _mean_score(expected, clip, score), _mean_score(found, clip, score)
    again = check_golden(candidate, manifest, golden, **asdict(tolerance))
    return Verification(
        tolerance=tolerance,
        clip=clip.name,
        frames=len(clip.frames),
        tensors=comparing.worst,
        mask_iou=float(np.mean(overlaps)),
        worst_frame_iou=float(np.min(overlaps)),
        drift=float(np.max([np.abs(a.probability - b.probability).max() for a, b in pairs])),
        jf=jf,
        jf_drop=None if jf is None or jf_found is None else jf - jf_found,
        golden_passed=again.passed,
    )


def follow(runner: Runner, manifest: Manifest, clip: Clip) -> list[FrameResult]:
    """Run the runtime's own loop over a clip."""
    model = LoadedModel(manifest, runner, "verify", "", None, 0.0, None)
    segmenter, prompts, results = Segmenter(model), clip.prompts(), []
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


def _tensor_error(
    name: str, expected: NDArray[np.float32], found: NDArray[np.float32], call: int
) -> TensorError:
    difference = np.abs(found.astype(np.float64) - expected)
    index = np.unravel_index(int(difference.argmax()), difference.shape)  # NaN counts as largest
    worst = float(difference[index])
    scale = 1.0 if name == "probability" else max(1e-6, float(np.abs(expected).max()))
    where = tuple(int(i) for i in index)
    return TensorError(
        worst, worst / scale, call, where, float(expected[index]), float(found[index])
    )


def _overlap(expected: FrameResult, found: FrameResult) -> float:
    ids = [state.id for state in expected.objects]
    return float(np.mean([jaccard(expected.mask == i, found.mask == i) for i in ids]))


def _mean_score(results: list[FrameResult], clip: Clip, score: Score | None) -> float | None:
    if score is None or clip.truth is None:
        return None
    scores = [
        score(result.mask == state.id, truth == state.id)
        for result, truth in zip(results, clip.truth, strict=True)
        for state in result.objects
    ]
    return 100.0 * float(np.mean(scores))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
