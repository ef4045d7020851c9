"""The base install lacks PyAV: commands run, and what is written is read again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle

PROGRAM = """
import sys
sys.modules["av"] = None  # importing it fails, as where it is missing
from edge_vos.cli import main
main()
"""


def _run(bundle: Bundle, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("onnxruntime")
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, "segment", *arguments,
         "--model", str(bundle.path), "--json"],
        capture_output=True, text=True, cwd=folder, timeout=300, check=False,
    )  # fmt: skip


def test_video_goes_out_and_in_without_pyav(tiny_bundle: Bundle, tmp_path: Path) -> None:
    scene = "synthetic://?size=96x128&objects=1&frames=12"
    outputs = ("-o", "a.mkv", "-o", "a.mp4", "-o", "matte:b.mkv")
    done = _run(tiny_bundle, tmp_path, scene, *outputs)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 12
    assert sum("edge-vos[video]" in line for line in done.stderr.splitlines()) == 3
    for name in ("a.mkv", "a.mp4"):
        part = ("--start", "0.2", "--box", "10,10,40,40", "-o", "none")
        again = _run(tiny_bundle, tmp_path, name, *part)
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["frames"] == 6


def test_what_takes_pyav_names_the_command(tiny_bundle: Bundle, tmp_path: Path) -> None:
    done = _run(tiny_bundle, tmp_path, "synthetic://?size=96x128&frames=2", "-o", "a.webm")
    assert done.returncode == 1
    assert 'pip install "edge-vos[video]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.glob("a.*")) == []
