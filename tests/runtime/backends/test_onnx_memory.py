"""The step and the prompt head take turns in one arena, and closing gives it back."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json
import re
from pathlib import Path
import numpy as np
from edge_vos.bundle import shipped_bundle_path
from edge_vos.runtime.model import open_bundle

def held_mb():
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"Anonymous: +(\\d+)", text)[1]) * 1024 / 1e6

def run(runner, specs):
    runner.run({spec.name: np.zeros(spec.shape, np.float32) for spec in specs})

model = open_bundle(shipped_bundle_path("quality"), "onnx", 2)
held = {"open": held_mb()}
for _ in range(3):
    run(model.runner, model.manifest.inputs)
held["step"] = held_mb()
head = model.prompt_head
run(head.runner, model.manifest.prompt_head.tensors("onnx").inputs)
held["head"] = held_mb()
model.close()
held["closed"] = held_mb()
print(json.dumps(held))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells anonymous memory")
def test_a_head_adds_little_and_closing_gives_the_arena_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=300
    )
    held = json.loads(done.stdout)
    assert held["step"] - held["open"] > 15.0  # an arena of its own would be as large again
    assert held["head"] - held["step"] < 8.0
    assert held["closed"] < held["step"] - 15.0
