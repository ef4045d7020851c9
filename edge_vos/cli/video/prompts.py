"""Prompts as they are typed: `--mask FILE`, `--box X,Y,W,H`, `--point X,Y`, and what they take."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.cli.video.options import VideoOptions
    from edge_vos.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class Prompts:
    """Hold the prompts for the first frame, as they were typed.

    Args:
        masks: files, each of which shows objects: ``FILE``, or ``FRAME=FILE``.
        boxes: each ``X,Y,W,H``.
        points: each ``X,Y``, or several points of one object: ``X,Y,X,Y``.
        negatives: each ``X,Y``; on none of the objects.
        names: of the objects, in the order of the mask's ids, the boxes and the points; those
            that are left are for objects that are prompted later.

    Raises:
        UsageError: if a box or point is not written so, or a negative point has no box or point
            beside it.
        PromptError: if an object cannot be called so.
    """

    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from edge_vos.runtime.objects.names import check_name

        for box in self.boxes:
            _box(box)
        for point in self.points:
            _points("--point", point)
        for negative in self.negatives:
            _points("--negative", negative)
        for name in self.names:
            check_name(name)
        if self.negatives and not (self.boxes or self.points):
            raise UsageError(
                f"--negative {self.negatives[0]} has nothing to be beside",
                "a --box or a --point as well",
            )

    @classmethod
    def of(cls, options: "VideoOptions", masks: tuple[str, ...]) -> Self:
        """Return the prompts among a command's options, and those that are files."""
        given = (options.box, options.point, options.negative, options.name)
        return cls(masks, *(tuple(each or ()) for each in given))

    def __bool__(self) -> bool:
        return bool(self.masks or self.boxes or self.points)

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
        beside = [xy for negative in self.negatives for xy in _points("--negative", negative)]
        for box in self.boxes:
            segmenter.prompt_box(_box(box), beside=beside)
        for point in self.points:
            segmenter.prompt_point(_points("--point", point), beside=beside)


def tell(mask: Path, told: list[str], assumed: list[str] | None = None) -> None:
    """Say on stderr what was assumed in reading a mask, and keep it for the report."""
    for what in told:
        line = f"The mask {mask}: {what}"
        print(f"{line}.", file=sys.stderr, flush=True)
        if assumed is not None:
            assumed.append(line)


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
