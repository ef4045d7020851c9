"""`edge-vos live`: the newest frame of a camera, segmented on screen."""

from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import (
    BoxOption,
    EngineOption,
    FramesOption,
    JsonOption,
    MaskOption,
    ModelOption,
    OverwriteOption,
    PointOption,
    ThreadsOption,
)
from edge_vos.errors import UsageError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi")


def live(
    source: Annotated[
        str, typer.Argument(help="A camera (0, /dev/video0), a file or synthetic://.")
    ] = "0",
    headless: Annotated[bool, typer.Option("--headless", help="Open no window.")] = False,
    frames: FramesOption = None,
    record: Annotated[
        Path | None, typer.Option(help="Record the overlay: clip.mkv, clip.mp4 or clip.avi.")
    ] = None,
    mask: MaskOption = None,
    box: BoxOption = None,
    point: PointOption = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    threads: ThreadsOption = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="URI",
            help="More outputs: clip.mp4|mkv|avi, a folder, masks.jsonl or none; repeat.",
        ),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Play a file or a folder again at its end.")
    ] = False,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
) -> None:
    """Segment the newest frame of a camera: drag a box around an object in the window.

    A file or a synthetic scene plays the camera, at its own rate; a synthetic scene prompts
    itself. Keys: h help, n next object, r reset, space pause, s snapshot, q quit. Ctrl-C ends the
    run in good order: recordings are completed, and the exit code is 0.

    Examples: edge-vos live

    edge-vos live /dev/video2 --record out.mkv

    edge-vos live synthetic:// --headless --frames 300 --json
    """
    if record is not None and record.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"--record {record} is not a video", f"one of {', '.join(VIDEO_SUFFIXES)}")
    from edge_vos.cli.prompts import Prompts
    from edge_vos.cli.session import SessionRequest, run_session

    window = () if headless else ("window",)
    recording = () if record is None else (str(record),)
    run_session(
        SessionRequest(
            source=source,
            prompts=Prompts(mask, tuple(box or ()), tuple(point or ())),
            outputs=(*window, *recording, *(output or ())),
            model=model,
            engine=engine,
            threads=threads,
            frames=frames,
            overwrite=overwrite,
            live=True,
            # Like a camera it goes on until it is told to stop, unless `frames` are asked for.
            loop=loop or source.startswith("synthetic://"),
            json_output=json_output,
        )
    )
