"""The runtime steps with torch and typer blocked, in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle
from tests.contracts.blocked import BLOCK_TORCH

PROGRAM = """
import importlib, pkgutil

try:
    import torch
except ImportError:
    pass
else:
    sys.exit("torch was not blocked")

import edge_vos.devices, edge_vos.runtime
for package in (edge_vos.runtime, edge_vos.devices):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

import numpy as np
from edge_vos.runtime.model import open_bundle
from edge_vos.runtime.segmenter import Segmenter

segmenter = Segmenter(open_bundle(sys.argv[1], threads=1))
mask = np.zeros((60, 80), np.uint8)
mask[10:40, 10:40] = 1
frame = np.full((60, 80, 3), 40, np.uint8)
frame[mask > 0] = (0, 0, 230)
segmenter.prompt(mask)
found = [segmenter.step(frame) for _ in range(3)][-1]
assert (found.mask == mask).mean() > 0.95, (found.mask == mask).mean()
assert not {"torch", "typer", "runtime", "devices"} & set(sys.modules)
print("stepped", found.frame_index)
"""


def test_the_runtime_steps_without_torch(tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK_TORCH + PROGRAM, str(tiny_bundle.path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "stepped 2\n"), done.stderr
    assert done.stderr == ""
