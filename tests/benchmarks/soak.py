"""Let each engine run for long: memory has to stand still, and time and masks too.

Not part of the test suite. Each bundle runs in a process of its own, over a clip that is played
to and fro. Judged are the resident memory after frame 500, the median step of the second half
against the first, and whether the same frames give the same masks at the end as at the beginning.

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
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.clip import Clip, draw_clip
from edge_vos.devices.matrix import find_bundles
from edge_vos.devices.telemetry import rss_bytes
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.model import open_bundle
from edge_vos.runtime.segmenter import Segmenter

CAMERA_SIZE = (480, 640)
SETTLED = 500
REPEATED = 200
"""Frames whose masks are compared."""

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


def soak(path: Path, frames: int, objects: int, threads: int | None) -> dict[str, Any]:
    """Run one bundle, in this process.

    Args:
        path: the bundle.
        frames: to step through.
        objects: to follow.
        threads: of the engine; ``None`` is its own choice.
    """
    cv2.setNumThreads(1)
    clip = draw_clip(CAMERA_SIZE, objects)
    model = open_bundle(path, threads=threads)
    segmenter = Segmenter(model)
    first = digest(segmenter, clip)
    segmenter.reset()
    segmenter.prompt(clip.mask)
    ms, resident = array("d", bytes(8 * frames)), array("q", bytes(8 * frames))
    for index, frame in enumerate(itertools.islice(clip.endless(), frames)):
        start_s = time.perf_counter()
        segmenter.step(frame)
        ms[index] = (time.perf_counter() - start_s) * 1e3
        resident[index] = rss_bytes()
    same = digest(segmenter, clip) == first
    model.runner.close()
    return judge(np.array(ms), np.array(resident)) | {
        "bundle": model.manifest.name,
        "engine": f"{model.engine} {model.engine_version}",
        "same_masks": same,
    }


def judge(ms: NDArray[np.float64], resident: NDArray[np.int64]) -> dict[str, Any]:
    """Return the figures of a run: milliseconds and bytes of each frame in, a summary out."""
    settled = min(SETTLED, len(ms) // 2)
    early, late = np.array_split(ms[settled:], 2)
    return {
        "frames": len(ms),
        "rss_mb": round(int(resident[settled]) / 1e6, 1),
        "rss_growth_mb": round(int(resident[settled:].max() - resident[settled]) / 1e6, 3),
        "p50_first_half_ms": round(float(np.median(early)), 3),
        "p50_second_half_ms": round(float(np.median(late)), 3),
        "p50_drift": round(float(np.median(late) / np.median(early)) - 1, 4),
        "p99_ms": round(float(np.percentile(ms[settled:], 99)), 3),
    }


def passed(found: dict[str, Any]) -> bool:
    """Tell whether a run is as it has to be."""
    return bool(
        found["same_masks"]
        and found["rss_growth_mb"] * 1e6 <= LARGEST_GROWTH_BYTES
        and abs(found["p50_drift"]) <= LARGEST_DRIFT
    )


def describe(found: dict[str, Any]) -> str:
    """Return a run's figures in words."""
    return (
        f"{found['engine']}, {found['bundle']}, {found['frames']} frames: {found['rss_mb']} MB "
        f"once settled and at most {found['rss_growth_mb']} MB more; p50 "
        f"{found['p50_first_half_ms']} ms, then {found['p50_second_half_ms']} ms "
        f"({100 * found['p50_drift']:+.1f} %), p99 {found['p99_ms']} ms; the same masks: "
        f"{'yes' if found['same_masks'] else 'NO'}: {'passed' if passed(found) else 'FAILED'}"
    )


def soak_apart(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one bundle in another process, which takes its memory along."""
    command = [sys.executable, __file__, "--only", str(path), "--frames", str(options.frames),
               "--objects", str(options.objects)]  # fmt: skip
    command += [] if options.threads is None else ["--threads", str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EdgeVosError(f"The run of {path} failed")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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
    try:
        if options.only:
            print(json.dumps(soak(options.only, options.frames, options.objects, options.threads)))
            return 0
        runs = [soak_apart(path, options) for path in find_bundles(options.bundles)]
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(runs, indent=2))
    else:
        for run in runs:
            print(describe(run))
    return 0 if all(map(passed, runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
