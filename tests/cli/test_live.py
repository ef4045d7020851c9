import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app, session
from edge_vos.errors import EdgeVosError, PromptError, SinkError, SourceError, UsageError

SCENE = "synthetic://?size=64x96&objects=2&fps=500"


def _live(bundle: Bundle, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["live", *arguments, "--model", str(bundle.path)])


def _refused(bundle: Bundle, *arguments: str) -> EdgeVosError:
    result = _live(bundle, *arguments)
    assert isinstance(result.exception, EdgeVosError), result.exception
    assert result.stdout == ""
    return result.exception


def _count(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def test_json_is_one_document(tiny_bundle: Bundle, tmp_path: Path) -> None:
    recording = tmp_path / "a.mkv"
    arguments = (SCENE, "--headless", "--frames", "510", "--record", str(recording), "--json")
    result = _live(tiny_bundle, *arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["frames"] == 510
    assert document["dropped"] >= 0
    assert document["fps"] > 0
    assert {"capture", "infer", "draw", "end_to_end"} <= set(document["latency_ms"])
    assert document["outputs"] == [str(recording)]
    sizes = (document["peak_rss_bytes"], *document["rss_bytes"].values())
    assert [size > 1e7 for size in sizes] == [True] * 3
    assert _count(recording) == 510


def test_an_endless_scene_ends_by_ctrl_c(tiny_bundle: Bundle, tmp_path: Path) -> None:
    recording = tmp_path / "a.mp4"
    code = "from edge_vos.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "live", SCENE, "--headless", "--threads", "1", "--json",
         "--model", str(tiny_bundle.path), "--record", str(recording),
         "-o", str(tmp_path / "masks")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s and process.poll() is None:
            if len(list((tmp_path / "masks").glob("*.png"))) > 5:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    document = json.loads(stdout)
    assert document["ended"] == "stopped"
    assert document["frames"] > 5
    assert _count(recording) == document["frames"]
    assert len(list((tmp_path / "masks").iterdir())) == document["frames"]


def test_a_table_for_people(tiny_bundle: Bundle) -> None:
    result = _live(tiny_bundle, f"{SCENE}&frames=9", "--headless")
    assert result.exit_code == 0, result.output
    assert "end_to_end" in result.stdout
    assert "dropped" in result.stdout


def test_without_a_display_headless_is_offered(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    error = _refused(tiny_bundle, SCENE)
    assert isinstance(error, SinkError)
    assert "no display" in str(error)
    assert "--headless" in str(error)


def test_a_display_that_cannot_be_reached_is_named(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", "localhost:987")
    monkeypatch.setattr(session.sys, "executable", "/bin/false")
    assert "cannot reach the display" in str(_refused(tiny_bundle, SCENE))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /dev/video*")
def test_without_a_camera_synthetic_is_offered(tiny_bundle: Bundle) -> None:
    error = _refused(tiny_bundle, "97", "--headless", "--box", "1,1,9,9")
    assert isinstance(error, SourceError)
    assert "edge-vos live synthetic://" in str(error)


def test_headless_needs_a_prompt(tiny_bundle: Bundle, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 96, 3), np.uint8))
    error = _refused(tiny_bundle, str(tmp_path), "--headless")
    assert isinstance(error, PromptError)
    assert "--box" in str(error)


def test_a_recording_must_be_a_video(tiny_bundle: Bundle) -> None:
    error = _refused(tiny_bundle, SCENE, "--headless", "--record", "masks")
    assert isinstance(error, UsageError)
    assert ".mkv" in str(error)
