"""The options that `segment` and `live` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import (
    BoxOption,
    EngineOption,
    JsonOption,
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
    model: Annotated[Path | None, typer.Option(help="A bundle; the shipped one by default.")] = None
    size: Annotated[
        str | None,
        typer.Option(metavar="fast|quality", help="Which shipped bundle: 240x432 or 352x640."),
    ] = None
    engine: EngineOption = None
    threads: ThreadsOption = None
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None
    reconnect: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Try so long to get a lost camera back."),
    ] = 60.0
    overwrite: OverwriteOption = False
    json_output: JsonOption = False
