"""The page in a real browser without a screen, prompted by its mouse."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.opening import open_sinks
from edge_vos.runtime.sources.opening import open_source
from tests.live.conftest import FRAME_SIZE, RED_XYWH, Live
from tests.runtime.videos import VARIABLE_S, write_video

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="no Chromium with its driver: apt-get install chromium chromium-driver",
)


class Browser:
    """Drive Chromium by the W3C WebDriver protocol."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {
            "binary": BROWSER,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1040,760"],
        }  # fmt: skip
        wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
        session = self._ask("session", {"capabilities": wanted})["sessionId"]
        self._session = f"session/{session}"

    def _ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._address}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._ask(f"{self._session}/url", {"url": url})

    def evaluate(self, script: str) -> Any:
        body = {"script": f"return {script}", "args": []}
        return self._ask(f"{self._session}/execute/sync", body)

    def wait(self, script: str) -> None:
        deadline_s = time.monotonic() + 60
        while not self.evaluate(script):
            assert time.monotonic() < deadline_s, script
            time.sleep(0.1)

    def mouse(self, *steps: dict[str, object]) -> None:
        pointer = {"type": "pointer", "id": "mouse", "actions": list(steps)}
        self._ask(f"{self._session}/actions", {"actions": [pointer]})

    def move(self, x: float, y: float) -> dict[str, object]:
        """Return the mouse's way to a pixel of the picture, which lies amid the stage."""
        place = self.evaluate("document.getElementById('draw').getBoundingClientRect().toJSON()")
        height, width = FRAME_SIZE
        scale = min(place["width"] / width, place["height"] / height)
        left = place["x"] + (place["width"] - width * scale) / 2
        top = place["y"] + (place["height"] - height * scale) / 2
        at = {"x": round(left + x * scale), "y": round(top + y * scale)}
        return {"type": "pointerMove", "duration": 50, **at}

    def pixel(self, x: int, y: int) -> np.ndarray:
        """Return red, green and blue of a pixel of the stream."""
        script = (
            "(() => { const sheet = document.createElement('canvas'), image = "
            "document.getElementById('stream'); sheet.width = image.naturalWidth; sheet.height = "
            "image.naturalHeight; const pen = sheet.getContext('2d'); pen.drawImage(image, 0, 0); "
            f"return Array.from(pen.getImageData({x}, {y}, 1, 1).data) }})()"
        )
        return np.array(self.evaluate(script)[:3], int)

    def look(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask(f"{self._session}/screenshot")))

    def quit(self) -> None:
        self._ask(self._session, method="DELETE")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    driver = subprocess.Popen(
        [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        port = next(
            line.rstrip(". \n").rsplit(" ", 1)[1]
            for line in driver.stdout
            if "started successfully on port" in line
        )
        browser = Browser(f"http://127.0.0.1:{port}")
        yield browser
        browser.quit()
    finally:
        driver.terminate()
        driver.communicate()


def test_a_box_drawn_on_the_page_is_followed(
    start: Callable[..., Live], clip: Path, browser: Browser, artefacts: Path
) -> None:
    run = start(str(clip), "--loop", "--serve", "--port", "0", "--name", "<b>tasse")
    assert run.process.stderr is not None
    browser.open(run.process.stderr.readline().removeprefix("Open ").strip())
    browser.wait("document.body.dataset.state === 'running' && edgeVos.state().frames > 0")
    assert browser.evaluate("document.getElementById('stream').naturalWidth") == FRAME_SIZE[1]
    move = browser.move
    x, y, width, height = RED_XYWH
    down, up = ({"type": f"pointer{what}", "button": 0} for what in ("Down", "Up"))
    browser.mouse(move(x - 14, y - 10), down, move(x + width + 14, y + height + 10), up)
    browser.wait("edgeVos.state().draft")
    browser.wait("!document.getElementById('accept').disabled")
    browser.look(artefacts / "browser-preview.png")
    assert run.objects() == []
    browser.evaluate("document.getElementById('accept').click()")
    run.wait(lambda: run.objects() == [1])
    browser.wait("document.querySelectorAll('.object[data-id]').length === 1")
    assert browser.evaluate("document.getElementById('objects').innerText").startswith("<b>tasse")
    browser.look(artefacts / "browser-followed.png")

    browser.mouse(move(270, 120), down, up)  # a click on the green field
    browser.wait("edgeVos.state().draft")
    browser.evaluate("edgeVos.send('accept')")
    run.wait(lambda: run.objects() == [1, 2])
    browser.wait("document.querySelectorAll('.object[data-id]').length === 2")
    browser.evaluate("document.querySelector('.object[data-id=\"2\"]').click()")
    browser.wait("edgeVos.state().next === 2")
    browser.evaluate("document.querySelector('.object[data-id=\"1\"] button').click()")  # drop
    run.wait(lambda: run.objects() == [2])
    browser.evaluate("document.getElementById('reset').click()")
    run.wait(lambda: run.objects() == [])

    run.process.terminate()
    browser.wait("document.getElementById('loading').textContent === 'The run has ended'")
    report = run.report()
    assert (report["ended"], report["object_ids"]) == ("stopped", [1, 2])


def test_what_is_drawn_is_previewed_corrected_and_undone(
    start: Callable[..., Live], clip: Path, browser: Browser, artefacts: Path
) -> None:
    run = start(str(clip), "--loop", "--serve", "--port", "0")
    assert run.process.stderr is not None
    browser.open(run.process.stderr.readline().removeprefix("Open ").strip())
    browser.wait("document.body.dataset.state === 'running' && edgeVos.state().frames > 0")
    move = browser.move
    red, green = (100, 100), (270, 120)
    plain = {xy: browser.pixel(*xy) for xy in (red, green)}

    def until(xy: tuple[int, int], shown: bool) -> None:
        run.wait(lambda: bool(np.abs(browser.pixel(*xy) - plain[xy]).max() > 25) is shown)

    x, y, width, height = RED_XYWH
    down, up = ({"type": f"pointer{what}", "button": 0} for what in ("Down", "Up"))
    browser.mouse(move(x - 14, y - 10), down, move(x + width + 14, y + height + 10))
    until(red, True)  # while the button is down
    browser.look(artefacts / "browser-drag.png")
    browser.mouse(up)
    browser.wait("edgeVos.state().draft")
    until(red, True)
    browser.mouse(move(*green), down, up)  # a correction: this belongs to it
    until(green, True)
    browser.look(artefacts / "browser-correction.png")
    browser.evaluate("document.getElementById('undo').click()")
    until(green, False)
    until(red, True)
    browser.evaluate("document.querySelector('[data-tool=brush]').click()")
    browser.mouse(move(*green), down, move(green[0] + 10, green[1] + 30), up)
    until(green, True)
    browser.look(artefacts / "browser-brush.png")
    other = [{"type": f"pointer{what}", "button": 2} for what in ("Down", "Up")]
    browser.mouse(move(*green), *other)  # the right button takes away
    until(green, False)
    browser.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'u' }))")
    until(green, True)
    assert run.objects() == []
    browser.evaluate("document.getElementById('accept').click()")
    run.wait(lambda: run.objects() == [1])
    browser.evaluate("edgeVos.send('click', { xy: [100, 100], positive: true })")
    browser.evaluate("edgeVos.send('click', { xy: [100, 100], positive: false })")
    browser.wait("edgeVos.state().message.includes('on the object and as beside it')")
    browser.wait("document.getElementById('toast').checkVisibility()")
    count = browser.evaluate("edgeVos.state().frames")
    browser.wait(f"edgeVos.state().frames > {count} + 3")  # the stream goes on
    run.process.terminate()
    run.report()


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_a_video_that_was_written_plays(tmp_path: Path, browser: Browser, name: str) -> None:
    path = write_video(tmp_path / "in.mp4", [*VARIABLE_S, 2.5], size=(121, 161), pixels="yuv444p")
    nothing = np.zeros((121, 161), np.uint8), np.zeros((5, 32, 44), np.float32)
    with open_source(str(path)) as source:
        (sink,) = open_sinks(
            [str(tmp_path / name)], source.fps, source.size, original=source.original
        )
        with sink:
            for frame in source:
                sink.write(frame, FrameResult(*nothing, (), {}, frame.index))
    page = tmp_path / "page.html"
    page.write_text(f"<video id=video muted autoplay src={name}></video>")
    browser.open(page.as_uri())
    browser.wait("document.getElementById('video').ended || document.getElementById('video').error")
    video = "document.getElementById('video')"
    assert browser.evaluate(f"{video}.error && {video}.error.message") is None
    assert browser.evaluate(f"[{video}.videoWidth, {video}.videoHeight]") == [162, 122]
    assert 2.5 <= browser.evaluate(f"{video}.duration") < 3.2
