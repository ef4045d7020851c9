"""CVAT's XML 1.1, for images and for video.

Format: https://docs.cvat.ai/docs/other/xml_format
"""

from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import (
    Annotation,
    Canvas,
    FrameName,
    check_file_size,
    choose_image,
    number_groups,
)
from edge_vos.runtime.annotations.polygons import fill
from edge_vos.runtime.annotations.values import FURTHEST_PX, check_points, whole

KIND = "CVAT file"
_AREAS = ("polygon", "mask", "box", "ellipse")
_NO_AREAS = ("points", "polyline", "cuboid", "skeleton", "tag")


def parse(text: str) -> ElementTree.Element:
    """Parse XML that defines nothing itself, so that it cannot grow.

    Raises:
        MaskError: if it is broken, or has a document type.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MaskError("Its XML has a document type", "XML as CVAT exports it, which has none")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise MaskError(f"Its XML cannot be read ({error})", "a file that is whole") from error


def read(text: str, wanted: FrameName) -> Annotation:
    """Read polygons, masks, boxes and ellipses of the frame.

    Of an export for images it takes the picture of the frame's name; of one for video the shapes
    of the frame's place, where a track's id plus one is the object's.

    Args:
        text: the file.
        wanted: the frame that it is for.

    Raises:
        MaskError: if it is not understood, or has nothing for this frame.
    """
    root = parse(text)
    if root.tag != "annotations":
        raise MaskError(f"Its XML is of <{root.tag[:40]}>", "<annotations>, as CVAT exports")
    canvas = Canvas(wanted.size)
    if images := root.findall("image"):
        _read_image(images, wanted, canvas)
    else:
        _read_tracks(root, wanted, canvas)
    return canvas.finish()


def _read_image(images: list[ElementTree.Element], wanted: FrameName, canvas: Canvas) -> None:
    names = [image.get("name", "") for image in images]
    image = images[choose_image(names, wanted, canvas.assumed)]
    height, width = (whole(image.get(side), f"An image's {side}") for side in ("height", "width"))
    check_file_size(wanted, height, width)
    shapes = []
    for shape in image:
        if shape.tag in _AREAS:
            shapes.append(shape)
        elif shape.tag in _NO_AREAS:
            canvas.assumed.append(f"a shape of the kind {shape.tag} has no area and is left out")
    shapes.sort(key=lambda shape: whole(shape.get("z_order", "0"), "z_order"))
    keys = []
    for shape in shapes:
        group = whole(shape.get("group_id", "0"), "group_id")
        keys.append((shape.get("label", ""), group or None))
    for object_id, (label, _), shape in zip(number_groups(keys), keys, shapes, strict=True):
        canvas.paint(object_id, _pixels(shape, canvas), label)


def _read_tracks(root: ElementTree.Element, wanted: FrameName, canvas: Canvas) -> None:
    original = root.find("meta/task/original_size")
    if original is not None:
        height, width = (whole(original.findtext(side), side) for side in ("height", "width"))
        check_file_size(wanted, height, width)
    tracks = root.findall("track")
    frames: set[int] = set()
    for track in tracks:
        number = whole(track.get("id"), "A track's id")
        for shape in track:
            if shape.tag not in _AREAS or shape.get("outside") == "1":
                continue
            frame = whole(shape.get("frame"), "A shape's frame")
            frames.add(frame)
            if frame == wanted.index:
                canvas.paint(number + 1, _pixels(shape, canvas), track.get("label", ""))
    if frames and wanted.index not in frames:
        shown = ", ".join(map(str, sorted(frames)[:8]))
        raise MaskError(f"It has nothing for frame {wanted.index}", f"one of the frames {shown}")
    if tracks:
        canvas.assumed.append("a track's id plus one is the object's")


def _pixels(shape: ElementTree.Element, canvas: Canvas) -> NDArray[np.bool_]:
    what = f"The {shape.tag}"
    if shape.tag == "mask":
        return _mask(shape, canvas.size)
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        try:
            corners = np.array(pairs, np.float64)
        except ValueError:
            corners = np.empty((0, 0))
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise MaskError("A polygon's points cannot be read", "x,y;x,y;x,y, three or more")
        return fill(check_points(corners, what), canvas.size)
    keys = ("xtl", "ytl", "xbr", "ybr") if shape.tag == "box" else ("cx", "cy", "rx", "ry")
    first, second, third, fourth = (_number(shape.get(key), f"{what}'s {key}") for key in keys)
    if shape.tag == "box":
        canvas.assumed.append("a box is an object to its corners")
        box = [(first, second), (third, second), (third, fourth), (first, fourth)]
        return fill(np.array(box), canvas.size)
    turns = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    rim = np.stack((first + third * np.cos(turns), second + fourth * np.sin(turns)), axis=1)
    return fill(rim, canvas.size)


def _number(value: str | None, what: str) -> float:
    try:
        number = float(value or "")
    except ValueError:
        number = float("nan")
    if not abs(number) <= FURTHEST_PX:
        raise MaskError(f"{what} is {str(value)[:40]!r}", "a number of pixels")
    return number


def _mask(shape: ElementTree.Element, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read run lengths of a window, by rows, the first of them background."""
    sides = [whole(shape.get(key), f"A mask's {key}") for key in ("left", "top", "width", "height")]
    left, top, width, height = sides
    if left < 0 or top < 0 or width < 1 or height < 1:
        raise MaskError(f"A mask's window is {width}x{height} at {left},{top}", "one in the frame")
    if left + width > size[1] or top + height > size[0]:
        raise MaskError("A mask reaches over the frame", "a window in the frame")
    try:
        runs = [int(run) for run in shape.get("rle", "").split(",")]
    except ValueError as error:
        raise MaskError("A mask's rle is not whole numbers", "run lengths: 5, 3, 7, …") from error
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise MaskError(f"A mask's run lengths do not fill {width}x{height} pixels")
    inside = np.zeros(size, np.bool_)
    flat = np.repeat(np.arange(len(runs)) & 1, runs).astype(np.bool_)
    inside[top : top + height, left : left + width] = flat.reshape(height, width)
    return inside
