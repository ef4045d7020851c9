"""Measure the page in headless Chromium: its step beside a native one, and its memory over time.

Not part of the test suite; needs `make web-tools`, Chromium and the `convert-litert` extra.

`--turns N` lets the page, on one thread, and LiteRT on this machine, with one thread, take turns of
24 whole steps of the same 8-bit bundle. `--minutes M` plays the sample clip with one object and
looks every ten seconds at the memory of the whole browser, of the engine and of the page's own
JavaScript; the worker's is in the browser's. After the first fifth none may go on growing: ten
minutes are enough to say so, for the first one and a half fill up. Exits with 1 where one does, or
where the page takes more than 3.5 times as long.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import cv2
import psutil

from edge_vos.bundle import Bundle, read_bundle
from edge_vos.converters.convert import Conversion, Options, prompt_head_beside
from edge_vos.converters.recipe import choose_all
from edge_vos.devices.bench.clip import CAMERA_SIZE, draw_clip
from edge_vos.model.checkpoint import default_weights_path
from edge_vos.runtime.model import open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.web.package import engine_files
from edge_vos.runtime.web.serve import SiteServer
from edge_vos.runtime.web.site import write_site

REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / "build" / "web"
DRIVE = REPOSITORY / "tests/runtime/web/drive.mjs"
SIZE = (240, 432)
STEPS = 24
MOST_TIMES = 3.5
MOST_GROWTH = 0.05
"""Of the memory between the second fifth of the time and the last."""

BOX = [[0.18, 0.07], [0.52, 0.87]]
"""Around the sample clip's object, in parts of the picture."""


def convert(folder: Path) -> Bundle:
    """Convert the shipped student for the page, in 8 bits."""
    weights = default_weights_path()
    (recipe,) = choose_all(("android",), (), ("int8",), sampler="auto", size=SIZE)
    path = folder / recipe.file_name
    options = Options(weights, frames=8, prompt_head=prompt_head_beside(weights))
    Conversion(options).convert(recipe, path)
    return read_bundle(path)


def drive(task: str, url: str, out: Path, limit_s: float, **more: Any) -> subprocess.Popen[str]:
    """Open the page and do one of drive.mjs's tasks."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium")
    wish = {"task": task, "url": url, "tools": str(TOOLS), "chromium": chromium, **more}
    command = ["node", str(DRIVE), json.dumps({**wish, "out": str(out), "limit": limit_s})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> Any:
    """Wait for what a task found."""
    found = json.loads(process.communicate()[0])
    if "failed" in found:
        sys.exit(found["failed"])
    return found["found"]


def native_ms(bundle: Bundle) -> float:
    """Return the median of whole steps with LiteRT on one thread."""
    cv2.setNumThreads(1)
    clip = draw_clip(CAMERA_SIZE, 1)
    segmenter = Segmenter(open_bundle(bundle.path, threads=1), zoom=False)
    segmenter.prompt(clip.mask)
    taken = []
    for frame, _ in zip(clip.endless(), range(STEPS), strict=False):
        began = time.perf_counter()
        segmenter.step(frame)
        taken.append(1e3 * (time.perf_counter() - began))
    return median(taken)


def take_turns(bundle: Bundle, url: str, out: Path, turns: int) -> bool:
    """Compare the page's step with a native one."""
    ratios = []
    for _ in range(turns):
        here = native_ms(bundle)
        found = answer(drive("builds", url, out, 120, builds=["single"]))["single"]["golden"]
        page = median(found["steps"])
        ratios.append(page / here)
        print(f"page {page:.1f} ms, native {here:.1f} ms: {ratios[-1]:.2f} times", flush=True)
    print(f"a step on one thread takes {median(ratios):.2f} times as long (at most {MOST_TIMES})")
    return median(ratios) <= MOST_TIMES


def watch(url: str, out: Path, minutes: float) -> bool:
    """Follow an object for long, and look at the memory."""
    process = drive("soak", url, out, 60 * minutes + 120, seconds=60 * minutes, box=BOX)
    resident: list[tuple[float, int]] = []
    is_over = Event()

    def sample() -> None:
        began = time.monotonic()
        while not is_over.wait(10):
            children = psutil.Process(process.pid).children(recursive=True)
            # Pages that several processes share count once.
            sizes = [child.memory_full_info().pss for child in children]
            resident.append((time.monotonic() - began, sum(sizes)))

    Thread(target=sample, daemon=True).start()
    found = answer(process)
    is_over.set()
    series = {
        "browser": resident,
        "engine": [(one["seconds"], one["engine"]) for one in found],
        "JavaScript": [(one["seconds"], one["heap"]) for one in found],
    }
    is_level = True
    for name, values in series.items():
        last = values[-1][0]
        early = [size for at, size in values if 0.2 * last <= at < 0.4 * last]
        late = [size for at, size in values if at >= 0.8 * last]
        growth = median(late) / median(early) - 1
        is_level = is_level and growth <= MOST_GROWTH
        ends = f"{median(early) / 1e6:.1f} MB, then {median(late) / 1e6:.1f} MB"
        print(f"{name}: {ends} ({100 * growth:+.1f} %)", flush=True)
    print(f"{found[-1]['steps']} steps in {minutes:g} minutes")
    return is_level


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    asked = parser.parse_args()
    holds = []
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        bundle = convert(out)
        write_site(out / "site", (bundle,), engine_files(TOOLS))
        with SiteServer(out / "site", 0) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            if asked.turns:
                holds.append(take_turns(bundle, server.address, out, asked.turns))
            if asked.minutes:
                holds.append(watch(server.address, out, asked.minutes))
            server.shutdown()
    sys.exit(0 if all(holds) else 1)


if __name__ == "__main__":
    main()
