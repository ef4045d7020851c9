"""Steer towards an object: a control loop at its own rate, beside the segmentation.

The camera's newest frame is segmented in a thread of its own. The loop never waits for it: it acts
on the last sighting, turns on the spot while the object is lost, and stands still when the sighting
is too old, such as while a camera is away.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edge_vos import (
    Controls,
    EdgeVosError,
    Frame,
    FrameResult,
    ObjectState,
    RunOptions,
    Segmenter,
    open_bundle,
    open_source,
    segment,
)

TARGET = "target"
PERIOD_S = 1 / 20  # of the control loop
OLDEST_S = 0.5  # a sighting that is older is no reason to move
STEP_BUDGET_MS = 100.0
LEAST_CONFIDENCE = 0.6


@dataclass(frozen=True)
class Sighting:
    """Hold what was seen of the target: when, and where in a frame of which width."""

    captured_s: float
    width: int
    target: ObjectState


@dataclass(frozen=True)
class Command:
    """Say how to move: turn in [-1, 1], left is negative, and speed in [0, 1]."""

    turn: float = 0.0
    speed: float = 0.0


class Eyes:
    """Keep the newest sighting; written by the run's thread, read by the loop's."""

    def __init__(self) -> None:
        self.newest: Sighting | None = None
        self.slow_steps = 0

    def see(self, frame: Frame, result: FrameResult) -> None:
        """Take a frame's result."""
        target = next(state for state in result.objects if state.name == TARGET)
        self.newest = Sighting(frame.captured_s, frame.image.shape[1], target)
        self.slow_steps += sum(result.timings_ms.values()) > STEP_BUDGET_MS


def decide(sighting: Sighting | None, now_s: float) -> Command:
    """Turn a sighting into a command."""
    if sighting is None or now_s - sighting.captured_s > OLDEST_S:
        return Command()
    if sighting.target.lost:
        return Command(turn=0.3)  # look around for it
    left, _, width, _ = sighting.target.box_xywh
    turn = 2 * (left + width / 2) / sighting.width - 1
    sure = sighting.target.confidence >= LEAST_CONFIDENCE
    return Command(turn, speed=1 - abs(turn) if sure else 0.0)


def drive(command: Command) -> None:
    """Send a command to the wheels; put your robot here."""
    print(f"turn {command.turn:+.2f}  speed {command.speed:.2f}", flush=True)


def main() -> None:
    """Steer until the source ends, is lost, or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="0", help="0, csi://0, rtsp://, synthetic://")
    parser.add_argument("--box", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"))
    given = parser.parse_args()

    segmenter = Segmenter(open_bundle())
    segmenter.name_next([TARGET])
    source = open_source(given.source, reconnect_s=10.0, notice=print)
    exact = source.has_truth and not given.box  # a synthetic scene shows its objects by itself
    if not exact:
        height, width = source.size
        middle = (width // 4, height // 4, width // 2, height // 2)
        segmenter.prompt_box(tuple(given.box or middle))
    eyes, controls = Eyes(), Controls()
    options = RunOptions(live=True, prompt_from_truth=exact)
    with ThreadPoolExecutor(max_workers=1) as pool:
        seeing = pool.submit(segment, source, segmenter, (), options, controls, eyes.see)
        try:
            due_s = time.perf_counter()
            while not seeing.done():
                drive(decide(eyes.newest, time.perf_counter()))
                due_s = max(due_s + PERIOD_S, time.perf_counter())  # late: no burst after it
                time.sleep(max(0.0, due_s - time.perf_counter()))
        except KeyboardInterrupt:
            pass  # the run ends in good order below
        finally:
            drive(Command())  # whatever happened: stand still
            controls.stop.set()
        report = seeing.result()  # raises what the run raised
    print(f"{report.frames} frames, {eyes.slow_steps} over {STEP_BUDGET_MS:.0f} ms")
    if report.lost is not None:  # SourceLost: the camera did not come back
        raise report.lost


if __name__ == "__main__":
    try:
        main()
    except EdgeVosError as error:
        sys.exit(str(error))
