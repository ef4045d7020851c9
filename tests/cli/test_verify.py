"""``edge-vos verify`` repeats a bundle's golden; it fails on an engine or a gate that failed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_vos.bundle import GOLDEN_FILE, PROMPT_GOLDEN_FILE, Bundle, Manifest, write_bundle
from edge_vos.cli import app
from edge_vos.converters.verify.golden import run_script
from edge_vos.errors import BundleError
from edge_vos.runtime.golden import Script
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.prompts.prompt_golden import PromptGolden

TOLERANCE = {"max_abs_error": 1e-4, "mask_iou": 0.999}


def _bundle(
    path: Path,
    model: LoadedModel,
    onnx: bytes,
    *,
    executed: bool = True,
    passed: bool = True,
    wrong: bool = False,
) -> Bundle:
    """Write the tiny student with a golden of two frames."""
    manifest, rng = model.manifest, np.random.default_rng(0)
    prompt = np.zeros((2, *manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 2:8, 2:10] = 1.0
    prompt[0, 0] = 1.0 - prompt[0, 1]
    flags = np.zeros((2, manifest.channels), np.float32)
    flags[:, :2] = 1.0
    prompted = flags * np.array([[1], [0]], np.float32)
    writes = np.zeros((2, manifest.slots), np.bool_)
    writes[0, :2] = True
    image = rng.integers(0, 256, (2, 3, *manifest.size), np.uint8)
    script = Script(image, prompt, prompted, flags, writes)
    golden = run_script(model.runner, manifest.graph, script)
    if wrong:
        golden = replace(golden, probability=golden.probability[:, ::-1].copy())
    report = {"executed": executed, "passed": executed and passed, "tolerance": TOLERANCE}
    files = {"model.onnx": onnx, GOLDEN_FILE: golden.to_bytes()}
    return write_bundle(path, replace(manifest, report=report), files)


def _verify(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["verify", str(path), "--threads", "1", *options])


@pytest.mark.parametrize("name", ["a.bundle", "a.zip"])
def test_a_good_bundle_passes(
    tmp_path: Path, tiny_model: LoadedModel, tiny_onnx: bytes, name: str
) -> None:
    bundle = _bundle(tmp_path / name, tiny_model, tiny_onnx)
    result = _verify(bundle.path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["passed"] is document["executed"] is True
    assert document["mask_iou"] >= 0.999
    assert document["max_abs_error"] <= 1e-4
    assert _verify(bundle.path).stdout.startswith("passed: ")


def test_an_engine_that_differs_fails(
    tmp_path: Path, tiny_model: LoadedModel, tiny_onnx: bytes
) -> None:
    bundle = _bundle(tmp_path / "a.bundle", tiny_model, tiny_onnx, wrong=True)
    document = json.loads(_verify(bundle.path, "--json").stdout)
    assert document["passed"] is False
    assert _verify(bundle.path).exit_code == 1
    assert document["executed"] is document["passed_when_made"] is True


def test_a_bundle_that_failed_when_made_says_so(
    tmp_path: Path, tiny_model: LoadedModel, tiny_onnx: bytes
) -> None:
    bundle = _bundle(tmp_path / "a.bundle", tiny_model, tiny_onnx, passed=False)
    result = _verify(bundle.path, "--json")
    assert result.exit_code == 1
    assert "failed its verification when it was made" in result.stderr
    assert json.loads(result.stdout)["passed"] is False


@pytest.mark.parametrize("wrong", [False, True])
def test_a_stand_in_is_named_and_nothing_has_passed(
    tmp_path: Path, load_tiny: Callable[..., LoadedModel], tiny_onnx: bytes, wrong: bool
) -> None:
    model = load_tiny(backend="tensorrt")
    bundle = _bundle(tmp_path / "a.bundle", model, tiny_onnx, executed=False, wrong=wrong)
    result = _verify(bundle.path, "--json")
    assert result.exit_code == int(wrong)
    document = json.loads(result.stdout)
    assert document["passed"] is document["executed"] is document["passed_when_made"] is False
    assert document["evaluated_by"] == "ONNX Runtime"
    assert document["verdict"] == ("FAILED" if wrong else "NOT EXECUTED")
    assert document["frames"] == 2
    text = _verify(bundle.path).stdout
    assert text.startswith("FAILED: " if wrong else "NOT EXECUTED, agrees by ONNX Runtime: ")
    assert "passed" not in text


def test_a_bundle_without_a_golden_is_a_named_error(tiny_bundle: Bundle) -> None:
    result = _verify(tiny_bundle.path)
    assert isinstance(result.exception, BundleError)
    assert "holds no golden.npz" in str(result.exception)


def _prompted(
    path: Path, model: LoadedModel, files: dict[str, bytes], manifest: Manifest, *, wrong: bool
) -> Bundle:
    """Write the tiny student and its prompt head, each with a golden."""
    whole = _bundle(path.with_name("step.bundle"), model, files["model.onnx"])
    prompt = np.zeros((2, 4, 16, 24), np.float16)
    prompt[:, 2, 4:12, 6:18] = 1
    found = prompt[:, 2:3] if not wrong else np.zeros_like(prompt[:, :1])
    golden = PromptGolden(np.zeros((2, 3, 32, 48), np.uint8), prompt, found.copy())
    return write_bundle(
        path,
        replace(manifest, report=whole.manifest.report),
        {**files, GOLDEN_FILE: whole.file(GOLDEN_FILE), PROMPT_GOLDEN_FILE: golden.to_bytes()},
    )


@pytest.mark.parametrize("wrong", [False, True])
def test_the_prompt_head_is_checked_too(
    tmp_path: Path,
    tiny_model: LoadedModel,
    prompted_manifest: Manifest,
    tiny_onnx: bytes,
    tiny_prompt_onnx: bytes,
    wrong: bool,
) -> None:
    files = {"model.onnx": tiny_onnx, "prompt/model.onnx": tiny_prompt_onnx}
    bundle = _prompted(tmp_path / "a.bundle", tiny_model, files, prompted_manifest, wrong=wrong)
    result = _verify(bundle.path, "--json")
    assert result.exit_code == int(wrong), result.output
    document = json.loads(result.stdout)
    assert document["passed"] is not wrong
    assert document["mask_iou"] >= 0.999  # of the step
    assert document["prompt_head"]["passed"] is not wrong
    assert document["prompt_head"]["prompts"] == 2
    assert document["prompt_head"]["mask_iou"] == (0.0 if wrong else 1.0)
    assert "prompt head: mask IoU" in _verify(bundle.path).stdout


def test_a_prompt_head_without_its_golden_is_refused(prompted_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="golden"):
        _verify_raising(prompted_bundle.path)


def _verify_raising(path: Path) -> None:
    result = _verify(path)
    assert result.exception is not None
    raise result.exception
