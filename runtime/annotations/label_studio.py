"""Label Studio's exports, JSON and JSON-MIN: brushes, polygons, rectangles and ellipses.

Format: https://labelstud.io/guide/export
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import (
    Annotation,
    Canvas,
    FrameName,
    check_file_size,
    choose_image,
)
from edge_vos.runtime.annotations.polygons import fill
from edge_vos.runtime.annotations.values import FURTHEST_PX, check_points, entries, points, record
from edge_vos.runtime.annotations.values import whole as whole_number

KIND = "Label Studio export"
_LABELS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "labels")
_HALF = 128


def is_kind(document: Any) -> bool:
    """Return whether a JSON document is a Label Studio export: a list of tasks, or one task."""
    task = document[0] if isinstance(document, list) and document else document
    if not isinstance(task, dict):
        return False
    return "annotations" in task or "completions" in task or bool(_minimal(task))


def read(document: Any, wanted: FrameName) -> Annotation:
    """Read the task whose picture has the frame's name; each region is an object.

    Args:
        document: the parsed JSON.
        wanted: the frame that it is for.

    Raises:
        MaskError: if it is not understood, or has no such picture.
    """
    tasks = document if isinstance(document, list) else [document]
    tasks = [record(task, "A task") for task in tasks]
    canvas = Canvas(wanted.size)
    task = tasks[choose_image([_image(task) for task in tasks], wanted, canvas.assumed)]
    count = 0
    for place, entry in enumerate(_regions(task, canvas)):
        region = record(entry, f"Region {place}")
        value = record(region.get("value", region), f"Region {place}'s value")
        if not any(key in value for key in ("rle", "points", "width", "radiusX")):
            continue  # a choice, a relation or a text
        sides = [region.get(f"original_{side}") for side in ("height", "width")]
        if None not in sides:
            height, width = (whole_number(side, f"Region {place}'s size") for side in sides)
            check_file_size(wanted, height, width)
        count += 1
        canvas.paint(count, _pixels(value, canvas, f"Region {place}"), _label(value))
    return canvas.finish()


def _image(task: dict[str, Any]) -> str:
    data = task.get("data", task)
    values = data.values() if isinstance(data, dict) else ()
    named = [value for value in values if isinstance(value, str) and "." in value[-6:]]
    return named[0].partition("?d=")[2] or named[0] if named else ""


def _minimal(task: dict[str, Any]) -> list[Any]:
    for value in task.values():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, dict) and "original_width" in first:
            return list(value)
    return []


def _regions(task: dict[str, Any], canvas: Canvas) -> list[Any]:
    found = task.get("annotations", task.get("completions"))
    if found is None:
        return _minimal(task)
    kept = [record(entry, "An annotation") for entry in entries(found, "annotations")]
    kept = [entry for entry in kept if not entry.get("was_cancelled")]
    if not kept:
        raise MaskError("Its task has no annotation", "at least one")
    if len(kept) > 1:
        canvas.assumed.append(f"the first of its task's {len(kept)} annotations counts")
    return entries(kept[0].get("result"), "An annotation's result")


def _label(value: dict[str, Any]) -> str:
    for key in _LABELS:
        labels = value.get(key)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return str(labels[0])
    return ""


def _pixels(value: dict[str, Any], canvas: Canvas, what: str) -> NDArray[np.bool_]:
    height, width = canvas.size
    if "rle" in value:
        return brush(entries(value["rle"], f"{what}'s rle"), canvas.size, what) >= _HALF
    per_cent = np.array([width, height]) / 100
    if "points" in value:
        return fill(points(value["points"], f"{what}'s points") * per_cent, canvas.size)
    keys = ("x", "y", "width", "height") if "width" in value else ("x", "y", "radiusX", "radiusY")
    x, y, across, down = (_number(value.get(key), f"{what}'s {key}") for key in keys)
    turn = np.deg2rad(_number(value.get("rotation", 0), f"{what}'s rotation"))
    if "width" in value:
        canvas.assumed.append(f"{what.lower()}, a rectangle, is an object to its corners")
        shape = np.array([(0, 0), (across, 0), (across, down), (0, down)], np.float64)
    else:
        turns = np.linspace(0, 2 * np.pi, 256, endpoint=False)
        shape = np.stack((across * np.cos(turns), down * np.sin(turns)), axis=1)
    # It is turned in pixels, about its own x and y.
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    outline = np.array([x, y]) * per_cent + (shape * per_cent) @ rotation
    return fill(check_points(outline, what), canvas.size)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > FURTHEST_PX:
        raise MaskError(f"{what} is {str(value)[:40]}", "a number")
    return float(value)


def brush(encoded: list[Any], size: tuple[int, int], what: str) -> NDArray[np.uint8]:
    """Decode a brush: the bytes of https://github.com/thi-ng/umbrella's rle-pack, of RGBA pixels.

    Returns:
        (H, W) uint8: alpha.

    Raises:
        MaskError: if they are not whole, or do not fill the frame.
    """
    try:
        bits = np.unpackbits(np.array(encoded, np.uint8)).tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise MaskError(f"{what}'s rle is not bytes", "numbers from 0 to 255") from error
    place = 0

    def take(count: int) -> int:
        nonlocal place
        part = bits[place : place + count]
        if len(part) < count:
            raise MaskError(f"{what}'s rle is cut off", "a brush that is whole")
        place += count
        return int(part.translate(_DIGITS), 2)

    total = take(32)
    if total != size[0] * size[1] * 4:
        raise MaskError(f"{what}'s rle does not fill {size[0]}x{size[1]} pixels")
    word = take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    filled = 0
    while filled < total:
        is_run = take(1)
        length = 1 + take(widths[take(2)])
        if length > total - filled:
            raise MaskError(f"{what}'s rle does not fill {size[0]}x{size[1]} pixels")
        if is_run:
            values[filled : filled + length] = min(take(word), 255)
        else:
            values[filled : filled + length] = [min(take(word), 255) for _ in range(length)]
        filled += length
    return values.reshape(*size, 4)[..., 3]


_DIGITS = bytes([48, 49]) + bytes(range(2, 256))
