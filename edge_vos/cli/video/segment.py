"""`edge-vos segment`: every frame of a source, masks and overlays out."""

from typing import Annotated

import typer

from edge_vos.cli.options import takes
from edge_vos.cli.video.options import VideoOptions
from edge_vos.errors import UsageError


@takes(VideoOptions)
def segment(
    options: VideoOptions,
    source: Annotated[
        str,
        typer.Argument(
            help="A video file, an animated picture, a folder of images, a glob, a camera (0, "
            "/dev/video0, csi://0, picamera2://0), a stream (rtsp://, http://, udp://) or "
            "synthetic://?objects=3."
        ),
    ],
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="[FRAME=]FILE",
            help="A frame's objects: a PNG of ids, colours or grey, LabelMe, COCO, CVAT, Label "
            "Studio or YOLO-seg. Alone it is the first frame's; repeated, for the frames of a "
            "folder that the files are named after.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Begin a file here: seconds, or HH:MM:SS, such as 1:02.5."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a run of several --mask that was stopped, same outputs."
        ),
    ] = False,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End a file here: seconds, or HH:MM:SS.")
    ] = None,
    learn_outlines: Annotated[
        bool | None,
        typer.Option(
            "--learn-outlines/--no-learn-outlines",
            help="Learn from --mask how outlines have to be moved: better masks, but slower.",
            show_default="with --mask",
        ),
    ] = None,
) -> None:
    """Segment every frame of a video, a folder of images or a synthetic scene.

    What to follow is shown in the first frame; a synthetic scene shows it by itself. Ctrl-C ends
    the run as the end of the video does: outputs are completed, and the exit code is 0.

    A mask teaches how outlines have to be moved. The first frame takes one or two seconds for each
    object then, and each one after it half as long again. --no-learn-outlines leaves that out, for
    speed, or where a mask is drawn too small.

    Several masks, for frames of a folder, are carried to all the others, from both sides; a mask
    is for the frame that it is named after, or for FRAME in --mask FRAME=FILE. A run that was
    stopped leaves what it found beside its first output; the same command with --resume goes on
    from there, and gives what a run without a stop gives.

    Examples: edge-vos segment clip.mp4 --box 210,80,160,240 -o overlay.mp4 -o masks/

    edge-vos segment clip.mp4 --start 1:05 --end 1:20 --box 210,80,160,240 -o matte:cup.mov

    edge-vos segment clip.mp4 --mask first.png --no-learn-outlines -o overlay.mp4

    edge-vos segment frames/ --mask 00000.png -o masks.jsonl --json

    edge-vos segment frames/ --mask 00000.png --mask 00120.png -o coco:labels.json

    edge-vos segment frames/ --mask annotations.xml -o yolo:dataset

    edge-vos segment clip.mp4 --point 320,240 --negative 40,40 --name cup -o green:cut-out.mkv

    edge-vos segment 'synthetic://?objects=5&frames=200' -o overlay.mkv
    """
    from edge_vos.cli.video.session import SessionRequest, run_session
    from edge_vos.cli.video.times import parse_time

    request = SessionRequest(
        source,
        options,
        masks=tuple(mask or ()),
        outputs=tuple(options.output or ()),
        start_s=0.0 if start is None else parse_time("--start", start),
        end_s=None if end is None else parse_time("--end", end),
        resume=resume,
        learn_outlines=learn_outlines,
    )
    if learn_outlines and not request.prompts.shows_masks:
        raise UsageError(
            "--learn-outlines without a mask",
            "an exact mask of the first frame",
            "Add --mask FILE, or leave --learn-outlines out",
        )
    run_session(request)
