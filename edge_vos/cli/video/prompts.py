"""Prompts as they are typed: `--mask`, `--box`, `--point`, `--prompts FILE`, and what they take."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.errors import PromptError, UsageError

if TYPE_CHECKING:
    from edge_vos.runtime.prompts.prompt import Prompt
    from edge_vos.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class PromptOptions:
    """Say what to follow, as it was typed."""

    box: Annotated[
        list[str] | None,
        typer.Option(metavar="[ID=]X,Y,W,H", help="A box around an object; repeat."),
    ] = None
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]X,Y",
            help="A point on an object, or several: X,Y,X,Y; repeat. With the same ID= before "
            "them, boxes and points are of one object.",
        ),
    ] = None
    negative: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]X,Y", help="A point beside object ID, or on none of these; repeat."
        ),
    ] = None
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="What an object is called, in the order of the mask's ids, the objects with ID=, "
            "the boxes and the points; repeat."
        ),
    ] = None
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Boxes, points and corrections of any frames, each with its object.",
        ),
    ] = None


@dataclass(frozen=True)
class Prompts:
    """Hold the prompts, as they were typed.

    Args:
        masks: files, each of which shows objects: ``FILE``, or ``FRAME=FILE``.
        boxes: each ``X,Y,W,H``, or ``ID=X,Y,W,H`` for a certain object.
        points: each ``X,Y``, or several points of one object: ``X,Y,X,Y``; ``ID=`` as above.
        negatives: each ``X,Y``: on none of the objects; or ``ID=X,Y``: beside that object.
        names: of the objects, in the order of the mask's ids, the objects with an id, the boxes
            and the points; those that are left are for objects that are prompted later.
        file: prompts of any frames.

    Raises:
        UsageError: if a box or point is not written so, or a negative point has no box or point
            beside it.
        PromptError: if an object cannot be called so, prompts contradict each other, or the file
            cannot be read.
    """

    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    file: Path | None = None

    def __post_init__(self) -> None:
        from edge_vos.runtime.objects.names import check_name

        for name in self.names:
            check_name(name)
        everywhere = [negative for negative in self.negatives if "=" not in negative]
        if everywhere and not (self.boxes or self.points):
            raise UsageError(
                f"--negative {everywhere[0]} has nothing to be beside",
                "a --box or a --point as well",
            )
        _ = self.first, self.later  # wrong ones are refused before anything is opened

    @classmethod
    def of(cls, options: PromptOptions, masks: tuple[str, ...]) -> "Prompts":
        """Return the prompts among a command's options, and those that are files."""
        given = (options.box, options.point, options.negative, options.name)
        box, point, negative, name = (tuple(each or ()) for each in given)
        return cls(masks, box, point, negative, name, options.prompts)

    def __bool__(self) -> bool:
        return bool(self.masks or self.boxes or self.points or self.file)

    @cached_property
    def first(self) -> "tuple[Prompt, ...]":
        """Return what is shown in the first frame beside a mask: objects with an id come first."""
        from edge_vos.runtime.prompts.prompt import Prompt, join_prompts

        shown = [
            *(Prompt(i, boxes_xywh=(_box(text),)) for i, text in _each("--box", self.boxes)),
            *(
                Prompt(i, points=tuple(_points("--point", text)))
                for i, text in _each("--point", self.points)
            ),
        ]
        beside: list[tuple[int, int]] = []
        taken = []
        for object_id, text in _each("--negative", self.negatives):
            xy = _points("--negative", text)
            if object_id is None:
                beside += xy
            else:
                taken.append(Prompt(object_id, points=tuple(xy), labels=(0,) * len(xy)))
        written = self._written.get(0, ())
        joined = join_prompts([*shown, *taken, *written])
        if beside:
            joined = tuple(_with_beside(prompt, beside) for prompt in joined)
        return tuple(sorted(joined, key=lambda prompt: prompt.object_id is None))

    @cached_property
    def later(self) -> "Mapping[int, tuple[Prompt, ...]]":
        """Return what the file shows in frames after the first one."""
        return {frame: prompts for frame, prompts in self._written.items() if frame}

    @cached_property
    def _written(self) -> "Mapping[int, tuple[Prompt, ...]]":
        from edge_vos.runtime.prompts.prompt_file import read_prompt_file

        return {} if self.file is None else read_prompt_file(self.file)

    @property
    def shows_masks(self) -> bool:
        """Return whether a mask shows an object, in any frame."""
        written = (*self.first, *(prompt for each in self.later.values() for prompt in each))
        return bool(self.masks) or any(prompt.mask is not None for prompt in written)

    @property
    def mask(self) -> Path | None:
        """Return the one mask for the first frame.

        Raises:
            UsageError: if there are several.
        """
        if len(self.masks) > 1:
            raise UsageError(
                f"{len(self.masks)} masks for one frame",
                "one --mask, which may show several objects",
                "Several frames with masks are for `edge-vos segment FOLDER`",
            )
        return Path(self.masks[0]) if self.masks else None

    def check(self, frame_size: tuple[int, int], frames: int | None, objects: int) -> None:
        """Check the prompts before anything is segmented.

        Args:
            frame_size: height and width of the frames.
            frames: so many there are, where that is known.
            objects: so many the model can follow.

        Raises:
            PromptError: if a prompt is for a frame that is not there, lies outside the frame, or
                is for an object that the model does not have.
        """
        for frame, prompts in {0: self.first, **self.later}.items():
            if frames is not None and frame >= frames:
                raise PromptError(
                    f"{self.file}: there are prompts for frame {frame}",
                    f"frames from 0 to {frames - 1}",
                    "Count from the first frame that is taken, which is 0",
                )
            for prompt in prompts:
                where = f"{self.file}: " if frame else ""
                if prompt.object_id is not None and not 1 <= prompt.object_id <= objects:
                    raise PromptError(
                        f"{where}The object id {prompt.object_id}",
                        f"an id from 1 to {objects}",
                        f"Follow at most {objects} objects at once",
                    )
                try:
                    prompt.check_frame(frame_size)
                except PromptError as error:
                    what = f"{where}{error.what}" + (f" in frame {frame}" if frame else "")
                    raise PromptError(what, error.expected, error.next_step) from error

    def give(
        self,
        segmenter: "Segmenter",
        frame_size: tuple[int, int],
        frame_name: str = "",
        assumed: list[str] | None = None,
    ) -> None:
        """Prompt a segmenter's next frame, and say on stderr what was assumed.

        Args:
            segmenter: has no objects yet.
            frame_size: height and width of the next frame.
            frame_name: its file's name, where it has one.
            assumed: is told the same.

        Raises:
            PromptError: if one does not fit the frame or the model.
        """
        from edge_vos.runtime.annotations.annotation import FrameName
        from edge_vos.runtime.annotations.reading import read_annotation
        from edge_vos.runtime.annotations.to_prompt import prompt_annotation

        names = list(self.names)
        if self.mask is not None:
            annotation = read_annotation(self.mask, FrameName(frame_size, frame_name))
            told, names = prompt_annotation(segmenter, annotation, names)
            tell(self.mask, told, assumed)
        segmenter.name_next(names)
        for prompt in self.first:
            segmenter.prompt(prompt)


