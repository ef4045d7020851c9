"""What a person would do, with programs that do it: a clip to play as the camera, and the run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_vos.bundle import Bundle

FRAME_SIZE = (240, 360)
RED_XYWH, GREEN_XYWH = (60, 60, 120, 120), (240, 60, 60, 120)  # whole cells of the tiny memory
ARTEFACTS = Path(__file__).parents[2] / "out" / "live"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twenty images of a red and a green field on noise."""
    folder = tmp_path / "clip"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(20):
        image = rng.integers(90, 120, (*FRAME_SIZE, 3), np.uint8)
        for (x, y, width, height), colour in (
            (RED_XYWH, (40, 40, 220)),
            (GREEN_XYWH, (40, 200, 40)),
        ):
            image[y : y + height, x : x + width] = colour
        cv2.imwrite(str(folder / f"{index:02d}.png"), image)
    return folder


class Live:
    """Run `edge-vos live` beside the test."""

    def __init__(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
        code = "from edge_vos.cli import main; main()"
        self.lines = folder / "masks.partial.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "live", *arguments, "--json", "-o", "masks.jsonl"],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def objects(self) -> list[int]:
        """Return the ids of the objects in the newest result."""
        if not self.lines.exists():
            return []
        lines = self.lines.read_text().splitlines()
        return [item["id"] for item in json.loads(lines[-1])["objects"]] if lines else []

    def wait(self, what: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        deadline_s = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def report(self) -> dict[str, Any]:
        """Wait for the end and return what was printed."""
        stdout, stderr = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, stderr
        return json.loads(stdout)


@pytest.fixture
def start(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., Live]]:
    runs: list[Live] = []

    def begin(*arguments: str, **environment: str) -> Live:
        model = ["--model", str(tiny_bundle.path), "--threads", "1"]
        runs.append(Live(tmp_path, [*arguments, *model], environment))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.communicate()


@pytest.fixture
def artefacts() -> Path:
    """The folder for screenshots, which stay after the tests."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS
