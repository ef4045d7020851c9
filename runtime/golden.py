"""Repeat a golden: the inputs and outputs of a short closed loop of eager PyTorch.

The engine runs on the golden's images and feeds on its own memory; what it finds is compared with
what eager PyTorch found. Which slots a frame's entry goes to is part of the golden, so nothing of
the runtime but the engine is under test. Needs neither torch nor the clip;
``edge_vos.converters.verify.golden`` makes one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import GOLDEN_FILE, Bundle
from edge_vos.errors import BundleError
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.golden_file import (
    AGAIN,
    check_arrays,
    enlarged,
    golden_bytes,
    kept_pixels,
    read_golden,
)

PROBABILITY_STEPS = 65535
"""Probabilities are kept in 16 bits of fixed point: off by 7.6e-6, where float16 is by 2e-4."""

ENTRY_TOLERANCE = 2.0**-10
"""What keys and values may differ by, as a part of their size, for being kept in float16."""


_LIMITS = {float, type(None)}


class GoldenLimits(TypedDict):
    """Say what ``check_golden`` allows, as it describes."""

    mask_iou: float
    max_abs_error: float | None
    mean_abs_error: float | None
    norm_error: float | None


@dataclass(frozen=True)
class Script:
    """Hold the inputs of a loop of T frames.

    Args:
        image: (T, 3, H/s, W/s) uint8, RGB; each pixel stands for s x s pixels of the image.
        prompt: (T, K, H/4, W/4) float32 area coverage.
        prompted: (T, K) float32, 0 or 1.
        active: (T, K) float32, 0 or 1.
        writes: (T, N) bool, the slots that take the frame's entry.
    """

    image: NDArray[np.uint8]
    prompt: NDArray[np.float32]
    prompted: NDArray[np.float32]
    active: NDArray[np.float32]
    writes: NDArray[np.bool_]


@dataclass(frozen=True)
class Golden:
    """Hold a loop: what goes in, and what eager PyTorch found.

    Args:
        script: the inputs.
        probability: (T, K, H/4, W/4) uint16, in steps of 1/65535.
        key: (1, Ck, H/16, W/16) float16, of the last frame.
        value: (1, Cv, H/16, W/16) float16, of the last frame.
    """

    script: Script
    probability: NDArray[np.uint16]
    key: NDArray[np.float16]
    value: NDArray[np.float16]

    @classmethod
    def load(cls, bundle: Bundle) -> "Golden":
        """Read the golden of a bundle.

        Raises:
            BundleError: if there is none, or it does not fit the manifest.
        """
        names = [field.name for field in fields(Script)]
        arrays = read_golden(bundle, GOLDEN_FILE, (*names, "probability", "key", "value"))
        script = Script(**{name: arrays[name] for name in names})
        golden = cls(script, arrays["probability"], arrays["key"], arrays["value"])
        _check(golden, bundle)
        return golden

    def to_bytes(self) -> bytes:
        """Return the golden as a compressed npz; the same golden gives the same bytes."""
        return golden_bytes(self._arrays())

    def _arrays(self) -> dict[str, Any]:
        script = {entry.name: getattr(self.script, entry.name) for entry in fields(Script)}
        return {**script, "probability": self.probability, "key": self.key, "value": self.value}


@dataclass(frozen=True)
class GoldenReport:
    """Say how an engine did on a golden.

    Args:
        passed: within the bundle's tolerances.
        frames: how many were run.
        mask_iou: overlap of all objects in all frames together, at the probability's size.
        max_abs_error: largest error of a probability.
        mean_abs_error: the largest of the frames' mean errors of a probability.
        entry_error: largest error of the last key or value, as a part of its largest.
        entry_norm_error: the larger ``relative_norm`` of the two.
    """

    passed: bool
    frames: int
    mask_iou: float
    max_abs_error: float
    mean_abs_error: float
    entry_error: float
    entry_norm_error: float


def replay(
    runner: Runner, graph: GraphSpec, script: Script
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Run a script in a closed loop and yield each frame's outputs."""
    blank = graph.blank_inputs()
    key, value, valid = (blank[f"memory_{name}"] for name in ("key", "value", "valid"))
    for t, small in enumerate(script.image):
        outputs = runner.run(
            {
                "image": enlarged(small, graph.size),
                "prompt": script.prompt[t : t + 1],
                "prompted": script.prompted[t].reshape(1, -1, 1, 1),
                "active": script.active[t].reshape(1, -1, 1, 1),
                "memory_key": key,
                "memory_value": value,
                "memory_valid": valid,
            }
        )
        slots = script.writes[t]
        # New arrays: what was yielded or is still read must not change.
        key, value, valid = key.copy(), value.copy(), valid.copy()
        key[slots], value[slots], valid[slots] = outputs["key"], outputs["value"], 1.0
        yield outputs


