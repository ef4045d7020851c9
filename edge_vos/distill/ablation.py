"""An ablation: one config file a row, equal budgets, several seeds, one table.

Every run is an ordinary run folder with its scores beside its log, so a stopped ablation goes on
where it was.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import tomli

from edge_vos.distill.config import TrainConfig, merged
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.eager import eager_model
from edge_vos.distill.run_folder import CHECKPOINT, WEIGHTS, write_text
from edge_vos.distill.train import load_state, new_state, train
from edge_vos.errors import UsageError
from edge_vos.evaluate.run import evaluate_dataset
from edge_vos.evaluate.sequences import Dataset
from edge_vos.evaluate.windows import window_dataset
from edge_vos.model.checkpoint import load_student
from edge_vos.model.student import Student

SCORE = "score.json"
WINDOWS_SCORE = "windows.json"
WINDOW = 10
"""Frames after which the mask is given anew, for the steadier of the two scores."""

ROWS = Path(__file__).parent / "ablation_rows"


@dataclass(frozen=True)
class Row:
    """Describe one line of the table.

    Args:
        name: of its file.
        question: what it answers, as the file's ``question`` says.
        seeds: how many of the seeds it is run with.
        config: of its runs, but for the seed.
    """

    name: str
    question: str
    seeds: int
    config: TrainConfig


@dataclass(frozen=True)
class Outcome:
    """Hold the J and F of one row, in percent, one figure a seed.

    Args:
        row: that was run.
        j: of whole sequences.
        f: of whole sequences.
        windows_jf: J&F with the mask given anew every ``WINDOW`` frames.
    """

    row: Row
    j: tuple[float, ...]
    f: tuple[float, ...]
    windows_jf: tuple[float, ...]

    @property
    def jf(self) -> tuple[float, ...]:
        """Return J&F by seed."""
        return tuple((j + f) / 2 for j, f in zip(self.j, self.f, strict=True))


def shortened(config: TrainConfig, steps: int) -> TrainConfig:
    """Return the config with smaller clips and fewer steps: what a row costs."""
    clips = dataclasses.replace(config.clips, size=(160, 240))
    return dataclasses.replace(config, clips=clips, steps=steps, warmup=min(50, steps))


def read_rows(folder: Path, common: TrainConfig) -> list[Row]:
    """Read the rows ``NN-name.toml`` of a folder in order; each says how it differs from common.

    Raises:
        UsageError: if there are none, or a file is wrong.
    """
    rows = []
    for path in sorted(folder.glob("*.toml")):
        try:
            given = tomli.loads(path.read_text(encoding="utf-8"))
            question, seeds = str(given.pop("question")), int(given.pop("seeds", 1))
            labels_only = bool(given.pop("labels_only", False))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"row {path} cannot be read: {error}", "a TOML file with a question")\
                from error  # fmt: skip
        base = dataclasses.replace(common, distill=None) if labels_only else common
        rows.append(Row(path.stem, question, seeds, merged(base, given)))
    if not rows:
        raise UsageError(f"{folder} holds no rows", "files NN-name.toml")
    return rows


def run_row(
    row: Row,
    seeds: Sequence[int],
    folder: Path,
    labelled: Footage,
    taught: Footage,
    teacher: Student,
    dataset: Dataset,
    progress: Callable[[str], None],
) -> Outcome:
    """Train and score a row with each of its seeds; what was done before is not done again.

    Args:
        row: to run.
        seeds: at least as many as the row wants.
        folder: for the runs.
        labelled: for rows that learn from labels.
        taught: the same footage as the teacher labelled it, for rows that distil.
        teacher: to learn from.
        dataset: to score on.
        progress: told what is going on.
    """
    cut = window_dataset(dataset, WINDOW)
    scores: list[tuple[float, float, float]] = []
    for seed in seeds[: row.seeds]:
        run = folder / f"{row.name}-{seed}"
        if not (run / SCORE).is_file():
            distils = row.config.distill is not None
            config = dataclasses.replace(row.config, seed=seed)
            state = load_state(run)[0] if (run / CHECKPOINT).is_file() else new_state(config)
            progress(f"{run.name}: training from step {state.step} to {config.steps}")
            footage = taught if distils else labelled
            train(footage, state, config, run, teacher=teacher if distils else None)
        progress(f"{run.name}: scoring")
        whole = _score(run, SCORE, dataset)
        windows = _score(run, WINDOWS_SCORE, cut)
        scores.append((whole["j_mean"], whole["f_mean"], windows["jf_mean"]))
    return Outcome(row, *zip(*scores, strict=True))


def _score(run: Path, name: str, dataset: Dataset) -> dict[str, Any]:
    """Score a run's weights, unless it was done before; return what its file holds."""
    path = run / name
    if not path.is_file():
        report = evaluate_dataset(dataset, eager_model(load_student(run / WEIGHTS)))
        write_text(path, json.dumps(report.as_dict(), indent=2) + "\n")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table: mean, and the spread over seeds."""
    heading = f"| row | what it answers | J | F | J&F | J&F, mask every {WINDOW} frames | seeds |"
    lines = [heading, "|---|---|---|---|---|---|---|"]
    for outcome in outcomes:
        columns = (outcome.j, outcome.f, outcome.jf, outcome.windows_jf)
        figures = " | ".join(map(_spread, columns))
        row = outcome.row
        lines.append(f"| `{row.name}` | {row.question} | {figures} | {len(outcome.j)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    text = f"{mean(values):.1f}"
    return f"{text} ± {pstdev(values):.1f}" if len(values) > 1 else text
