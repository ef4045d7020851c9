"""Compare two series of paired measurements by their ratio, and say how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """Hold a ratio and its 95 % interval."""

    ratio: float
    low: float
    high: float


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int) -> Ratio:
    """Return the geometric mean of the pairs' ratios, with a bootstrap interval over the pairs.

    Each pair is measured within the same moments, so that what slows the whole machine slows both
    and cancels out.

    Args:
        numerators: positive, in any unit.
        denominators: as many, in the same unit.
        seed: of the resampling.

    Raises:
        ValueError: if there are no pairs, an odd one is left over, or a value is not positive.
    """
    pairs = np.array([numerators, denominators], dtype=np.float64)
    if pairs.size == 0 or not (pairs > 0).all():
        raise ValueError("a ratio wants pairs of positive values")
    logs = np.log(pairs[0]) - np.log(pairs[1])
    drawn = np.random.default_rng(seed).choice(logs, size=(RESAMPLES, logs.size))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(drawn.mean(axis=1), (tail, 1 - tail)))
    return Ratio(float(np.exp(logs.mean())), float(low), float(high))
