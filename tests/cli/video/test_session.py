"""What a run tells on the way: sizes, progress, pages, cameras that went, prompts left over."""

import io
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_vos.bundle import SHIPPED_SIZES, Bundle
from edge_vos.cli import main
from edge_vos.cli.video import session
from edge_vos.cli.video.options import VideoOptions
from edge_vos.errors import PromptError, UsageError
from edge_vos.runtime import live_size
from edge_vos.runtime.sources import opening
from edge_vos.runtime.sources.frame import Source
from edge_vos.synthetic.source import open_synthetic
from tests.cli.running import invoke, refused
from tests.runtime.videos import write_video

SCENE = "synthetic://?size=64x96&objects=1"


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("frames", [(), ("--frames", "20")], ids=["to its end", "a part"])
def test_a_person_sees_how_far_it_is(
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    frames: tuple[str, ...],
) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    words = ["segment", f"{SCENE}&frames=30", *frames, "--json"]
    monkeypatch.setattr(sys, "argv", ["edge-vos", *words, "--model", str(tiny_bundle.path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    total = 20 if frames else 30
    assert json.loads(capsys.readouterr().out)["frames"] == total
    seen = terminal.getvalue()
    assert "segmenting" in seen
    assert f"{total}/{total}" in seen
    assert " frames/s" in seen


def test_without_a_person_there_is_no_bar(tiny_bundle: Bundle) -> None:
    result = invoke("segment", f"{SCENE}&frames=3", "--json", "--model", tiny_bundle.path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""


@pytest.mark.parametrize("size", [None, "fast"])
def test_a_size_is_taken_as_asked_for_or_by_default(size: str | None) -> None:
    asked = () if size is None else ("--size", size)
    result = invoke("segment", f"{SCENE}&frames=1", "--threads", 1, "--json", *asked)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["size"] == list(SHIPPED_SIZES[size or "quality"])
    assert document["size_reason"] == ("the default" if size is None else "as asked for")


@pytest.mark.parametrize(
    ("fps", "reason"),
    [
        (10, "quality: it takes 50 ms of the 100 ms between two frames"),
        (50, "fast: it takes 9 ms of the 20 ms between two frames; quality takes 50 ms"),
    ],
)
def test_a_live_run_takes_the_largest_size_that_keeps_up(
    monkeypatch: pytest.MonkeyPatch, fps: int, reason: str
) -> None:
    large = SHIPPED_SIZES["quality"]
    monkeypatch.setattr(
        live_size, "median_call_ms", lambda model: 50.0 if model.manifest.size == large else 9.0
    )
    source = f"{SCENE}&frames=1&fps={fps}"
    result = invoke("live", source, "--headless", "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["size"] == list(SHIPPED_SIZES[reason.split(":")[0]])
    assert document["size_reason"] == reason
    assert f"size {reason}\n" in result.stderr


def test_a_bundle_has_its_own_size(tiny_bundle: Bundle) -> None:
    error = refused(tiny_bundle, "segment", SCENE, "--size", "fast")
    assert isinstance(error, UsageError)
    assert "--model and --size together" in str(error)


def test_prompts_beyond_the_end_are_named_when_it_has_come(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """How many frames a part of a video has is not known beforehand."""
    clip = write_video(tmp_path / "clip.mp4", [index / 25 for index in range(20)])
    first, late = ({"frame": at, "object": 1, "box": [9, 9, 60, 60]} for at in (0, 7))
    prompts, lines = tmp_path / "prompts.json", tmp_path / "masks.jsonl"
    prompts.write_text(json.dumps({"prompts": [first, late]}))
    result = invoke(
        "segment", clip, "--end", "0.2", "--prompts", prompts, "-o", lines,
        "--model", tiny_bundle.path,
    )  # fmt: skip
    assert isinstance(result.exception, PromptError), result.output
    assert "There are prompts for frame 7, and 5 frames came" in str(result.exception)
    assert f"The other prompts of {prompts} were followed" in str(result.exception)
    assert len(lines.read_text().splitlines()) == 5


def test_a_camera_that_was_lost_is_told_on_stderr(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "Camera 0 gave no frame; trying again for 60 s"

    def open_camera(*arguments: object) -> Source:
        arguments[-1](told)  # type: ignore[operator]
        return open_synthetic(f"{SCENE}&frames=2", False)

    monkeypatch.setattr(opening, "open_camera", open_camera)
    result = invoke(
        "live", "0", "--headless", "--json", "--box", "9,9,30,30", "--model", tiny_bundle.path
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 2
    assert told in result.stderr.splitlines()


Ask = Callable[..., dict[str, Any]]


class Browser(Terminal):
    """A terminal that shows a page's address, and a browser that opens it there and acts."""

    def __init__(self, act: Callable[[Ask], None]) -> None:
        super().__init__()
        self._act = act
        self._pool = ThreadPoolExecutor(1)
        self.done: Future[None] | None = None

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if text.startswith("Open "):
            page, token = text.removeprefix("Open ").strip().split("/?")
            self.done = self._pool.submit(self._act, partial(self._ask, page, token))
        return super().write(text)

    @staticmethod
    def _ask(page: str, token: str, path: str, **wish: object) -> dict[str, Any]:
        body = json.dumps(wish).encode() if wish else None
        with urllib.request.urlopen(f"{page}/{path}?{token}", body, timeout=20) as answer:
            return dict(json.load(answer))


def _until(ask: Ask, condition: Callable[[dict[str, Any]], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition(state := ask("state")):
        assert time.monotonic() < deadline_s, state
        time.sleep(0.02)


def test_a_page_of_a_file_waits_at_the_first_frame_and_tells_what_failed(
    tiny_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for index in range(4):
        image = np.full((96, 144, 3), 60, np.uint8)
        image[30:70, 20 + index : 60 + index] = (30, 30, 220)
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()  # nothing can be recorded there

    def act(ask: Ask) -> None:
        _until(ask, lambda state: bool(state["paused"] and state["frames"]))
        ask("do", action="box", box_xywh=[14, 24, 58, 52])
        _until(ask, lambda state: state["draft"] is not None)
        ask("do", action="accept")
        _until(ask, lambda state: [one["id"] for one in state["objects"]] == [1])
        assert ask("state")["paused"]
        ask("do", action="record")
        ask("do", action="pause")

    browser = Browser(act)
    monkeypatch.setattr(sys, "stderr", browser)
    options = VideoOptions(model=tiny_bundle.path, threads=1, json_output=True)
    lines = str(tmp_path / "masks.jsonl")
    outputs = ("serve://127.0.0.1:0", lines)
    session.run_session(session.SessionRequest(str(tmp_path), options, outputs=outputs))
    assert browser.done is not None
    browser.done.result(60)
    document = json.loads(capsys.readouterr().out)
    assert (document["ended"], document["object_ids"]) == ("end", [1])
    assert document["outputs"] == [lines]
    assert "edge-vos-000.mkv" in browser.getvalue()
    told = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    assert [one["id"] for one in told[-1]["objects"]] == [1]
