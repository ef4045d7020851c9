"""The options that `segment` and `live` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import (
    EngineOption,
    JsonOption,
    OverwriteOption,
    ThreadsOption,
)
from edge_vos.cli.video.prompts import PromptOptions


@dataclass(frozen=True)
class VideoOptions(PromptOptions):
    """Say what to follow, with which model, and how, as it was typed."""

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
