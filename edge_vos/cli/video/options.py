"""The options that `segment` and `live` share."""

from dataclasses import dataclass
from typing import Annotated

import typer

from edge_vos.cli.options import (
    EngineOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    ThreadsOption,
)
from edge_vos.cli.video.prompts import PromptOptions


@dataclass(frozen=True)
class VideoOptions(PromptOptions):
    """Say what to follow, with which model, and how, as it was typed."""

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
            "one, a folder (palette PNGs), masks.jsonl, session.rrd (Rerun), "
            "coco:|ytvis:FILE.json, mots:FILE.txt, cvat:FILE.xml, yolo:|labelme:FOLDER, "
            "vcam: (a camera for other programs; vcam:blur), window or none; repeat.",
        ),
    ] = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None
    reconnect: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Try so long to get a lost camera back."),
    ] = 60.0
    overwrite: OverwriteOption = False
    json_output: JsonOption = False
