"""``edge-vos eval``: its figures, its JSON, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.errors import (
    BundleError,
    CheckpointError,
    DatasetError,
    EdgeVosError,
    ShapeError,
    SinkError,
    UsageError,
)

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
PROMISED = {
    "protocol", "j_mean", "j_recall", "j_decay", "f_mean", "jf_mean", "sequences", "fps",
}  # fmt: skip


@pytest.fixture
def davis(tmp_path: Path, scene: Scene) -> Path:
    """Two sequences of four frames, one moving square each."""
    for name, step_px in (("bus", 4), ("swing", 8)):
        for index in range(4):
            frame, mask = scene((8 + index * step_px, 32))
            for kind, suffix, picture in (
                ("JPEGImages", "jpg", frame),
                ("Annotations", "png", mask * 255),
            ):
                folder = tmp_path / "DAVIS" / kind / "480p" / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{index:05d}.{suffix}"), picture)
    return tmp_path / "DAVIS"


def _eval(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], env={"COLUMNS": "120"})


def test_json_is_one_document_with_the_promised_keys(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= PROMISED
    assert document["sequences"].keys() == {"bus", "swing"}
    assert document["sequences"]["bus"].keys() >= {"j", "f"}
    assert 50 < document["j_mean"] <= 100
    assert (document["protocol"], document["objects"], document["frames"]) == ("davis2016", 2, 8)
    assert document["engine"] == "onnx"


def test_the_table_and_the_pictures(davis: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    masks, sheet = tmp_path / "masks", tmp_path / "sheet.png"
    result = _eval(
        davis, "--model", tiny_bundle.path, "--sequences", "bus", "-o", masks, "--sheet", sheet
    )
    assert result.exit_code == 0, result.output
    assert "bus" in result.stdout
    assert "swing" not in result.stdout
    assert "J&F" in result.stdout
    assert len(list((masks / "bus").iterdir())) == 4
    assert cv2.imread(str(sheet)) is not None


def test_weights_run_in_pytorch_as_the_same_student(davis: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edge_vos.model.checkpoint import save_student
    from edge_vos.model.config import PRESETS
    from edge_vos.model.student import Student

    torch.manual_seed(0)
    weights = tmp_path / "student.safetensors"
    save_student(Student(PRESETS["nano"]), weights)
    result = _eval(davis, "--weights", weights, "--size", "64x96", "--sequences", "bus", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["engine"], document["size"]) == ("eager", [64, 96])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--protocol", "davis2018"], UsageError, "davis2016, davis2017"),
        (["--sequences", ","], UsageError, "names of sequences"),
        (["--sequences", "buss"], DatasetError, "one of bus"),
        (["--model", "missing.bundle"], BundleError, "missing.bundle"),
        (["--weights", "missing.safetensors"], CheckpointError, "do not exist"),
        (["--weights", "w", "--model", "m"], UsageError, "--model together"),
        (["--weights", "w", "--engine", "onnx"], UsageError, "--engine together"),
        (["--size", "big"], UsageError, "HEIGHTxWIDTH"),
    ],
)
def test_mistakes_are_named(
    davis: Path, arguments: list[str], error: type[EdgeVosError], message: str
) -> None:
    result = _eval(davis, *arguments)
    assert isinstance(result.exception, error), result.output
    assert message in str(result.exception)


def test_a_bundle_of_another_size_is_refused(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--size", "240x432")
    assert isinstance(result.exception, ShapeError)
    assert "64x96" in str(result.exception)


@pytest.mark.parametrize("option", ["-o", "--sheet"])
def test_an_existing_output_is_refused_before_anything_runs(
    davis: Path, tmp_path: Path, option: str
) -> None:
    taken = tmp_path / "taken.png"
    taken.write_text("mine")
    result = _eval(davis, "--model", "missing.bundle", option, taken)
    assert isinstance(result.exception, SinkError)
    assert taken.read_text() == "mine"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    result = _eval(tmp_path / "nowhere")
    assert isinstance(result.exception, DatasetError)
    assert "is not a folder" in str(result.exception)