def check_golden(
    runner: Runner,
    graph: GraphSpec,
    golden: Golden,
    *,
    mask_iou: float,
    max_abs_error: float | None,
    mean_abs_error: float | None,
    norm_error: float | None,
) -> GoldenReport:
    """Repeat a golden on an engine and compare.

    Args:
        runner: the engine.
        graph: what it takes and returns.
        golden: to be repeated.
        mask_iou: what the masks must overlap by, all together: a sliver weighs what it covers.
        max_abs_error: what a probability may be off by, and a key or value as a part of its
            largest; ``None`` is any amount.
        mean_abs_error: what a frame's probabilities may be off by on average.
        norm_error: what a key or value may be off by as a whole, see ``relative_norm``.
    """
    worst, means = [], []
    common = covered = 0
    outputs: dict[str, NDArray[np.float32]] = {}
    for t, outputs in enumerate(replay(runner, graph, golden.script)):
        expected = golden.probability[t]
        found = outputs["probability"][0]
        difference = np.abs(found - expected.astype(np.float32) / PROBABILITY_STEPS)
        worst.append(difference.max())
        means.append(difference.mean())
        labels, truth = fixed_point(found).argmax(0), expected.argmax(0)
        ids = np.flatnonzero(golden.script.active[t])[1:]
        common += int(sum(np.count_nonzero((labels == i) & (truth == i)) for i in ids))
        covered += int(sum(np.count_nonzero((labels == i) | (truth == i)) for i in ids))
    entries = [
        (outputs[name], exact.astype(np.float32))
        for name, exact in (("key", golden.key), ("value", golden.value))
    ]
    entry_error = float(np.max([_largest_error(*pair) for pair in entries]))
    entry_norm_error = float(np.max([relative_norm(*pair) for pair in entries]))
    error, mean = float(np.max(worst)), float(np.max(means))
    overlap = float(common / covered) if covered else 1.0
    passed = (
        overlap >= mask_iou
        and within(error, max_abs_error)
        and within(mean, mean_abs_error)
        and within(entry_error, max_abs_error, ENTRY_TOLERANCE)
        and within(entry_norm_error, norm_error, ENTRY_TOLERANCE)
    )
    return GoldenReport(passed, len(worst), overlap, error, mean, entry_error, entry_norm_error)


def relative_norm(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the L2 norm of the difference as a part of the L2 norm of what was expected.

    Unlike a part of the largest value it does not hang on a single outlier, which one student's
    keys have and another's do not.
    """
    difference = float(np.linalg.norm((found - expected).astype(np.float64)))
    return difference / max(1e-6, float(np.linalg.norm(expected.astype(np.float64))))


def tolerance_of(bundle: Bundle, report: Mapping[str, Any] | None = None) -> GoldenLimits:
    """Return ``check_golden``'s limits as the bundle's own report states them.

    Args:
        bundle: whose report is read.
        report: another one of it, such as the prompt head's.

    Raises:
        BundleError: if the report states none.
    """
    stated = (bundle.manifest.report if report is None else report).get("tolerance")
    limits = stated if isinstance(stated, dict) else {}
    # Written by an earlier release, a report may lack a limit for the golden, mean and norm.
    iou = limits.get("golden_iou", limits.get("mask_iou"))
    worst, mean = limits.get("max_abs_error"), limits.get("mean_abs_error")
    norm = limits.get("norm_error")
    bounded = isinstance(worst, float) or isinstance(mean, float)
    if not (
        isinstance(iou, float) and bounded and {type(worst), type(mean), type(norm)} <= _LIMITS
    ):
        raise BundleError(
            f"The report in {bundle.path} states no tolerance",
            "numbers mask_iou and max_abs_error or mean_abs_error",
            AGAIN,
        )
    return {"mask_iou": iou, "max_abs_error": worst, "mean_abs_error": mean, "norm_error": norm}


def within(error: float, limit: float | None, least: float = 0.0) -> bool:
    """Tell whether an error is allowed; one that is no number is not."""
    return limit is None or error <= max(limit, least)


def fixed_point(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return probabilities in steps of 1 / ``PROBABILITY_STEPS``; what is no number is 0."""
    steps = np.nan_to_num(np.clip(probability, 0.0, 1.0)) * PROBABILITY_STEPS
    return np.rint(steps).astype(np.uint16)


def _largest_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest error as a part of the largest value."""
    return float(np.abs(found - expected).max()) / max(1e-6, float(np.abs(expected).max()))


def _check(golden: Golden, bundle: Bundle) -> None:
    graph = bundle.manifest.graph
    frames, *sides = kept_pixels(golden.script.image, graph.size)
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        "image": ((frames, 3, *sides), np.uint8),
        "prompt": ((frames, *graph.shape("prompt")[1:]), np.float32),
        "prompted": ((frames, graph.channels), np.float32),
        "active": ((frames, graph.channels), np.float32),
        "writes": ((frames, graph.slots), np.bool_),
        "probability": ((frames, *graph.shape("probability")[1:]), np.uint16),
        "key": (graph.shape("key"), np.float16),
        "value": (graph.shape("value"), np.float16),
    }
    check_arrays(bundle, GOLDEN_FILE, golden._arrays(), expected)
