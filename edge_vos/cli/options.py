"""Options that several commands take, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The first frame's objects: a PNG of ids, colours or grey, LabelMe, COCO, CVAT, "
        "Label Studio or YOLO-seg.",
    ),
]
MasksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="[FRAME=]FILE",
        help="A frame's objects: a PNG of ids, colours or grey, LabelMe, COCO, CVAT, Label Studio "
        "or YOLO-seg. Alone it is the first frame's; repeated, for the frames of a folder that "
        "the files are named after.",
    ),
]
BoxOption = Annotated[
    list[str] | None, typer.Option(metavar="X,Y,W,H", help="A box around an object; repeat.")
]
PointOption = Annotated[
    list[str] | None,
    typer.Option(metavar="X,Y", help="A point on an object, or several: X,Y,X,Y; repeat."),
]
NegativeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="X,Y", help="A point on none of these objects; repeat."),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        help="What an object is called, in the order of the mask's ids, the boxes and the points; "
        "repeat."
    ),
]
ReconnectOption = Annotated[
    float, typer.Option(min=0.0, metavar="SECONDS", help="Try so long to get a lost camera back.")
]
ModelOption = Annotated[Path | None, typer.Option(help="A bundle; the shipped one by default.")]
SizeOption = Annotated[
    str | None,
    typer.Option(metavar="fast|quality", help="Which shipped bundle: 240x432 or 352x640."),
]
EngineOption = Annotated[str | None, typer.Option(help="The engine; the bundle's by default.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of the engine.")]
StartOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Begin a file here: seconds, or HH:MM:SS, such as 1:02.5."),
]
EndOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="End a file here: seconds, or HH:MM:SS.")
]
FramesOption = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
OverwriteOption = Annotated[bool, typer.Option(help="Replace outputs that exist.")]
