"""The tiny student as a bundle of every engine that runs on this machine, each made once."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Bundle, Manifest, read_bundle, write_bundle
from edge_vos.converters.lowering import Lowered, Request, load_lower
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES

SHARPNESS = 200.0  # as in tests/conftest.py


MADE_ELSEWHERE = "EDGE_VOS_TINY_BUNDLES"
"""A folder for the bundles: those in it are taken, for a machine that cannot make them."""


@pytest.fixture(scope="session")
def tiny_bundle_of(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_manifest: Manifest,
) -> Callable[[str], Bundle]:
    """Make the tiny student for a backend, or skip where that cannot be made here."""
    made: dict[str, Bundle] = {}
    kept = os.environ.get(MADE_ELSEWHERE)

    def make(backend: str) -> Bundle:
        if backend not in made:
            folder = Path(kept) if kept else tmp_path_factory.mktemp(backend)
            path = folder / f"{backend}.bundle"
            made[backend] = read_bundle(path) if path.exists() else write(backend, path)
        return made[backend]

    def write(backend: str, path: Path) -> Bundle:
        if backend == "onnx":
            model_file, files = "model.onnx", {"model.onnx": request.getfixturevalue("tiny_onnx")}
        else:
            lowered = lower_tiny(backend, tiny_manifest)
            model_file, files = lowered.model_file, dict(lowered.files)
        manifest = replace(tiny_manifest, backend=backend, model_file=model_file)
        return write_bundle(path, manifest, files)

    return make


@pytest.fixture(scope="session")
def lower_tiny_again(tiny_manifest: Manifest) -> Callable[[str], Lowered]:
    """Lower the tiny student once more."""
    return lambda backend: lower_tiny(backend, tiny_manifest)


def lower_tiny(backend: str, manifest: Manifest) -> Lowered:
    """Lower the tiny student in float32."""
    try:
        ENGINES[backend].require_packages()
    except EngineError as error:
        pytest.skip(str(error))
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    class TinyStudent(nn.Module):
        """The same as ``_tiny_student`` in tests/conftest.py."""

        def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            image, prompt, prompted, active, memory_key, memory_value, memory_valid = inputs
            scaled = image / 255.0
            key, cells = F.avg_pool2d(scaled, 16), F.avg_pool2d(scaled, 4)
            slots, channels, height, width = memory_value.shape
            keys = memory_key.transpose(0, 1).reshape(1, 3, -1)
            values = memory_value.transpose(0, 1).reshape(1, channels, -1)
            queries = cells.reshape(1, 3, -1).transpose(1, 2)
            near = 2.0 * torch.bmm(queries, keys) - (keys * keys).sum(1, keepdim=True)
            penalty = (1.0 - memory_valid).expand(slots, 1, height, width).reshape(1, 1, -1)
            affinity = torch.softmax(SHARPNESS * near - 1e4 * penalty, dim=-1)
            readout = torch.bmm(affinity, values.transpose(1, 2)).transpose(1, 2)
            predicted = readout.reshape(1, channels, height * 4, width * 4)
            weights = (predicted + 1e-6) * active * (1.0 - prompted)
            share = weights / (weights.sum(1, keepdim=True) + 1e-6)
            given = prompt * prompted
            rest = torch.relu(1.0 - given.sum(1, keepdim=True))
            probability = given + rest * share
            return probability, key, F.avg_pool2d(probability, 4)

    rng = np.random.default_rng(0)
    arrays: list[NDArray[np.float32]] = [
        rng.random(manifest.shape(name), np.float32) for name in INPUT_NAMES
    ]
    examples = [torch.from_numpy(array) for array in arrays]
    return load_lower(ENGINES[backend])(Request(TinyStudent().eval(), examples, "fp32"))
