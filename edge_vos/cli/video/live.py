"""`edge-vos live`: the newest frame of a camera, segmented on screen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from edge_vos.cli.options import MaskOption, PortOption, takes
from edge_vos.cli.video.options import VideoOptions
from edge_vos.errors import UsageError

VIDEO_SUFFIXES = (".mkv", ".mp4", ".mov", ".webm", ".avi")
LEAST_PORT = 1024
"""A smaller number behind ``--serve`` is the next argument: a camera."""


class LiveCommand(TyperCommand):
    """Let ``--serve`` take the page's port: ``--serve 9000`` is ``--serve --port 9000``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, spelled out."""
        return super().parse_args(ctx, list(_spelled_out(args)))


def _spelled_out(args: list[str]) -> Iterator[str]:
    for before, word in zip(["", *args], args, strict=False):
        option, _, port = word.partition("=")
        if option == "--serve" and port:
            yield from ("--serve", "--port", port)
        elif before == "--serve" and word.isdecimal() and int(word) >= LEAST_PORT:
            yield from ("--port", word)
        else:
            yield word


@takes(VideoOptions)
def live(
    options: VideoOptions,
    source: Annotated[
        str,
        typer.Argument(
            help="A camera (0, '/dev/video0?width=1280&height=720', csi://0, picamera2://0), "
            "a stream (rtsp://, http://, udp://), a file or synthetic://."
        ),
    ] = "0",
    headless: Annotated[bool, typer.Option("--headless", help="Open no window.")] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Show a page in the browser instead of a window; a port may follow."
        ),
    ] = False,
    port: PortOption = 8080,
    host: Annotated[
        str, typer.Option(help="The page's address; 0.0.0.0 lets other machines see it.")
    ] = "127.0.0.1",
    record: Annotated[
        Path | None,
        typer.Option(help="Record the overlay: clip.mkv (crash-safe), .mp4, .mov, .webm or .avi."),
    ] = None,
    mask: MaskOption = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Play a file or a folder again at its end.")
    ] = False,
) -> None:
    """Segment the newest frame of a camera: drag a box around an object in the window.

    The mask is shown first: Enter follows it, a click adds to it, a right click takes away, u
    undoes, Esc leaves it. Keys: h help, n next object, d drop, r reset, space pause, v record, s
    snapshot, q quit. --serve shows the same on a page in the browser, to who has its address.

    Without --size it takes the largest of the shipped sizes that keeps up with the camera, and says
    which and why.

    --name NAME, repeated, names what is prompted, in turn, in the window too. A file or a
    synthetic scene plays the camera, at its own rate; a synthetic scene prompts itself. A lost
    camera is waited for. Ctrl-C ends the run in good order: recordings are completed, and the
    exit code is 0.

    Examples: edge-vos live

    edge-vos live '/dev/video2?width=1280&height=720&format=MJPG' --record out.mkv

    edge-vos live rtsp://camera/stream --serve

    edge-vos live -o vcam:blur

    edge-vos live synthetic:// --headless --frames 300 --json
    """
    if record is not None and record.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"--record {record} is not a video", f"one of {', '.join(VIDEO_SUFFIXES)}")
    from edge_vos.cli.video.session import SessionRequest, run_session

    shown = (f"serve://{host}:{port}",) if serve else () if headless else ("window",)
    recording = () if record is None else (str(record),)
    run_session(
        SessionRequest(
            source,
            options,
            masks=() if mask is None else (str(mask),),
            outputs=(*shown, *recording, *(options.output or ())),
            live=True,
            # Like a camera it goes on until it is told to stop, unless `frames` are asked for.
            loop=loop or source.startswith("synthetic://"),
        )
    )
