"""Prompts of several frames in a JSON file, so that corrections in mid-video can be scripted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_vos.errors import MaskError, PromptError
from edge_vos.runtime.annotations.values import parse_json
from edge_vos.runtime.prompts.checks import is_whole
from edge_vos.runtime.prompts.prompt import Prompt, join_prompts

PromptsByFrame = Mapping[int, Sequence[Prompt]]
"""Prompts by the place of their frame, from 0."""

LARGEST_BYTES = 1 << 26
MOST_PROMPTS = 100_000
LAST_FRAME = 1 << 31

_KIND = 'a JSON file such as {"prompts": [{"frame": 0, "object": 1, "box": [40, 60, 120, 200]}]}'
_PAGE = "docs/masks.md shows one, and prompts.schema.json describes it"


def read_prompt_file(path: str | Path) -> dict[int, tuple[Prompt, ...]]:
    """Read the prompts of a file.

    Args:
        path: a JSON document as ``prompts.schema.json`` describes it.

    Returns:
        by the place of the frame, ascending: one prompt for each object that is shown in it.

    Raises:
        PromptError: if there is no such file, or it is not written so.
    """
    by_frame: dict[int, list[Prompt]] = {}
    where = f"The prompts {path}"
    try:
        for place, entry in enumerate(_entries(Path(path))):
            where = f"The prompts {path}, entry {place}"
            frame, prompt = _read(entry)
            by_frame.setdefault(frame, []).append(prompt)
        joined = {}
        for frame in sorted(by_frame):
            where = f"The prompts {path}, frame {frame}"
            joined[frame] = join_prompts(by_frame[frame])
    except PromptError as error:
        what = error.what[:1].lower() + error.what[1:]
        raise PromptError(f"{where}: {what}", error.expected, error.next_step or _PAGE) from error
    return joined


def _entries(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise PromptError(f"it cannot be opened ({error.strerror or error})", _KIND) from error
    if len(data) > LARGEST_BYTES:
        raise PromptError(f"it is larger than {LARGEST_BYTES >> 20} MB", _KIND)
    try:
        document = parse_json(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, MaskError) as error:
        why = error.what if isinstance(error, MaskError) else "it is no UTF-8 text"
        raise PromptError(why, _KIND) from error
    match document:
        case {"prompts": [*entries], **rest} if not set(rest) - {"$schema"}:
            pass
        case _:
            raise PromptError("It does not hold prompts alone", _KIND)
    if not entries or len(entries) > MOST_PROMPTS:
        raise PromptError(f"It holds {len(entries)} prompts", f"1 to {MOST_PROMPTS}")
    return entries


def _read(entry: object) -> tuple[int, Prompt]:
    if not isinstance(entry, dict):
        raise PromptError(f"{str(entry)[:60]!r} is no prompt", "an object in braces")
    frame = entry.get("frame", 0)
    if not is_whole(frame) or not 0 <= frame < LAST_FRAME:
        raise PromptError(
            f"The frame {frame!r}"[:80], "the frame's place, from 0", "The first frame is 0"
        )
    return frame, Prompt.from_json({key: value for key, value in entry.items() if key != "frame"})
