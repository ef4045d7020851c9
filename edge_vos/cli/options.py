"""Options that several commands take, each declared once."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

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
BoxOption = Annotated[
    list[str] | None, typer.Option(metavar="X,Y,W,H", help="A box around an object; repeat.")
]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(help="Bundle folder or zip.", show_default="the bundle that ships"),
]
ModelOption = Annotated[
    Path | None, typer.Option(help="A bundle's folder or zip; the shipped one by default.")
]
EngineOption = Annotated[str | None, typer.Option(help="The engine; the bundle's by default.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of the engine.")]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="fast|quality|HxW",
        help="A shipped size, 240x432 or 352x640, or the one that a bundle or --weights is run at.",
    ),
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="The page's port; 0 is any free one.")
]
SequencesOption = Annotated[
    str | None, typer.Option(metavar="A,B|FILE", help="Only these; a file has one a line.")
]
OverwriteOption = Annotated[bool, typer.Option(help="Replace outputs that exist.")]


def takes(options: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take a dataclass's fields as options, and get them as ``options``.

    Args:
        options: every field is annotated for typer and has a default.
    """
    hints = get_type_hints(options, include_extras=True)
    names = [field.name for field in fields(options)]
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        every = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for before in own
            for parameter in (shared if before.name == "options" else [before])
        ]

        @wraps(command)
        def gathered(**given: Any) -> None:
            command(options=options(**{name: given.pop(name) for name in names}), **given)

        gathered.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        gathered.__annotations__ = {each.name: each.annotation for each in every}
        return gathered

    return decorate
