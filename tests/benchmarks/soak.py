"""Let each engine run for long: memory has to stand still, and time and masks too.

Not part of the test suite. Each bundle runs in a process of its own, over a clip that is played
to and fro. Judged are the resident memory after frame 500, the whole step at the end against the
same step in a process that has only just begun, and whether the same frames give the same masks at
the end as at the beginning. The old process and the new one take turns, so that what slows the
machine slows both; the medians of the run's two halves, which a machine that is not quite idle
moves too, are printed beside it.

Run ``python tests/benchmarks/soak.py out/bundles`` on a machine that does nothing else: it takes
every bundle in there that an engine here can run. Exits with 1 if one of them fails.
"""

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.clip import CAMERA_SIZE, Clip, draw_clip
from edge_vos.devices.bench.matrix import find_bundles
from edge_vos.devices.bench.ratio import paired_ratio
from edge_vos.devices.telemetry.memory import rss_bytes
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.model import open_bundle
from edge_vos.runtime.segmenter import Segmenter

SETTLED = 500
REPEATED = 200
"""Frames whose masks are compared."""

TURN = 30
"""Steps of a turn: the whole clip, there and back."""

TURNS = 60
"""Of the old process and of the new one, each."""

LARGEST_GROWTH_BYTES = 2_000_000
LARGEST_DRIFT = 0.03


def digest(segmenter: Segmenter, clip: Clip) -> str:
    """Follow the clip from its beginning and return a digest of all masks."""
    segmenter.reset()
    segmenter.prompt(clip.mask)
    found = hashlib.sha256()
    for frame in itertools.islice(clip.endless(), REPEATED):
        found.update(segmenter.step(frame).mask.tobytes())
    return found.hexdigest()


def work(path: Path, frames: int, objects: int, threads: int | None) -> Iterator[dict[str, Any]]:
    """Run one bundle, in this process: its frames, then a turn for each line of standard input.

    Args:
        path: the bundle.
        frames: to step through.
        objects: to follow.
        threads: of the engine; ``None`` is its own choice.

    Yields:
        The figures of the frames; milliseconds a step of each turn; whether the masks are the same.
    """
    cv2.setNumThreads(1)
    clip = draw_clip(CAMERA_SIZE, objects)
    model = open_bundle(path, threads=threads)
    segmenter = Segmenter(model)
    first = digest(segmenter, clip)
    segmenter.reset()
    segmenter.prompt(clip.mask)
    ms, resident = array("d", bytes(8 * frames)), array("q", bytes(8 * frames))
    endless = clip.endless()
    for index, frame in enumerate(itertools.islice(endless, frames)):
        start_s = time.perf_counter()
        segmenter.step(frame)
        ms[index] = (time.perf_counter() - start_s) * 1e3
        resident[index] = rss_bytes()
    yield summary(np.array(ms), np.array(resident)) | {
        "bundle": model.manifest.name,
        "engine": f"{model.engine} {model.engine_version}",
    }
    for _ in sys.stdin:
        start_s = time.perf_counter()
        for frame in itertools.islice(endless, TURN):
            segmenter.step(frame)
        yield {"step_ms": (time.perf_counter() - start_s) * 1e3 / TURN}
    yield {"same_masks": digest(segmenter, clip) == first}
    model.runner.close()


def summary(ms: NDArray[np.float64], resident: NDArray[np.int64]) -> dict[str, Any]:
    """Return the figures of a run: milliseconds and bytes of each frame in."""
    settled = min(SETTLED, len(ms) // 2)
    early, late = np.array_split(ms[settled:], 2)
    return {
        "frames": len(ms),
        "rss_mb": round(int(resident[settled]) / 1e6, 1),
        "rss_growth_mb": round(int(resident[settled:].max() - resident[settled]) / 1e6, 3),
        "p50_first_half_ms": round(float(np.median(early)), 3),
        "p50_second_half_ms": round(float(np.median(late)), 3),
        "p99_ms": round(float(np.percentile(ms[settled:], 99)), 3),
    }


class Worker:
    """A process that runs one bundle."""

    def __init__(self, path: Path, frames: int, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--only", str(path), "--frames", str(frames),
                   "--objects", str(options.objects)]  # fmt: skip
        command += [] if options.threads is None else ["--threads", str(options.threads)]
        self._path = path
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """End it, and close its pipes."""
        with self._process:
            self._process.kill()

    def answer(self) -> dict[str, Any]:
        """Wait for what it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EdgeVosError(f"The run of {self._path} failed")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def turn(self) -> float:
        """Take a turn and return its milliseconds a step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self.answer()["step_ms"])

    def end(self) -> dict[str, Any]:
        """Let it look at its masks again."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.answer()


def soak(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one bundle for long, then in turns with a process that has only just begun."""
    with closing(Worker(path, options.frames, options)) as old:
        found = old.answer()
        with closing(Worker(path, min(SETTLED, options.frames), options)) as new:
            new.answer()
            turns: dict[Worker, list[float]] = {old: [], new: []}
            for index in range(TURNS):
                for worker in (old, new) if index % 2 else (new, old):
                    turns[worker].append(worker.turn())
        ratio = paired_ratio(turns[old], turns[new], seed=0)
        return found | {"against_new": ratio.ratio, "interval": [ratio.low, ratio.high]} | old.end()


def passed(found: dict[str, Any]) -> bool:
    """Tell whether a run is as it has to be."""
    return bool(
        found["same_masks"]
        and found["rss_growth_mb"] * 1e6 <= LARGEST_GROWTH_BYTES
        and abs(found["against_new"] - 1) <= LARGEST_DRIFT
    )


def describe(found: dict[str, Any]) -> str:
    """Return a run's figures in words."""
    low, high = found["interval"]
    return (
        f"{found['engine']}, {found['bundle']}, {found['frames']} frames: {found['rss_mb']} MB "
        f"once settled and at most {found['rss_growth_mb']} MB more; a step at the end "
        f"{found['against_new']:.3f} times one of a new process ({low:.3f} to {high:.3f}); p50 of "
        f"the halves {found['p50_first_half_ms']} and {found['p50_second_half_ms']} ms, p99 "
        f"{found['p99_ms']} ms; the same masks: {'yes' if found['same_masks'] else 'NO'}: "
        f"{'passed' if passed(found) else 'FAILED'}"
    )


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="*", help="bundles, or folders of bundles")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the engine, not its own choice")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    runs = []
    try:
        if options.only:
            for said in work(options.only, options.frames, options.objects, options.threads):
                print(json.dumps(said), flush=True)
            return 0
        for path in find_bundles(options.bundles):
            runs.append(soak(path, options))
            if not options.json:
                print(describe(runs[-1]), flush=True)
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(runs, indent=2))
    return 0 if all(map(passed, runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
