"""The page as `edge-vos web` writes it, a server for it, and Chromium to open it."""

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
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

Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with the npm packages."""
    for name in ("@litertjs/core", "puppeteer-core", "typescript"):
        if not (TOOLS / "node_modules" / name).is_dir():
            pytest.skip(f"no npm package {name}: make web-tools")
    if shutil.which("node") is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    return TOOLS


@pytest.fixture(scope="session")
def chromium(tools: Path) -> str:
    """The browser."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def convert() -> Callable[[str, tuple[int, int]], Bundle]:
    """Convert the shipped student for the page, once for each state of its weights."""
    from edge_vos.converters.convert import Conversion, Options
    from edge_vos.converters.recipe import choose_all
    from edge_vos.engines import ENGINES
    from edge_vos.model.checkpoint import default_weights_path

    try:
        ENGINES["litert"].require_packages()
    except EngineError as error:
        pytest.skip(str(error))
    weights = default_weights_path()
    state = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    conversion = Conversion(Options(weights=weights, frames=8, overwrite=True))

    def make(precision: str, size: tuple[int, int]) -> Bundle:
        (recipe,) = choose_all(("android",), (), (precision,), sampler="auto", size=size)
        path = CONVERTED / state / recipe.file_name
        if not path.exists():
            conversion.convert(recipe, path)
        return read_bundle(path)

    return make


@pytest.fixture(scope="session")
def wide(convert: Callable[[str, tuple[int, int]], Bundle]) -> Bundle:
    """For a phone on its side, in 8 bits."""
    return convert("int8", WIDE)


@pytest.fixture(scope="session")
def tall(convert: Callable[[str, tuple[int, int]], Bundle]) -> Bundle:
    """For a phone that is held upright; in 8 bits the shipped weights miss this size's limit."""
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


@pytest.fixture
def drive(tools: Path, chromium: str, tmp_path: Path) -> Drive:
    """Do one of drive.mjs's tasks and return what it found."""

    def run(task: str, url: str, close: Callable[[], None] | None = None, **more: Any) -> Any:
        wish = {
            "task": task, "url": url, "tools": str(tools), "chromium": chromium,
            "out": str(tmp_path), "query": "", **more,
        }  # fmt: skip
        command = ["node", str(Path(__file__).with_name("drive.mjs")), json.dumps(wish)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            line = process.stdout.readline()
            if close is not None and line == "close\n":
                close()
                process.stdin.write("closed\n")
                process.stdin.flush()
                line = process.stdout.readline()
        answer = json.loads(line)
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
