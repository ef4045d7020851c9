"""An ablation: one config file a row, equal budgets, several seeds, one table.

Every run is an ordinary run folder with a ``score.json`` beside its log, so a stopped ablation goes
on where it was.
"""

import dataclasses
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data import Footage
from edge_vos.distill.eager import eager_model
from edge_vos.distill.evaluate import evaluate_dataset
from edge_vos.distill.run_folder import CHECKPOINT, WEIGHTS, write_text
from edge_vos.distill.sequences import Dataset
from edge_vos.distill.train import load_state, new_state, train
from edge_vos.errors import UsageError
from edge_vos.model.checkpoint import load_student
from edge_vos.model.student import Student

SCORE = "score.json"
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
    """Hold the J and F of one row, in percent, one figure a seed."""

    row: Row
    j: tuple[float, ...]
    f: tuple[float, ...]

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
            given = tomllib.loads(path.read_text(encoding="utf-8"))
            question, seeds = str(given.pop("question")), int(given.pop("seeds", 1))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"row {path} cannot be read: {error}", "a TOML file with a question")\
                from error  # fmt: skip
        rows.append(Row(path.stem, question, seeds, TrainConfig.from_dict(_merge(common, given))))
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
    j, f = [], []
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
            report = evaluate_dataset(dataset, eager_model(load_student(run / WEIGHTS)))
            write_text(run / SCORE, json.dumps(report.as_dict(), indent=2) + "\n")
        score = json.loads((run / SCORE).read_text(encoding="utf-8"))
        j.append(float(score["j_mean"]))
        f.append(float(score["f_mean"]))
    return Outcome(row, tuple(j), tuple(f))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table: mean, and the spread over seeds."""
    lines = ["| row | what it answers | J | F | J&F | seeds |", "|---|---|---|---|---|---|"]
    for outcome in outcomes:
        figures = " | ".join(_spread(values) for values in (outcome.j, outcome.f, outcome.jf))
        row = outcome.row
        lines.append(f"| `{row.name}` | {row.question} | {figures} | {len(outcome.j)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    text = f"{mean(values):.1f}"
    return f"{text} ± {pstdev(values):.1f}" if len(values) > 1 else text


def _merge(common: TrainConfig, given: dict[str, Any]) -> dict[str, Any]:
    values = common.to_dict()
    if given.pop("labels_only", False):
        values["distill"] = None
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **value} if both else value
    return values
