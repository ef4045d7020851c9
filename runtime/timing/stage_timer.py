"""Times of one frame by stage, and their percentiles."""

import time
from collections.abc import Sequence

import numpy as np


class StageTimer:
    """Split the time since its creation into named stages.

    Attributes:
        ms: milliseconds by stage, in the order in which the stages ended.
    """

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last_ns = time.perf_counter_ns()

    def end(self, stage: str) -> None:
        """End a stage; the time since the last stage is added to it."""
        now_ns = time.perf_counter_ns()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Summarise latencies.

    Args:
        samples_ms: at least one latency in milliseconds, in any order.

    Returns:
        ``p50``, ``p90``, ``p99`` (linear between samples) and ``max``, in milliseconds.

    Raises:
        ValueError: if there are no samples.
    """
    if len(samples_ms) == 0:
        raise ValueError("percentiles of no samples")
    p50, p90, p99 = np.percentile(np.asarray(samples_ms, dtype=np.float64), (50, 90, 99))
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": max(samples_ms)}
