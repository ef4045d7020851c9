"""Compare two series of measurements, paired or not, by a ratio, and say how sure it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
SERIES_RESAMPLES = 1_000  # of long series, whose statistics cost more
VALUES_AT_ONCE = 1_000_000

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes (R, n) series to (R,) figures."""


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


def series_spread(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    statistic: Statistic,
    seed: int,
) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of two series' figures, as parts of that ratio.

    The series are those of two separate runs. Neighbouring steps are alike (a machine's clock
    drifts, memory is written every few frames), so whole blocks of them are drawn, as in the
    circular block bootstrap of Politis and Romano (1992); steps drawn one by one would make the
    interval too narrow.

    Args:
        numerators: (n,) positive, in the order of their coming.
        denominators: (m,), the same.
        statistic: the figure of a series.
        seed: of the resampling.

    Returns:
        (low, high), about (1, 1); both exactly 1 when neither series varies.

    Raises:
        ValueError: if a series is empty, or a value is not positive and finite.
    """
    rng = np.random.default_rng(seed)
    figures = []
    for values in (numerators, denominators):
        if values.size == 0 or not (values > 0).all() or not np.isfinite(values).all():
            raise ValueError("an interval wants series of positive values")
        figures.append(_resampled(values, statistic, rng) / statistic(values[np.newaxis]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(figures[0] / figures[1], (tail, 1 - tail))
    return float(low), float(high)


def _resampled(
    values: NDArray[np.float64], statistic: Statistic, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (SERIES_RESAMPLES,) figures of series drawn from one, in blocks."""
    block = max(1, round(values.size**0.5))
    blocks, steps = -(-values.size // block), np.arange(block)
    at_once = max(1, VALUES_AT_ONCE // (blocks * block))
    figures = []
    for start in range(0, SERIES_RESAMPLES, at_once):
        rows = min(at_once, SERIES_RESAMPLES - start)
        starts = rng.integers(values.size, size=(rows, blocks, 1))
        figures.append(statistic(values[(starts + steps) % values.size].reshape(rows, -1)))
    return np.concatenate(figures)
