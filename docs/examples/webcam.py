"""Follow an object of a camera, on screen and in a recording.

Drag a box around it in the window and press Enter; q ends the run. With --box there is no window:
the box is around the object in the first frame.
"""

import argparse
import sys

from edge_vos import (
    Controls,
    EdgeVosError,
    Frame,
    FrameResult,
    RunOptions,
    Segmenter,
    open_bundle,
    open_sinks,
    open_source,
    segment,
)


def tell(frame: Frame, result: FrameResult) -> None:
    """Print where each object is, now and then."""
    if result.frame_index % 30 == 0:
        for state in result.objects:
            where = "lost" if state.lost else f"{state.confidence:.0%} at {state.box_xywh}"
            print(f"{frame.timestamp_s:6.2f} s  {state.name or state.id}: {where}")


def main() -> None:
    """Follow the object until the source ends or somebody presses q."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="0", help="0, /dev/video1, rtsp://, clip.mp4")
    parser.add_argument("--box", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"))
    parser.add_argument("--record", default="webcam.mkv", help="a new .mkv, .mp4 or .avi")
    options = parser.parse_args()

    segmenter = Segmenter(open_bundle())  # the bundle that ships
    segmenter.name_next(["cup"])  # whatever is prompted first
    source = open_source(options.source)
    if options.box:
        segmenter.prompt_box(tuple(options.box))
    outputs = [options.record] if options.box else ["window", options.record]
    controls = Controls()  # carries prompts and keys from the window to the run
    sinks = open_sinks(outputs, source.fps, source.size, controls=controls, inputs=source.files)
    live = RunOptions(live=True, interactive="window" in outputs)
    report = segment(source, segmenter, sinks, live, controls, observe=tell)
    print(f"{report.frames} frames, {report.dropped} left out, {report.fps:.1f} a second")
    if report.lost is not None:
        raise report.lost


if __name__ == "__main__":
    try:
        main()
    except EdgeVosError as error:
        sys.exit(str(error))