def tell(mask: Path, told: list[str], assumed: list[str] | None = None) -> None:
    """Say on stderr what was assumed in reading a mask, and keep it for the report."""
    for what in told:
        line = f"The mask {mask}: {what}"
        print(f"{line}.", file=sys.stderr, flush=True)
        if assumed is not None:
            assumed.append(line)


def _with_beside(prompt: "Prompt", beside: Sequence[tuple[int, int]]) -> "Prompt":
    points, labels = (*prompt.points, *beside), (*prompt.signs, *[0] * len(beside))
    return replace(prompt, points=points, labels=labels)


def _each(option: str, texts: Sequence[str]) -> list[tuple[int | None, str]]:
    """Split what was typed into the object's id, where there is one, and the rest."""
    found: list[tuple[int | None, str]] = []
    for text in texts:
        object_id, equals, rest = text.partition("=")
        if equals and not (object_id.isascii() and object_id.isdecimal() and int(object_id) > 0):
            raise UsageError(
                f"{option} {text} cannot be read",
                "an object's id before the =, from 1, such as 2=320,240",
            )
        found.append((int(object_id), rest) if equals else (None, text))
    return found


def _box(text: str) -> tuple[int, int, int, int]:
    numbers = _numbers(text)
    if len(numbers) != 4:
        raise UsageError(
            f"--box {text} cannot be read", "X,Y,W,H in whole pixels, such as 40,60,120,200"
        )
    x, y, width, height = numbers
    return x, y, width, height


def _points(option: str, text: str) -> list[tuple[int, int]]:
    numbers = _numbers(text)
    if not numbers or len(numbers) % 2:
        raise UsageError(f"{option} {text} cannot be read", "X,Y in whole pixels, such as 320,240")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        return ()
