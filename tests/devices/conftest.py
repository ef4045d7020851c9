"""A tiny bundle with a recording in it, as convert writes one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, write_bundle
from edge_vos.runtime.golden import Golden, Script
from edge_vos.runtime.model import LoadedModel

FRAMES = 3


@pytest.fixture
def golden_bundle(
    tmp_path: Path, tiny_manifest: Manifest, tiny_onnx: bytes, tiny_model: LoadedModel
) -> Callable[..., Bundle]:
    """Make a bundle with a recording; a broken one's masks are not what the engine finds."""
    k = tiny_manifest.channels
    prompt = np.zeros((FRAMES, *tiny_manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 4:12, 4:12] = 1
    first = np.array([[1], [0], [0]], np.float32)
    script = Script(
        image=np.random.default_rng(0).integers(
            0, 255, (FRAMES, 3, *tiny_manifest.size), dtype=np.uint8
        ),
        prompt=prompt,
        prompted=np.eye(k, dtype=np.float32)[[1, 0, 0]] * first,
        active=np.tile(np.array([1, 1, 0, 0, 0], np.float32), (FRAMES, 1)),
        writes=np.eye(tiny_manifest.slots, dtype=np.bool_)[:FRAMES],
    )
    golden = Golden.record(tiny_model.runner, tiny_manifest, script)
    limits = {"mask_iou": 0.99, "max_abs_error": 1e-3, "mean_abs_error": None}

    def make(*, broken: bool = False, backend: str = "onnx") -> Bundle:
        probability = golden.probability[:, ::-1].copy() if broken else golden.probability
        manifest = replace(
            tiny_manifest,
            backend=backend,
            report={"executed": True, "passed": True, "tolerance": limits},
        )
        kept = replace(golden, probability=probability).to_bytes()
        files = {"model.onnx": tiny_onnx, GOLDEN_FILE: kept}
        return write_bundle(tmp_path / f"golden-{backend}-{broken}.bundle", manifest, files)

    return make
