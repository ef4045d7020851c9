"""The page as `edge-vos web` writes it, a server for it, and Chromium to open it."""

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import Bundle, read_bundle
from edge_vos.errors import EngineError
from edge_vos.runtime.web.package import engine_files
from edge_vos.runtime.web.serve import SiteServer
from edge_vos.runtime.web.site import write_site

REPOSITORY = Path(__file__).parents[3]
TOOLS = REPOSITORY / "build" / "web"
CLIP = REPOSITORY / "edge_vos" / "weights" / "calibration.mp4"
CONVERTED = REPOSITORY / "build" / "web-bundles"
WIDE, TALL = (240, 432), (432, 240)
FRAMES = 60
LIMIT_S, PROBE_S, GRACE_S = 180.0, 30.0, 15.0
"""A drive may take; the first look at the browser; and, beyond either, Node.js to end."""

Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with the npm packages."""
    for name in ("@litertjs/core", "onnxruntime-web", "puppeteer-core", "typescript"):
        if not (TOOLS / "node_modules" / name).is_dir():
            pytest.skip(f"no npm package {name}: make web-tools")
    if shutil.which("node") is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    return TOOLS


@pytest.fixture(scope="session")
def chromium(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The browser, if it runs here: some sandboxes do not let it."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    out = str(tmp_path_factory.mktemp("probe"))
    wish = {"task": "probe", "url": "", "tools": str(tools), "chromium": found, "out": out}
    try:
        answer = run_drive(wish, PROBE_S)
    except pytest.fail.Exception as error:
        answer = {"failed": str(error)}
    if "failed" in answer:
        pytest.skip(f"Chromium does not run here: {answer['failed'][:400]}")
    return found


@pytest.fixture(scope="session")
def convert() -> Callable[..., Bundle]:
    """Convert the shipped student, once for each state of its weights; by default for the page."""
    from edge_vos.converters.convert import Conversion, Options, prompt_head_beside
    from edge_vos.converters.recipe import choose_all
    from edge_vos.engines import ENGINES
    from edge_vos.model.checkpoint import default_weights_path

    try:
        ENGINES["litert"].require_packages()
    except EngineError as error:
        pytest.skip(str(error))
    weights = default_weights_path()
    head = prompt_head_beside(weights)
    assert head is not None
    state = hashlib.sha256(weights.read_bytes() + head.read_bytes()).hexdigest()[:12]
    conversion = Conversion(Options(weights, frames=8, overwrite=True, prompt_head=head))

    def make(precision: str, size: tuple[int, int], target: str = "android") -> Bundle:
        (recipe,) = choose_all((target,), (), (precision,), sampler="auto", size=size)
        path = CONVERTED / state / recipe.file_name
        if not path.exists():
            conversion.convert(recipe, path)
        return read_bundle(path)

    return make


@pytest.fixture(scope="session")
def wide(convert: Callable[..., Bundle]) -> Bundle:
    """For a phone on its side, in 8 bits."""
    return convert("int8", WIDE)


@pytest.fixture(scope="session")
def tall(convert: Callable[..., Bundle]) -> Bundle:
    """For a phone that is held upright, in 8 bits."""
    return convert("int8", TALL)


@pytest.fixture(scope="session")
def exact(convert: Callable[..., Bundle]) -> Bundle:
    """The same in 32 bits, whose probabilities have to be Python's."""
    return convert("fp32", TALL)


@pytest.fixture(scope="session")
def site(tools: Path, wide: Bundle, tall: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with both."""
    folder = tmp_path_factory.mktemp("web") / "site"
    write_site(folder, (wide, tall), engine_files(tools))
    return folder


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[SiteServer]:
    """Serve a page beside the test."""
    with SiteServer(folder, 0, headers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run_drive(
    wish: dict[str, Any], seconds: float, close: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Run drive.mjs, which ends by itself, and end it and the browser where it does not."""
    command = ["node", str(Path(__file__).with_name("drive.mjs"))]
    out = Path(wish["out"])
    with (out / "drive.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, json.dumps({**wish, "limit": seconds})], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        lines: Queue[str] = Queue()
        stream = process.stdout
        threading.Thread(target=lambda: [lines.put(one) for one in stream], daemon=True).start()
        end = time.monotonic() + seconds + GRACE_S
        try:
            line = lines.get(timeout=end - time.monotonic())
            if close is not None and line == "close\n":
                close()
                process.stdin.write("closed\n")
                process.stdin.flush()
                line = lines.get(timeout=end - time.monotonic())
            process.wait(timeout=GRACE_S)
            answer: dict[str, Any] = json.loads(line)
        except (Empty, subprocess.TimeoutExpired):
            log.seek(0)
            pytest.fail(f"{wish['task']}: Node.js did not end in {seconds} s: {log.read()[-2000:]}")
        finally:
            _kill(process, str(out / "chromium"))
    return answer


def _kill(node: subprocess.Popen[str], profile: str) -> None:
    """End whatever is left; the browser leads a process group of its own."""
    left = [psutil.Process(node.pid)] if node.poll() is None else []
    for process in psutil.process_iter(["cmdline"]):
        if f"--user-data-dir={profile}" in (process.info["cmdline"] or ()):
            left.append(process)
    for process in list(left):
        with suppress(psutil.NoSuchProcess):
            left += process.children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait(timeout=GRACE_S)
    for stream in (node.stdin, node.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


@pytest.fixture
def drive(tools: Path, chromium: str, tmp_path: Path) -> Drive:
    """Do one of drive.mjs's tasks and return what it found."""

    def run(task: str, url: str, close: Callable[[], None] | None = None, **more: Any) -> Any:
        wish = {
            "task": task, "url": url, "tools": str(tools), "chromium": chromium,
            "out": str(tmp_path), "query": "", **more,
        }  # fmt: skip
        answer = run_drive(wish, LIMIT_S, close)
        assert "failed" not in answer, answer["failed"]
        assert answer["problems"] == []
        assert all(method == "GET" for method, _ in answer["asked"] if not _.startswith("blob:"))
        return answer["found"]

    return run


def clip_frames(count: int = FRAMES, clip: Path = CLIP) -> list[NDArray[np.uint8]]:
    """A clip's first frames, BGR; by default of the one that ships."""
    capture, frames = cv2.VideoCapture(str(clip)), []
    while len(frames) < count:
        is_there, frame = capture.read()
        if not is_there:
            break
        frames.append(np.asarray(frame, np.uint8))
    return frames


def write_y4m(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    """Write frames as the video that Chromium's fake camera plays."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path
