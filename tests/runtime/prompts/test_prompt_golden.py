"""A prompt head's golden: it comes back as it was, and an engine that is off is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_vos.bundle import PROMPT_GOLDEN_FILE, Bundle, Manifest, write_bundle
from edge_vos.errors import BundleError
from edge_vos.graph import PromptGraphSpec
from edge_vos.runtime.backends.runner import CallableRunner, Tensors
from edge_vos.runtime.golden import GoldenLimits
from edge_vos.runtime.prompts.prompt_golden import PromptGolden, check_prompt_golden

SIZE = (64, 96)
GRAPH = PromptGraphSpec(SIZE)


@pytest.fixture(scope="module")
def golden() -> PromptGolden:
    rng = np.random.default_rng(0)
    prompt = np.zeros((2, 4, 16, 24), np.float16)
    prompt[:, 3, 4:12, 6:18] = 1
    image = rng.integers(0, 256, (2, 3, 32, 48), np.uint8)
    return PromptGolden(image, prompt, prompt[:, 3:4].copy())


def _write(folder: Path, manifest: Manifest, golden: PromptGolden | bytes) -> Bundle:
    content = golden if isinstance(golden, bytes) else golden.to_bytes()
    files = {"model.onnx": b"", "prompt/model.onnx": b"", PROMPT_GOLDEN_FILE: content}
    return write_bundle(folder / "a.bundle", manifest, files, overwrite=True)


def test_it_comes_back_as_it_was(
    tmp_path: Path, prompted_manifest: Manifest, golden: PromptGolden
) -> None:
    read = PromptGolden.load(_write(tmp_path, prompted_manifest, golden))
    for name in ("image", "prompt", "probability"):
        np.testing.assert_array_equal(getattr(read, name), getattr(golden, name))
    assert read.to_bytes() == golden.to_bytes()
    inputs = read.inputs(1, SIZE)
    assert {name: array.shape for name, array in inputs.items()} == {
        spec.name: spec.shape for spec in GRAPH.inputs
    }
    assert {array.dtype for array in inputs.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["image", "prompt", "probability"])
def test_an_array_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, prompted_manifest: Manifest, golden: PromptGolden, name: str
) -> None:
    for wrong in (getattr(golden, name)[:, :, :-1], getattr(golden, name).astype(np.float64)):
        bundle = _write(tmp_path, prompted_manifest, replace(golden, **{name: wrong}))
        with pytest.raises(BundleError, match=f"{name} in {PROMPT_GOLDEN_FILE}"):
            PromptGolden.load(bundle)


def test_a_file_that_is_no_golden_is_refused(
    tmp_path: Path, prompted_manifest: Manifest, prompted_bundle: Bundle
) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        PromptGolden.load(_write(tmp_path, prompted_manifest, b"nothing"))
    with pytest.raises(BundleError, match="holds no prompt-golden"):
        PromptGolden.load(prompted_bundle)


def _found(golden: PromptGolden, change: float, cells: int = 0) -> CallableRunner:
    calls = iter(golden.probability.astype(np.float32))

    def run(_: Tensors) -> dict[str, np.ndarray]:
        probability = next(calls)[np.newaxis].copy()
        probability[..., :cells] = 1 - probability[..., :cells]
        return {"probability": probability + np.float32(change)}

    return CallableRunner(run)


@pytest.mark.parametrize(
    ("change", "cells", "passed"),
    [(0.0, 0, True), (1e-4, 0, True), (0.01, 0, False), (0.0, 8, False), (np.nan, 0, False)],
)
def test_an_engine_that_is_off_does_not_pass(
    golden: PromptGolden, change: float, cells: int, passed: bool
) -> None:
    limits = GoldenLimits(mask_iou=0.95, max_abs_error=1e-3, mean_abs_error=None, norm_error=None)
    found = check_prompt_golden(_found(golden, change, cells), GRAPH, golden, limits)
    assert found.passed == passed
    assert found.prompts == 2
    assert (found.mask_iou < 0.95) == (cells > 0 or change != change)
