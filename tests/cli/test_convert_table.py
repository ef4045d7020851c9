"""What `edge-vos convert` prints of what a process of its own made, and what it asks that for."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge_vos.cli import app, isolated
from edge_vos.devices.profiles.profile import load_profile

pytest.importorskip("torch")

HEAD = {
    "size": [64, 96],
    "model_bytes": 2_500_000,
    "verdict": "passed",
    "mask_iou": 0.99912,
    "max_abs_error": 0.01,
    "left_on_cpu": [],
    "kept_float": ["encoder"],
    "host_latency_ms": 12.34,
}
MADE: dict[str, Any] = {
    **{"target": "cpu", "backend": "onnx", "precision": "int8", "reason": "", "sampler": "gather"},
    **{"sampler_reason": "", "size": [64, 96], "size_bytes": 9, "model_bytes": 7_650_000},
    **{"executed": True, "evaluated_by": "", "passed": True, "verdict": "passed", "failures": []},
    **{"mask_iou": 0.98765, "max_abs_error": 0.25, "jf": 80.0, "jf_drop": 0.42, "frames": 100},
    **{"left_on_cpu": [], "left_float": ["memory"], "kept_float": ["decoder"]},
    **{"host_latency_ms": 98.76, "prompt_head": HEAD},
}


def _isolated(
    monkeypatch: pytest.MonkeyPatch, *options: str, **changes: object
) -> tuple[Result, list[str]]:
    """Convert with a stand-in for the conversion's process; return what that was asked, too."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> Any:
        commands.append(command)
        out = json.dumps({"bundles": [{**MADE, "path": command[-1], **changes}]})
        return isolated.subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(isolated.subprocess, "run", run)
    result = CliRunner().invoke(app, ["convert", *options, "--isolated"])
    assert result.exit_code == 0, result.output
    (command,) = commands
    return result, command[4:]


def test_the_table_says_what_stays_in_float_and_what_the_prompt_head_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "one.bundle"
    result, options = _isolated(
        monkeypatch, "--target", "cpu", "--precision", "int8", "--size", "64x96", "-o", str(path)
    )
    assert options[-1] == str(path)
    (row,) = [line.split() for line in result.stdout.splitlines() if "onnx" in line]
    assert row == [
        *("cpu", "onnx", "int8", "7.65", "2.5e-01", "0.98765", "0.42", "0", "98.8", "passed")
    ]
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[lines.index(str(path)) + 1 :] == [
        "in float in this engine's int8: memory",
        "kept in float to pass: decoder",
        "prompt head: 2.50 MB, 64x96, mask IoU 0.99912, 12.3 ms, kept in float to pass: encoder, "
        "passed",
        f"next: edge-vos bench {path}",
    ]


def test_a_failed_bundle_that_was_asked_for_is_named_as_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was not run here, so there are no figures either."""
    unknown = dict.fromkeys(("mask_iou", "max_abs_error", "jf", "jf_drop", "host_latency_ms"))
    head = {**HEAD, "mask_iou": None, "host_latency_ms": None, "kept_float": []}
    path = tmp_path / "one.zip"
    result, options = _isolated(
        monkeypatch,
        *("--target", "cpu", "--precision", "int8", "-o", str(path), "--allow-failed-gate"),
        *("--overwrite", "--without-prompt-head", "--weights", "mine.safetensors"),
        **{**unknown, "verdict": "FAILED", "passed": False, "prompt_head": head},
    )
    assert {"--allow-failed-gate", "--overwrite", "--without-prompt-head"} < set(options)
    assert "--weights=mine.safetensors" in options
    assert f"{path} FAILED its verification and is marked so" in result.stderr
    (row,) = [line.split() for line in result.stdout.splitlines() if "onnx" in line]
    assert row == ["cpu", "onnx", "int8", "7.65", "0", "FAILED"]
    assert "prompt head: 2.50 MB, 64x96, passed" in result.stdout


@pytest.mark.parametrize("precision", [None, "int8"])
def test_a_device_says_what_suits_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str | None
) -> None:
    choice = load_profile("raspberry-pi-5").choice
    asked = ("--precision", precision) if precision else ()
    result, options = _isolated(
        monkeypatch, "--device", "raspberry-pi-5", *asked, "-o", str(tmp_path)
    )
    height, width = choice.size
    wanted = {
        "--target": choice.target,
        "--backend": choice.backend,
        "--precision": precision or choice.precision,
        "--size": f"{height}x{width}",
    }
    assert dict(pairwise(options)).items() >= wanted.items()
    assert ("Raspberry Pi 5: " in result.stderr) is (precision is None)
    assert ("(as asked for)" in result.stderr) is (precision is not None)
