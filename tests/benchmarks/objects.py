"""See what ten objects cost beside one: whole steps, from the camera's frame to the masks.

Not part of the test suite. One engine serves both; they take turns every few steps, so that what
slows the machine slows both. A round gives one ratio, and the interval is bootstrapped over the
rounds.

With ``--live`` a turn is a few seconds of the whole way from a camera to the screen, painted and
recorded: a clip with ten objects plays a fast camera, and one of them or all of them
are followed. What counts is the time from output to output.

Run ``python tests/benchmarks/objects.py [BUNDLE ...]``; without a bundle it takes the one that
ships. ONNX Runtime computes the objects in use, so that one costs less there; other engines compute
ten in any case.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import shipped_bundle_path
from edge_vos.devices.bench.clip import CAMERA_SIZE, draw_clip
from edge_vos.devices.bench.live import LiveRequest, measure_live, open_live
from edge_vos.devices.bench.measurement import Length
from edge_vos.devices.bench.ratio import Ratio, paired_ratio
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.recording import Recording
from edge_vos.runtime.sources.opening import open_source

FEW, MANY = 1, 10
STEPS = 5  # a turn; memory is written every five
WARMUP_TURNS = 8
LIVE_S, LIVE_FPS = 4.0, 120  # more than what is measured, so that it never waits

Turn = Callable[[], float]


def stepping(model: LoadedModel, objects: int) -> Turn:
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


def record_scene(path: Path) -> NDArray[np.uint8]:
    """Record a scene with all objects, long enough for a turn, and return its first mask."""
    height, width = CAMERA_SIZE
    frames = int(3 * LIVE_S * LIVE_FPS)
    uri = f"synthetic://?size={height}x{width}&objects={MANY}&fps={LIVE_FPS}&frames={frames}"
    with open_source(uri) as source:
        drawn = iter(source)
        first = next(drawn)
        assert first.truth is not None
        recording = Recording(path, LIVE_FPS, CAMERA_SIZE, lambda frame, _: frame.image)
        nothing = FrameResult(first.truth, np.empty(0, np.float32), (), {}, 0)
        for frame in (first, *drawn):
            recording.write(frame, nothing)
        recording.close()
    return first.truth


def living(model: LoadedModel, scene: Path, mask: NDArray[np.uint8], objects: int) -> Turn:
    """Return what runs live for a turn and tells its milliseconds from output to output."""
    followed = np.where(mask <= objects, mask, 0).astype(np.uint8)
    request = LiveRequest(str(scene), True, lambda segmenter, _: segmenter.prompt(followed))

    def turn() -> float:
        found = measure_live(model, open_live(request), request, Length(None, LIVE_S))
        return found.duration_s * 1e3 / found.samples

    return turn


def measure(few: Turn, many: Turn, seconds: float) -> tuple[Ratio, float, float]:
    """Return the ratio of many objects to few, and the median milliseconds of both."""
    few_ms: list[float] = []
    many_ms: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pair = ((few, few_ms), (many, many_ms))
        for turn, taken_ms in pair if len(few_ms) % 2 else reversed(pair):
            taken_ms.append(turn())
    ratio = paired_ratio(many_ms, few_ms, seed=0)
    return ratio, statistics.median(few_ms), statistics.median(many_ms)


def main() -> None:
    """Measure each bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="*", metavar="BUNDLE")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--live", action="store_true", help="from a camera to the screen")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # as edge-vos live and bench do
    try:
        with tempfile.TemporaryDirectory() as folder:
            scene = Path(folder, "scene.mkv")
            mask = record_scene(scene) if options.live else None
            for path in options.bundles or [shipped_bundle_path()]:
                model = open_bundle(path, threads=options.threads)
                few, many = (
                    stepping(model, objects)
                    if mask is None
                    else living(model, scene, mask, objects)
                    for objects in (FEW, MANY)
                )
                ratio, few_ms, many_ms = measure(few, many, options.seconds)
                model.runner.close()
                print(
                    f"{path.name}: {few_ms:.1f} ms with one object, {many_ms:.1f} with ten, "
                    f"{ratio.ratio:.3f} times ({ratio.low:.3f} to {ratio.high:.3f})",
                    flush=True,
                )
    except EdgeVosError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
