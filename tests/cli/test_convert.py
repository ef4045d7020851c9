"""``edge-vos convert`` from weights to bundles that the other commands take."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from edge_vos import engines
from edge_vos.cli import app, isolated, main
from edge_vos.converters import steps
from edge_vos.converters.lowering import Lowered, Placement, Request
from edge_vos.converters.recipe import choose
from edge_vos.errors import (
    CheckpointError,
    EdgeVosError,
    EngineError,
    GateError,
    MissingPackageError,
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


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def converted(weights: Path, folder: Path) -> Result:
    return _convert(
        *("--target", "cpu", "--target", "web", "--precision", "fp32"),
        *("--size", "64x96", "--weights", str(weights)),
        *("-o", str(folder), "--json"),
    )


def test_one_command_converts_for_several_and_the_others_take_it(
    converted: Result, folder: Path
) -> None:
    assert converted.exit_code == 0, converted.output
    documents = json.loads(converted.stdout)["bundles"]
    assert [document["target"] for document in documents] == ["cpu", "web"]
    for document in documents:
        assert set(document) >= KEYS
        assert document["path"] == str(folder / f"student-64x96-{document['target']}-fp32.bundle")
        assert document["passed"] is document["executed"] is True
        assert document["verdict"] == "passed"
        assert document["mask_iou"] >= 0.999
        assert document["max_abs_error"] <= 1e-4
        assert document["frames"] >= 100
        assert document["left_on_cpu"] == document["kept_float"] == document["failures"] == []
        assert document["host_latency_ms"] > 0
        assert document["size_bytes"] > document["model_bytes"] > 0
        assert f"{document['sampler']} sampler ({document['sampler_reason']})" in converted.stderr
    assert "cpu: onnx fp32 (as asked for) at 64x96" in converted.stderr
    assert converted.stderr.count("lowering") == 1
    assert "verifying over 100 frames" in converted.stderr

    runner = CliRunner()
    verified = runner.invoke(app, ["verify", documents[1]["path"], "--json"])
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.stdout)["passed"] is True
    inspected = runner.invoke(app, ["inspect", documents[1]["path"], "--json"])
    assert json.loads(inspected.stdout)["macs"] > 0


def test_a_bundle_that_exists_is_not_replaced(
    converted: Result, folder: Path, weights: Path
) -> None:
    again = _convert(
        *(
            "--target",
            "cpu",
            "--precision",
            "fp32",
            "--size",
            "64x96",
            "--weights",
            str(weights),
            "-o",
            str(folder),
        )
    )
    assert isinstance(again.exception, SinkError)
    assert "--overwrite" in str(again.exception)


class Fake:
    """Lower to a file that nothing here runs, or that differs."""

    def lower(self, request: Request) -> Lowered:
        placement = Placement("a GPU", 2, {"conv": 40}, {"topk": 1})
        return Lowered("model.bin", {"model.bin": b"model"}, placement)


def test_what_is_not_executed_is_never_said_to_have_passed(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "load_lower", lambda engine: Fake().lower)
    options = (
        *("--backend", "executorch-vulkan", "--size", "64x96", "--weights", str(weights)),
        *("-o", str(tmp_path)),
    )
    result = _convert(*options)
    assert result.exit_code == 0, result.output
    assert "NOT EXECUTED" in result.stdout
    assert "passed" not in result.stdout
    assert "off the accelerator: topk" in result.stdout
    assert "next on the device: edge-vos verify" in result.stdout
    path = tmp_path / "student-64x96-android-executorch-vulkan-fp32.bundle"

    runner = CliRunner()
    inspected = runner.invoke(app, ["inspect", str(path)], env={"COLUMNS": "200"})
    assert "NOT EXECUTED" in inspected.stdout
    assert "passed" not in inspected.stdout
    assert "40 operators in 2 partitions" in inspected.stdout
    assert "1 topk" in inspected.stdout
    verified = runner.invoke(app, ["verify", str(path), "--json"])
    assert verified.exit_code == 1
    document = json.loads(verified.stdout)
    assert document["passed"] is document["executed"] is False
    assert document["verdict"] == "NOT EXECUTED"
    assert document["mask_iou"] is None


BAD: list[tuple[tuple[str, ...], type[EdgeVosError], str]] = [
    ((), UsageError, "Nothing says what to convert for"),
    (("--target", "toaster"), UsageError, "one of android, ios, jetson, raspberrypi, cpu, web"),
    (("--target", "cpu", "--precision", "int4"), UsageError, "one of fp32, fp16, int8"),
    (("--target", "cpu", "--backend", "abacus"), UsageError, "one of onnx, litert"),
    (("--target", "cpu", "--sampler", "nearest"), UsageError, "one of native"),
    (("--target", "cpu", "--size", "big"), UsageError, "HEIGHTxWIDTH"),
    (("--target", "cpu", "--size", "250x432"), ShapeError, "multiples of 16"),
    (("--target", "cpu", "--weights", "none.safetensors"), CheckpointError, "do not exist"),
    (("--target", "cpu", "--target", "web", "-o", "a.bundle"), UsageError, "for 2 targets"),
    (("--target", "cpu", "--python", "python"), UsageError, "Add --isolated"),
    (
        ("--target", "cpu", "--prompt-head", "a.safetensors", "--without-prompt-head"),
        UsageError,
        "--prompt-head a.safetensors with --without-prompt-head",
    ),
    (("--device", "toaster"), UsageError, "raspberry-pi-5"),
    (("--device", "pixel-9", "--target", "cpu"), UsageError, "beside --target or --backend"),
    (("--device", "pixel-9", "--backend", "onnx"), UsageError, "beside --target or --backend"),
    (
        ("--device", "pixel-9", "--precision", "fp32", "--precision", "fp16"),
        UsageError,
        "--device pixel-9 with several precisions",
    ),
    (("--backend", "litert", "--sampler", "native"), EngineError, "issues/5197"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
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


def test_a_clip_that_is_not_there_is_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "load_lower", lambda engine: Fake().lower)
    result = _convert(
        *("--target", "cpu", "--precision", "fp32", "--size", "64x96", "--weights", str(weights)),
        *("--calibrate", "none.mp4", "-o", str(tmp_path / "out")),
    )
    assert isinstance(result.exception, SourceError)
    assert "none.mp4" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_unknown_target_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge-vos", "convert", "--target", "toaster"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "cpu, web" in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed_version", lambda name: None)
    result = _convert("--target", "cpu")
    assert isinstance(result.exception, EngineError)
    assert 'pip install "edge-vos[convert-onnx]"' in str(result.exception)


Run = Callable[..., Any]


def test_an_isolated_conversion_passes_paths_and_json(
    converted: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    document = json.loads(converted.stdout)["bundles"][0]
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> Any:
        commands.append(command)
        out = json.dumps({"bundles": [{**document, "path": command[-1]}]})
        return isolated.subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(isolated.subprocess, "run", run)
    result = _convert(
        *("--target", "cpu", "--precision", "fp32", "--size", "64x96"),
        *("--isolated", "--python", "/other/python"),
        *("--max-drop", "0.5", "-o", str(tmp_path), "--json"),
    )
    assert result.exit_code == 0, result.output
    ((python, _, _, *options),) = commands
    assert python == "/other/python"
    assert options[:9] == [
        *("convert", "--target", "cpu", "--backend", "onnx", "--precision", "fp32"),
        *("--sampler", "gather"),
    ]
    assert "--max-drop=0.5" in options
    (found,) = json.loads(result.stdout)["bundles"]
    assert found["path"] == str(tmp_path / "student-64x96-cpu-fp32.bundle")
    assert found["reason"] == "as asked for"


def test_without_a_prompt_head_beside_the_weights_it_says_who_reads_clicks(
    converted: Result, weights: Path
) -> None:
    assert f"No prompt head lies beside {weights}: boxes and clicks" in converted.stderr


def _refusal(kind: str) -> str:
    parts = {
        "what": "Nothing was written: key is off by 1",
        "expected": "",
        "next_step": "--sampler",
    }
    return json.dumps({"error": {"type": kind, **parts}})


@pytest.mark.parametrize(
    ("stdout", "error", "message"),
    [
        (_refusal("GateError"), GateError, r"process: Nothing was written: .*1\. --sampler\."),
        (_refusal("MissingPackageError"), MissingPackageError, "process: Nothing was written"),
        (_refusal("KeyError"), EngineError, "process: Nothing was written"),
        ("", EngineError, "process: Traceback Segmentation fault"),
    ],
)
def test_an_isolated_failure_is_the_error_that_it_was(
    stdout: str,
    error: type[EdgeVosError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stderr = "lowering\nTraceback\nSegmentation fault\n"
    monkeypatch.setattr(
        isolated.subprocess,
        "run",
        lambda command, **_: isolated.subprocess.CompletedProcess(command, 1, stdout, stderr),
    )
    recipe = replace(choose("cpu", precision="fp32"), size=(64, 96))
    with pytest.raises(error, match="onnx fp32 in its own process: ") as caught:
        isolated.convert_isolated(recipe, tmp_path / "a.bundle", [])
    assert type(caught.value) is error
    assert re.search(message, str(caught.value))


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-python cannot be run"):
        isolated.convert_isolated(choose("cpu"), tmp_path / "a.bundle", [], tmp_path / "no-python")
    # A real process, which says what is wrong.
    with pytest.raises(CheckpointError, match=r"own process: weights .* do not exist"):
        isolated.convert_isolated(
            choose("cpu"), tmp_path / "a.bundle", ["--weights", str(tmp_path / "none")]
        )
