"""Latencies by stage over a run of any length, in constant memory, and those of just now."""

import random
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_vos.runtime.timing.stage_timer import percentiles

CAPACITY = 4096
_RECENT = 60  # frames over which their rate is taken
_SMOOTHING = 0.1  # how much of each new value


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


@dataclass(frozen=True)
class LiveStats:
    """Say how a run is doing just now.

    Args:
        fps: frames a second that came out, over the last two seconds or so.
        stages_ms: milliseconds by stage, smoothed.
        latency_ms: from capture to display or, without one, to the last output; smoothed.
        frames: that came out since the start.
        dropped: that were left out since the start, because newer ones came.
    """

    fps: float = 0.0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    latency_ms: float = 0.0
    frames: int = 0
    dropped: int = 0


class LiveStatsTracker:
    """Follow the last frames of a run, for those who watch it."""

    def __init__(self) -> None:
        self._moments_s: deque[float] = deque(maxlen=_RECENT)
        self._stages_ms: dict[str, float] = {}

    def add(self, now_s: float, timings_ms: Mapping[str, float]) -> None:
        """Take one frame's milliseconds by stage.

        Args:
            now_s: when it came out, on the clock of ``time.perf_counter``.
            timings_ms: as for :class:`StageTimes`.
        """
        self._moments_s.append(now_s)
        for stage, value_ms in timings_ms.items():
            before_ms = self._stages_ms.get(stage, value_ms)
            self._stages_ms[stage] = before_ms + _SMOOTHING * (value_ms - before_ms)

    def stats(self, frames: int, dropped: int) -> LiveStats:
        """Return how the run is doing."""
        span_s = self._moments_s[-1] - self._moments_s[0] if self._moments_s else 0.0
        stages_ms = dict(self._stages_ms)
        end_to_end_ms = stages_ms.pop("end_to_end", 0.0)
        if "draw" in stages_ms:  # the last one, though frames without objects know no other
            stages_ms["draw"] = stages_ms.pop("draw")
        return LiveStats(
            fps=(len(self._moments_s) - 1) / span_s if span_s > 0 else 0.0,
            stages_ms=stages_ms,
            latency_ms=stages_ms.pop("display", end_to_end_ms),
            frames=frames,
            dropped=dropped,
        )
