"""The options that `segment` and `live` share."""

from dataclasses import dataclass
from typing import Annotated

import typer

from edge_vos.cli.options import (
    BoxOption,
    EngineOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    ThreadsOption,
)


@dataclass(frozen=True)
class VideoOptions:
    """Say what to follow, with which model, and how, as it was typed."""

    box: BoxOption = None
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A point on an object, or several: X,Y,X,Y; repeat."),
    ] = None
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A point on none of these objects; repeat."),
    ] = None
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="What an object is called, in the order of the mask's ids, the boxes and the "
            "points; repeat."
        ),
    ] = None
    model: ModelOption = None
    size: Annotated[
        str | None,
        typer.Option(metavar="fast|quality", help="Which shipped bundle: 240x432 or 352x640."),
    ] = None
    engine: EngineOption = None
    threads: ThreadsOption = None
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="URI",
            help="clip.mkv|mp4|mov|webm|avi, matte:|green:|blur: before one, ?codec=av1 after "
            "one, a folder (palette PNGs), masks.jsonl, coco:|ytvis:FILE.json, mots:FILE.txt, "
            "cvat:FILE.xml, yolo:|labelme:FOLDER, vcam: (a camera for other programs; vcam:blur), "
            "window or none; repeat.",
        ),
    ] = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None
    reconnect: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Try so long to get a lost camera back."),
    ] = 60.0
    overwrite: OverwriteOption = False
    json_output: JsonOption = False
