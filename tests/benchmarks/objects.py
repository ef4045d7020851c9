"""See what ten objects cost beside one: whole steps, from the camera's frame to the masks.

Not part of the test suite. One engine serves both; they take turns every few steps, so that what
slows the machine slows both. A round gives one ratio, and the interval is bootstrapped over the
rounds.

Run ``python tests/benchmarks/objects.py [BUNDLE ...]``; without a bundle it takes the one that
ships. Exits with 1 where ten objects cost more than 1.1 times one.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from edge_vos.bundle import default_bundle_path
from edge_vos.devices.clip import CAMERA_SIZE, draw_clip
from edge_vos.devices.ratio import Ratio, paired_ratio
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter

FEW, MANY = 1, 10
STEPS = 5  # a turn; memory is written every five
WARMUP_TURNS = 8
LARGEST = 1.1


def turns(model: LoadedModel, objects: int) -> Callable[[], float]:
    """Return what takes a turn and tells its milliseconds a step."""
    clip = draw_clip(CAMERA_SIZE, objects)
    segmenter, frames = Segmenter(model), clip.endless()
    segmenter.prompt(clip.mask)

    def turn() -> float:
        start_s = time.perf_counter()
        for _ in range(STEPS):
            segmenter.step(next(frames))
        return (time.perf_counter() - start_s) * 1e3 / STEPS

    for _ in range(WARMUP_TURNS):
        turn()
    return turn


def measure(path: Path, threads: int | None, seconds: float) -> tuple[Ratio, float, float]:
    """Return the ratio of ten objects to one, and the median milliseconds of both."""
    model = open_bundle(path, threads=threads)
    few, many = turns(model, FEW), turns(model, MANY)
    few_ms: list[float] = []
    many_ms: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pair = ((few, few_ms), (many, many_ms))
        for turn, taken_ms in pair if len(few_ms) % 2 else reversed(pair):
            taken_ms.append(turn())
    model.runner.close()
    ratio = paired_ratio(many_ms, few_ms, seed=0)
    return ratio, statistics.median(few_ms), statistics.median(many_ms)


def main() -> None:
    """Measure each bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="*", metavar="BUNDLE")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # as edge-vos live and bench do
    passed = True
    try:
        for path in options.bundles or [default_bundle_path()]:
            ratio, few_ms, many_ms = measure(path, options.threads, options.seconds)
            passed &= ratio.ratio <= LARGEST
            print(
                f"{path.name}: {few_ms:.1f} ms with one object, {many_ms:.1f} with ten, "
                f"{ratio.ratio:.3f} times ({ratio.low:.3f} to {ratio.high:.3f})",
                flush=True,
            )
    except EdgeVosError as error:
        sys.exit(str(error))
    sys.exit(not passed)


if __name__ == "__main__":
    main()
