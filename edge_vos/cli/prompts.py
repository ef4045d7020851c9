"""Prompts as they are typed: `--mask FILE`, `--box X,Y,W,H`, `--point X,Y`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class Prompts:
    """Hold the prompts for the first frame, as they were typed.

    Args:
        mask: a label map's file.
        boxes: each ``X,Y,W,H``.
        points: each ``X,Y``.

    Raises:
        UsageError: if a box or point is not written so.
    """

    mask: Path | None = None
    boxes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for box in self.boxes:
            _numbers("--box", box, "X,Y,W,H", "40,60,120,200")
        for point in self.points:
            _numbers("--point", point, "X,Y", "320,240")

    def __bool__(self) -> bool:
        return self.mask is not None or bool(self.boxes) or bool(self.points)

    def give(self, segmenter: "Segmenter", frame_size: tuple[int, int]) -> None:
        """Prompt a segmenter's next frame.

        Raises:
            PromptError: if one does not fit the frame or the model.
        """
        from edge_vos.runtime.prompts import load_mask_prompt

        if self.mask is not None:
            channels = segmenter.model.manifest.channels
            segmenter.prompt(load_mask_prompt(self.mask, frame_size, channels))
        for box in self.boxes:
            x, y, width, height = _numbers("--box", box, "X,Y,W,H", "")
            segmenter.prompt_box((x, y, width, height))
        for point in self.points:
            x, y = _numbers("--point", point, "X,Y", "")
            segmenter.prompt_point((x, y))


def _numbers(option: str, text: str, form: str, example: str) -> tuple[int, ...]:
    parts = text.split(",")
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) != len(form.split(",")):
        raise UsageError(
            f"{option} {text} cannot be read", f"{form} in whole pixels, such as {example}"
        )
    return numbers
