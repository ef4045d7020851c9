"""Latencies by stage over a run of any length, in constant memory."""

import random
from array import array
from collections.abc import Mapping

from edge_vos.runtime.timing import percentiles

CAPACITY = 4096


class StageTimes:
    """Keep a fair sample of each stage's latencies, and its true maximum.

    Up to ``CAPACITY`` values a stage are all kept; after that each value that ever came has the
    same chance to be among those kept (reservoir sampling, Vitter's algorithm R).
    """

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._kept: dict[str, array[float]] = {}
        self._count: dict[str, int] = {}
        self._max: dict[str, float] = {}

    def add(self, timings_ms: Mapping[str, float]) -> None:
        """Add one frame's milliseconds by stage."""
        for stage, value_ms in timings_ms.items():
            kept = self._kept.setdefault(stage, array("d"))
            count = self._count.get(stage, 0)
            if count < CAPACITY:
                kept.append(value_ms)
            elif (place := self._random.randrange(count + 1)) < CAPACITY:
                kept[place] = value_ms
            self._count[stage] = count + 1
            self._max[stage] = max(value_ms, self._max.get(stage, value_ms))

    def summary(self) -> dict[str, dict[str, float]]:
        """Return p50, p90, p99 and max in milliseconds, by stage, in the order of their coming."""
        return {
            stage: percentiles(kept) | {"max": self._max[stage]}
            for stage, kept in self._kept.items()
        }
