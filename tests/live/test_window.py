"""The real window on a display of its own, driven by mouse and keys as a person would."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.live.conftest import FRAME_SIZE, RED_XYWH, Live

MISSING = [name for name in ("Xvfb", "xdotool", "import") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} missing: apt-get install xvfb xdotool imagemagick"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display that nobody sees."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as numbers:
        number = numbers.readline().strip()
    if not number:
        pytest.skip("Xvfb cannot open a display here")
    yield f":{number}"
    server.terminate()
    server.wait()


class Person:
    """Use mouse, keys and eyes."""

    def __init__(self, display: str, folder: Path) -> None:
        self._environment = os.environ | {"DISPLAY": display}
        self._folder = folder
        self._window = ""

    def _do(self, *words: str) -> str:
        answer = subprocess.run(
            ["xdotool", *words], env=self._environment, capture_output=True, text=True, check=False
        )
        return answer.stdout.strip()

    def finds_window(self) -> bool:
        self._window = self._do("search", "--onlyvisible", "--name", "^edge-vos$")
        return bool(self._window)

    def drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        self.begin_drag(x0, y0, x1, y1)
        self._do("sleep", "0.1", "mouseup", "1")

    def begin_drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        at = ("mousemove", "--window", self._window)
        middle = (str((x0 + x1) // 2), str((y0 + y1) // 2))
        self._do(*at, str(x0), str(y0), "mousedown", "1", *at, *middle, "sleep", "0.1")
        self._do(*at, str(x1), str(y1))

    def end_drag(self) -> None:
        self._do("mouseup", "1")

    def click(self, x: int, y: int, button: int = 1) -> None:
        self._do("mousemove", "--window", self._window, str(x), str(y), "click", str(button))

    def press(self, key: str) -> None:
        self._do("windowfocus", "--sync", self._window, "key", key)

    def look(self, name: str) -> np.ndarray:
        path = self._folder / f"window-{name}.png"
        subprocess.run(
            ["import", "-window", self._window, str(path)], env=self._environment, check=True
        )
        return cv2.imread(str(path))


@pytest.fixture
def begun(
    start: Callable[..., Live], clip: Path, artefacts: Path, display: str
) -> tuple[Live, Person]:
    """A run in a loop whose window shows the first frames, and who looks at it."""
    run = start(str(clip), "--loop", DISPLAY=display, QT_QPA_PLATFORM="xcb")
    person = Person(display, artefacts)
    run.wait(lambda: run.lines.exists() and run.lines.read_text().count("\n") > 3)
    run.wait(person.finds_window)
    run.wait(lambda: person.look("before").max() > 0)
    return run, person


def test_a_box_is_drawn_followed_recorded_and_left(
    begun: tuple[Live, Person], tmp_path: Path
) -> None:
    run, person = begun
    before = person.look("before")
    assert before.shape[:2] == FRAME_SIZE

    x, y, width, height = RED_XYWH
    person.drag(x - 14, y - 10, x + width + 14, y + height + 10)
    inside, colours = (y + height // 2, x + width // 2), []

    def is_previewed() -> bool:
        colours.append(person.look("preview")[inside].astype(int))
        return bool(np.abs(colours[-1] - before[inside]).max() > 20)

    run.wait(is_previewed)
    assert run.objects() == []  # shown, not yet followed

    person.press("Return")
    run.wait(lambda: run.objects() == [1])
    person.click(270, 120)  # on the green field: a new object
    person.press("Return")
    run.wait(lambda: run.objects() == [1, 2])
    person.press("v")
    run.wait(lambda: any(tmp_path.glob("edge-vos-000.partial.mkv")))
    person.press("h")
    person.look("followed-recording-help")
    count = len(run.lines.read_text().splitlines())
    run.wait(lambda: len(run.lines.read_text().splitlines()) > count + 10)
    person.press("v")
    run.wait((tmp_path / "edge-vos-000.mkv").exists)
    person.press("u")  # takes back the second object
    run.wait(lambda: run.objects() == [1])
    person.press("q")
    report = run.report()

    assert (report["ended"], report["object_ids"]) == ("stopped", [1, 2])
    assert report["outputs"] == ["masks.jsonl", "edge-vos-000.mkv"]
    assert {"display", "end_to_end"} <= set(report["latency_ms"])
    capture = cv2.VideoCapture(str(tmp_path / "edge-vos-000.mkv"))
    recorded = 0
    while (read := capture.read())[0]:
        recorded += 1
        tinted = read[1][inside].astype(int)
    capture.release()
    assert recorded >= 10
    assert np.abs(tinted - before[inside]).max() > 20


def test_what_is_drawn_is_previewed_corrected_and_undone(begun: tuple[Live, Person]) -> None:
    run, person = begun
    before = person.look("before").astype(int)
    red, green = (100, 100), (270, 120)

    def until(xy: tuple[int, int], shown: bool, name: str) -> None:
        at = xy[::-1]
        run.wait(lambda: bool(np.abs(person.look(name)[at] - before[at]).max() > 20) is shown)

    x, y, width, height = RED_XYWH
    person.begin_drag(x - 14, y - 10, x + width + 14, y + height + 10)
    until(red, True, "drag")  # while the button is down
    person.end_drag()
    person.click(*green)  # a correction: this belongs to it
    until(green, True, "correction")
    until(red, True, "correction")
    person.press("u")
    until(green, False, "undone")
    until(red, True, "undone")
    status = person.look("undone")[-12:]
    person.press("b")
    run.wait(lambda: bool((person.look("brush")[-12:] != status).any()))
    person.drag(green[0], green[1], green[0] + 8, green[1] + 30)
    until(green, True, "brush")
    person.press("b")
    assert run.objects() == []
    person.press("Return")
    run.wait(lambda: run.objects() == [1])
    person.press("q")
    assert run.report()["object_ids"] == [1]
