"""Measure what this machine can multiply at most, to hold the student against.

The peak is that of one large matrix product through ONNX Runtime, with as many threads as the
student has: Williams, Waterman and Patterson, "Roofline" (2009), without its slope, as the product
is large enough to be bound by arithmetic. ``product-*.onnx`` hold that product.
"""

import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from edge_vos.devices.cost.operators import Cost

SIDE = 768
"""Of the square matrices in the files."""
PRODUCTS = {"fp32": ("product-fp32.onnx", np.float32), "int8": ("product-int8.onnx", np.uint8)}
"""The file of a product, and the dtype of its input ``a``, (SIDE, SIDE)."""
SECONDS = 0.15


@dataclass(frozen=True)
class Peak:
    """Hold what this machine multiplies at most.

    Args:
        fp32_gmacs: 10^9 multiply-adds a second of a product in float32.
        int8_gmacs: the same of uint8 by int8 into int32; None where the engine has no such.
    """

    fp32_gmacs: float
    int8_gmacs: float | None


@dataclass(frozen=True)
class Roofline:
    """Hold the machine's peaks and what the student reaches of them.

    Args:
        fp32_gmacs: as :class:`Peak` has it.
        int8_gmacs: as :class:`Peak` has it.
        macs: multiply-adds of one call of the student.
        infer_share_percent: what its p50 reaches of the peak of its precision, 0-100.
        step_share_percent: the same of one whole step.
        stages: what each part of the network reaches; None where that cannot be told.
    """

    fp32_gmacs: float
    int8_gmacs: float | None
    macs: int
    infer_share_percent: float
    step_share_percent: float
    stages: tuple[Cost, ...] | None = None


def measure_peak(threads: int | None, seconds: float = SECONDS) -> Peak | None:
    """Measure this machine's peaks; None where ONNX Runtime is not installed.

    Args:
        threads: of the engine; None is its own choice.
        seconds: to measure each of them; the fastest product counts.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    fp32 = _gmacs(onnxruntime, *PRODUCTS["fp32"], threads, seconds)
    try:
        return Peak(fp32, _gmacs(onnxruntime, *PRODUCTS["int8"], threads, seconds))
    except Exception:  # ONNX Runtime's errors share no public base; some builds lack integers
        return Peak(fp32, None)


def faster(one: Peak, other: Peak) -> Peak:
    """Return the larger of each figure of two measurements."""
    int8 = [peak.int8_gmacs for peak in (one, other) if peak.int8_gmacs is not None]
    return Peak(max(one.fp32_gmacs, other.fp32_gmacs), max(int8, default=None))


def hold_against(
    peak: Peak,
    macs: int,
    infer_ms: float,
    step_ms: float,
    precision: str,
    stages: tuple[Cost, ...] | None = None,
) -> Roofline:
    """Return what the student reaches of the machine's peaks.

    Args:
        peak: of the machine.
        macs: of one call of the student.
        infer_ms: of one call.
        step_ms: of one whole step.
        precision: the student's; ``int8`` is held against the peak of integers, ``fp16`` against
            that of float32, to which the engines of a CPU widen it.
        stages: what each part of the network reaches.
    """
    gmacs = peak.int8_gmacs if precision == "int8" and peak.int8_gmacs else peak.fp32_gmacs
    share = macs / 1e9 / gmacs
    infer_percent, step_percent = 1e5 * share / infer_ms, 1e5 * share / step_ms
    return Roofline(peak.fp32_gmacs, peak.int8_gmacs, macs, infer_percent, step_percent, stages)


def _gmacs(engine: Any, name: str, dtype: DTypeLike, threads: int | None, seconds: float) -> float:
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads or 0
    model = files(__package__).joinpath(name).read_bytes()
    session = engine.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"a": np.random.default_rng(0).integers(0, 100, (SIDE, SIDE)).astype(dtype)}
    session.run(None, feed)
    best_s, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until or best_s == float("inf"):
        start = time.perf_counter()
        session.run(None, feed)
        best_s = min(best_s, time.perf_counter() - start)
    return SIDE**3 / best_s / 1e9
