import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.cli.video import session
from edge_vos.errors import EdgeVosError, PromptError, SinkError, SourceError, UsageError
from tests.cli.running import invoke, refused, start, stop, wait_until
from tests.runtime.videos import count_frames

SCENE = "synthetic://?size=64x96&objects=2&fps=500"


def _live(bundle: Bundle, *arguments: str) -> Result:
    return invoke("live", *arguments, "--model", bundle.path)


def _refused(bundle: Bundle, *arguments: str) -> EdgeVosError:
    return refused(bundle, "live", *arguments)


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
    assert count_frames(recording) == 510


def test_an_endless_scene_ends_by_ctrl_c(tiny_bundle: Bundle, tmp_path: Path) -> None:
    recording = tmp_path / "a.mkv"
    masks = tmp_path / "masks"
    process = start(
        "live", SCENE, "--headless", "--threads", 1, "--json", "--model", tiny_bundle.path,
        "--record", recording, "-o", masks,
    )  # fmt: skip
    try:
        wait_until(process, lambda: len(list(masks.glob("*.png"))) > 5)
        document = stop(process)
    finally:
        process.kill()
    assert document["ended"] == "stopped"
    assert document["frames"] > 5
    assert count_frames(recording) == document["frames"]
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0.05, 0.5])
def test_a_signal_before_the_first_frame_leaves_nothing(
    tiny_bundle: Bundle, tmp_path: Path, number: signal.Signals, delay_s: float
) -> None:
    """While Python starts, while it imports: no trace, no output that is not whole."""
    recording = tmp_path / "a.mkv"
    code = "from edge_vos.cli import main; main()"
    # A shell that runs this in the background ignores SIGINT, and its children inherit that.
    process = subprocess.Popen(
        [sys.executable, "-c", code, "live", SCENE, "--headless", "--threads", "1", "--json",
         "--model", str(tiny_bundle.path), "--record", str(recording)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        time.sleep(delay_s)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    # Python itself answers the first moments, then the command, then the run in good order.
    assert process.returncode in (0, 1, 130, -number, 128 + number), stderr
    if process.returncode == 0:
        assert recording.exists() is (count_frames(recording) > 0)
    else:
        assert not recording.exists()
    assert not (tmp_path / "a.partial.mkv").exists()


def test_a_page_takes_prompts_until_the_run_is_told_to_end(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """The whole of --serve with a stand-in for the browser; tests/live has a real one."""
    for index, left in enumerate((20, 22, 24)):
        image = np.full((96, 144, 3), 60, np.uint8)
        image[30:70, left : left + 40] = (30, 30, 220)
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    lines = tmp_path / "masks.jsonl"
    process = start(
        "live", tmp_path, "--loop", "--serve", "--port", 0, "--threads", 1, "--json",
        "--model", tiny_bundle.path, "-o", lines,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        url = process.stderr.readline().removeprefix("Open ").strip()
        page, token = url.split("/?")

        def ask(path: str, wish: object = None) -> dict[str, object]:
            body = None if wish is None else json.dumps(wish).encode()
            with urllib.request.urlopen(f"{page}/{path}?{token}", body, timeout=20) as answer:
                return json.load(answer)

        def until(key: str, wanted: object) -> None:
            deadline_s = time.monotonic() + 60
            while ask("state")[key] != wanted:
                assert time.monotonic() < deadline_s, ask("state")
                time.sleep(0.02)

        deadline_s = time.monotonic() + 60
        while not ask("state")["frames"]:
            assert time.monotonic() < deadline_s
        ask("do", {"action": "box", "box_xywh": [14, 24, 58, 52]})
        until("draft", True)
        assert ask("state")["objects"] == []
        ask("do", {"action": "accept"})
        deadline_s = time.monotonic() + 60
        while not (followed := ask("state")["objects"]):
            assert time.monotonic() < deadline_s
        assert [(item["id"], item["lost"]) for item in followed] == [(1, False)]
        ask("do", {"action": "drop", "object_id": 1})
        until("objects", [])
        document = stop(process)
    finally:
        process.kill()
    assert (document["ended"], document["object_ids"]) == ("stopped", [1])
    assert document["outputs"] == [str(lines)]
    assert "display" in document["latency_ms"]


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


@pytest.mark.parametrize(
    ("arguments", "source", "port"),
    [
        (["--serve"], "0", 8080),
        (["--serve", "9000"], "0", 9000),
        (["--serve=1"], "0", 1),
        (["2", "--serve", "9000"], "2", 9000),
        (["--serve", "2"], "2", 8080),
        (["--serve", "--port", "0", "2"], "2", 0),
        (["--serve", "clip.mp4"], "clip.mp4", 8080),
    ],
)
def test_serve_may_name_its_port(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], source: str, port: int
) -> None:
    asked: list[session.SessionRequest] = []
    monkeypatch.setattr(session, "run_session", asked.append)
    result = CliRunner().invoke(app, ["live", *arguments])
    assert result.exit_code == 0, result.output
    assert asked[0].source == source
    assert asked[0].outputs == (f"serve://127.0.0.1:{port}",)
