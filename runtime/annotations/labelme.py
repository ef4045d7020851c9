"""LabelMe's JSON: a file a picture.

Format: https://github.com/wkentaro/labelme
"""

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations import picture
from edge_vos.runtime.annotations.annotation import (
    Annotation,
    Canvas,
    FrameName,
    check_file_size,
    number_groups,
)
from edge_vos.runtime.annotations.polygons import fill
from edge_vos.runtime.annotations.values import entries, points, record, text, whole

KIND = "LabelMe file"
_SHAPES = "polygon, rectangle, circle or mask"


def is_kind(document: Any) -> bool:
    """Return whether a JSON document is LabelMe's."""
    return isinstance(document, dict) and "shapes" in document


def read(document: Any, wanted: FrameName) -> Annotation:
    """Read polygons, masks, rectangles and circles; shapes of one group are one object.

    Args:
        document: the parsed JSON.
        wanted: the frame that it is for.

    Raises:
        MaskError: if it is not understood, or is about a picture of another size.
    """
    height, width = document.get("imageHeight"), document.get("imageWidth")
    if height is not None and width is not None:
        check_file_size(wanted, whole(height, "imageHeight"), whole(width, "imageWidth"))
    canvas = Canvas(wanted.size)
    shapes, keys = [], []
    for place, entry in enumerate(entries(document["shapes"], "shapes")):
        what = f"Shape {place}"
        shape = record(entry, what)
        kind = shape.get("shape_type") or "polygon"
        if kind in ("point", "line", "linestrip", "points"):
            canvas.assumed.append(f"shape {place}, a {kind}, has no area and is left out")
            continue
        label = text(shape.get("label") or "", f"{what}'s label")
        group = shape.get("group_id")
        keys.append((label, None if group is None else whole(group, f"{what}'s group_id")))
        shapes.append((what, kind, shape))
    for object_id, (label, _), (what, kind, shape) in zip(
        number_groups(keys), keys, shapes, strict=True
    ):
        canvas.paint(object_id, _pixels(what, kind, shape, canvas), label)
    return canvas.finish()


def _pixels(what: str, kind: Any, shape: dict[str, Any], canvas: Canvas) -> NDArray[np.bool_]:
    if kind == "polygon":
        return fill(points(shape.get("points"), f"{what}'s points"), canvas.size)
    corners = points(shape.get("points"), f"{what}'s points", least=2)
    if kind == "rectangle":
        canvas.assumed.append(f"{what.lower()}, a rectangle, is an object to its corners")
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        box = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        return fill(box, canvas.size)
    if kind == "circle":
        centre, rim = corners[0], corners[1]
        turns = np.linspace(0, 2 * np.pi, 256, endpoint=False)
        radius = float(np.hypot(*(rim - centre)))
        return fill(centre + radius * np.stack((np.cos(turns), np.sin(turns)), axis=1), canvas.size)
    if kind == "mask":
        return _embedded(what, shape.get("mask"), corners, canvas.size)
    raise MaskError(f"{what} is of the kind {kind!r}", _SHAPES)


def _embedded(
    what: str, encoded: Any, corners: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Read a PNG of the pixels from the first corner to the second, which is the last pixel."""
    left, top = (int(side) for side in np.floor(corners.min(axis=0)))
    right, bottom = (int(side) + 1 for side in np.floor(corners.max(axis=0)))
    inside = np.zeros(size, np.bool_)
    if left < 0 or top < 0 or right > size[1] or bottom > size[0]:
        raise MaskError(f"{what}'s mask reaches over the frame", "corners in the frame")
    try:
        data = base64.b64decode(text(encoded, f"{what}'s mask"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise MaskError(f"{what}'s mask is not base64", "a PNG in base64") from error
    part = picture.read(data, FrameName((bottom - top, right - left)))
    inside[top:bottom, left:right] = part.labels > 0
    return inside
