"""Score a run on its development split while it trains: how often, at which size, on how much."""

from dataclasses import dataclass, replace
from itertools import groupby

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.eager import eager_model
from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.run import evaluate_dataset
from edge_vos.evaluate.sequences import Dataset
from edge_vos.evaluate.windows import window_dataset
from edge_vos.model.student import Student

WINDOWS = 3
"""Windows that are scored of each sequence: at its start, in its middle, at its end."""


@dataclass(frozen=True)
class Scoring:
    """Say what is scored and when; nothing of it changes what is trained.

    Args:
        dataset: the development split.
        every: steps between two scores; 0 is at every checkpoint from where the rate falls.
        size: (height, width) in pixels at which the student runs, multiples of 16.
        window: frames of a window, of which the three of each sequence that are farthest apart are
            scored, each with its own first mask; 0 is whole sequences.

    Raises:
        UsageError: if a window is too short, or the size cannot be.
    """

    dataset: Dataset
    every: int = 0
    size: tuple[int, int] = (240, 432)
    window: int = 0

    def __post_init__(self) -> None:
        if min(self.size) < 16 or any(side % 16 for side in self.size):
            height, width = self.size
            raise UsageError(f"--score-size {height}x{width}", "multiples of 16, such as 352x640")
        if self.window:
            self.scored()

    def due(self, step: int, config: TrainConfig) -> bool:
        """Tell whether the weights after so many steps are to be scored."""
        if self.every:
            return step % self.every == 0 or step == config.steps
        falls = step >= config.steps * (1 - config.cooldown)
        return falls and (step % config.checkpoint_every == 0 or step == config.steps)

    def scored(self) -> Dataset:
        """Return the sequences or windows that are scored."""
        if not self.window:
            return self.dataset
        cut = window_dataset(self.dataset, self.window)
        chosen = []
        for _, group in groupby(cut.sequences, lambda one: one.name.rpartition("@")[0]):
            windows = list(group)
            places = {round(i * (len(windows) - 1) / (WINDOWS - 1)) for i in range(WINDOWS)}
            chosen += [windows[place] for place in sorted(places)]
        return replace(cut, sequences=tuple(chosen))

    def score(self, student: Student) -> float:
        """Return the J&F of a student in evaluation mode, in percent.

        Raises:
            DatasetError: if the split has no masks to score by.
        """
        report = evaluate_dataset(self.scored(), eager_model(student, self.size))
        if report.jf_mean is None:
            raise DatasetError(f"{self.dataset.root} cannot be scored: {report.note}", "all masks")
        return float(report.jf_mean)
