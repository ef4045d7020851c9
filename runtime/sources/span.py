"""The part of a file that is wanted: from a start to an end, in seconds."""

import math
from dataclasses import dataclass

from edge_vos.errors import SourceError

TOLERANCE_S = 1e-3
"""A frame that is this much early still counts: files round their times to a millisecond."""


@dataclass(frozen=True)
class Span:
    """Hold which part of a file is wanted.

    Args:
        start_s: the first frame is the first one at or after this time of the file.
        end_s: the last frame is the last one before this time; ``None`` is to the end.

    Raises:
        SourceError: if it holds no time.
    """

    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        end_s = math.inf if self.end_s is None else self.end_s
        if not (0 <= self.start_s < end_s and math.isfinite(self.start_s)):  # nor is nan
            raise SourceError(
                f"There is nothing from {self.start_s:g} s to {end_s:g} s",
                "a start of 0 or more seconds, and an end after it",
                "Give --start 5 --end 12.5",
            )

    @property
    def is_whole(self) -> bool:
        """Return whether all of the file is wanted."""
        return self.start_s == 0 and self.end_s is None

    def begins_after(self, time_s: float) -> bool:
        """Return whether a frame of this time comes before what is wanted."""
        return time_s < self.start_s - TOLERANCE_S

    def ends_before(self, time_s: float) -> bool:
        """Return whether a frame of this time comes after what is wanted."""
        return self.end_s is not None and time_s >= self.end_s - TOLERANCE_S


WHOLE = Span()
