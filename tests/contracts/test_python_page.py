"""The Python page: its programs are the files beside it, run as they are, and need no torch."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import SourceLost
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.prompts.find_object import FALLBACK
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sources.frame import RawFrame, Source
from edge_vos.runtime.sources.opening import open_source
from tests.contracts.blocked import BLOCK_TORCH
from tests.contracts.example import EXAMPLES, load_example

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/python.md"
Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]

WITHOUT_TORCH = f"""{BLOCK_TORCH}
import runpy
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _fenced(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _run(name: str, *arguments: str, cwd: Path) -> list[str]:
    """Run an example without torch, warnings being errors, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, str(EXAMPLES / name), *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr.replace(f"{FALLBACK}.\n", "")) == (0, "")
    return done.stdout.splitlines()


def test_the_page_holds_the_readmes_lines_and_every_example_verbatim() -> None:
    short, *programs = _fenced(PAGE)
    assert [short] == _fenced(REPOSITORY / "README.md")
    elsewhere = {"ros2_node.py", "gstreamer_element.py"}  # docs/integrate.md links them
    files = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert set(files) - elsewhere == {"webcam.py", "frames.py", "robot.py"}
    files = {name: text for name, text in files.items() if name not in elsewhere}
    for name, text in files.items():
        assert text in programs, f"docs/python.md differs from {name}: paste the file into it"
    assert len(programs) == len(files)


def test_the_tables_name_what_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = {
        title: re.findall(r"^\| `(\w+)", body, re.MULTILINE)
        for title, body in re.findall(
            r"^\| `(\w+)` \| \|\n\|---\|---\|\n(.*?)^$", text, re.S | re.M
        )
    }
    public = [name for name in dir(Segmenter) if not name.startswith("_")]
    assert sorted(rows["Segmenter"]) == sorted(public)
    found = [field.name for field in fields(FrameResult)]
    calls = [name for name in ("numbered_mask", "to_supervision") if hasattr(FrameResult, name)]
    assert sorted(rows["FrameResult"]) == sorted([*found, *calls])
    states = [field.name for field in fields(ObjectState)]
    assert sorted(rows["ObjectState"]) == sorted([*states, "colour", "number"])


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.S))
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_the_webcam_records_what_it_follows(tmp_path: Path) -> None:
    uri = "synthetic://?size=240x432&objects=1&frames=20&fps=60"
    with open_source(uri) as source:
        truth = next(iter(source)).truth
    assert truth is not None
    box = [str(side) for side in cv2.boundingRect(truth)]
    lines = _run("webcam.py", uri, "--box", *box, "--record", "cup.mkv", cwd=tmp_path)
    assert re.fullmatch(r" *0\.\d\d s  cup: \d+% at \(\d+, \d+, \d+, \d+\)", lines[0])
    report = re.fullmatch(r"(\d+) frames, (\d+) left out, \d+\.\d a second", lines[-1])
    assert report is not None
    assert int(report[1]) + int(report[2]) == 20
    capture = cv2.VideoCapture(str(tmp_path / "cup.mkv"))
    pictures = sum(1 for _ in itertools.takewhile(bool, iter(capture.grab, None)))
    capture.release()
    assert pictures == int(report[1])


def test_arrays_are_followed(tmp_path: Path) -> None:
    *lines, score = _run("frames.py", cwd=tmp_path)
    assert [line.split()[:2] for line in lines] == [[str(i), "ball"] for i in range(25)]
    assert float(score.removeprefix("J ")) > 0.9


def test_the_robot_moves_and_stands_still_at_the_end(tmp_path: Path) -> None:
    *commands, report = _run("robot.py", "synthetic://?frames=40", cwd=tmp_path)
    assert len(commands) > 2
    assert all(re.fullmatch(r"turn [+-]\d\.\d\d  speed \d\.\d\d", line) for line in commands)
    assert commands[-1] == "turn +0.00  speed 0.00"
    assert re.fullmatch(r"[1-9]\d* frames, \d+ over 100 ms", report)


@pytest.fixture
def robot() -> ModuleType:
    return load_example("robot")


def test_the_robot_decides_by_the_newest_sighting(robot: ModuleType) -> None:
    still = robot.Command()
    target = ObjectState(1, 400, (300, 100, 40, 40), 0.9, lost=False, name="target")
    right = robot.Sighting(10.0, 640, target)
    assert (still.turn, still.speed) == (0.0, 0.0)
    assert robot.decide(None, 10.0) == still
    assert robot.decide(right, 10.1) == robot.Command(0.0, 1.0)  # straight ahead
    assert robot.decide(right, 11.0) == still  # too old
    aside = replace(target, box_xywh=(460, 100, 40, 40))
    assert robot.decide(replace(right, target=aside), 10.1) == robot.Command(0.5, 0.5)
    unsure = replace(aside, confidence=0.3)
    assert robot.decide(replace(right, target=unsure), 10.1) == robot.Command(0.5, 0.0)
    lost = ObjectState(1, 0, (0, 0, 0, 0), 0.0, lost=True, name="target")
    looking = robot.decide(replace(right, target=lost), 10.1)
    assert looking.turn > 0
    assert looking.speed == 0


def test_the_robot_stands_still_when_the_camera_is_lost(
    robot: ModuleType, tiny_model: LoadedModel, scene: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[object] = []

    def raw_frames() -> Iterator[RawFrame]:
        for step in range(3):
            yield RawFrame(scene((16 + step, 32))[0], 0.0)
        raise SourceLost("Camera 0 stopped giving frames")

    source = Source("0", raw_frames(), fps=30.0, size=(128, 192), frames=None, is_live=True)
    monkeypatch.setattr(robot, "open_source", lambda *_, **__: source)
    monkeypatch.setattr(robot, "open_bundle", lambda: tiny_model)
    monkeypatch.setattr(robot, "drive", commands.append)
    monkeypatch.setattr(sys, "argv", ["robot.py", "0", "--box", "8", "24", "80", "80"])
    with pytest.raises(SourceLost, match="Camera 0"):
        robot.main()
    assert commands[-1] == robot.Command()
