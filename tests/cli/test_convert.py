"""``edge-vos convert`` from weights to a bundle that the other commands take."""

import json
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from edge_vos.cli import app, main
from edge_vos.converters import targets
from edge_vos.errors import (
    CheckpointError,
    EngineError,
    ShapeError,
    SinkError,
    SourceError,
    UsageError,
)
from edge_vos.model.checkpoint import save_student
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student

KEYS = {
    "path",
    "target",
    "backend",
    "precision",
    "sampler",
    "size_bytes",
    "executed",
    "passed",
    "mask_iou",
    "max_abs_error",
    "jf_drop",
    "left_on_cpu",
}


def _convert(*options: str) -> Result:
    return CliRunner().invoke(app, ["convert", *options], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = Student(PRESETS["nano"]).eval()
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_student(student, path)
    return path


def test_one_command_converts_and_the_others_take_it(weights: Path, tmp_path: Path) -> None:
    options = ("--target", "cpu", "--weights", str(weights), "--size", "64x96")
    result = _convert(*options, "-o", str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    (document,) = json.loads(result.stdout)["bundles"]
    assert set(document) >= KEYS
    assert document["path"] == str(tmp_path / "student-64x96-cpu-fp32.bundle")
    assert document["passed"] is document["executed"] is True
    assert document["mask_iou"] >= 0.999
    assert document["max_abs_error"] <= 1e-4
    assert document["frames"] >= 60
    assert document["left_on_cpu"] == []
    assert "verifying over 60 frames" in result.stderr
    assert f"{document['sampler']} sampler ({document['sampler_reason']})" in result.stderr

    runner = CliRunner()
    verified = runner.invoke(app, ["verify", document["path"], "--json"])
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.stdout)["passed"] is True
    inspected = runner.invoke(app, ["inspect", document["path"], "--json"])
    assert json.loads(inspected.stdout)["macs"] > 0

    again = _convert(*options, "-o", str(tmp_path))
    assert isinstance(again.exception, SinkError)
    assert "--overwrite" in str(again.exception)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--target", "ios"), UsageError, "one of cpu, raspberrypi, web"),
        (("--target", "cpu", "--precision", "int8"), UsageError, "one of fp32"),
        (("--target", "cpu", "--backend", "litert"), UsageError, "one of onnx"),
        (("--target", "cpu", "--sampler", "nearest"), UsageError, "one of native"),
        (("--target", "cpu", "--size", "big"), UsageError, "HEIGHTxWIDTH"),
        (("--target", "cpu", "--size", "250x432"), ShapeError, "multiples of 16"),
        (("--target", "cpu", "--weights", "none.safetensors"), CheckpointError, "do not exist"),
        (("--target", "cpu", "--calibrate", "none.mp4"), SourceError, "none.mp4"),
        (
            ("--target", "cpu", "--target", "web", "-o", "a.bundle"),
            UsageError,
            "one bundle for 2 targets",
        ),
    ],
)
def test_bad_input_is_a_named_error_and_writes_nothing(
    options: tuple[str, ...],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _convert(*options)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge-vos", "convert", "--target", "toaster"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "cpu, raspberrypi, web" in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
    result = _convert("--target", "cpu")
    assert isinstance(result.exception, EngineError)
    assert 'pip install "edge-vos[convert]"' in str(result.exception)
