"""COCO's JSON, one annotation an object and picture.

Format: https://cocodataset.org/#format-data
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError, ShapeError
from edge_vos.runtime.annotations.annotation import (
    LARGEST_ID,
    Annotation,
    Canvas,
    FrameName,
    check_file_size,
    choose_image,
)
from edge_vos.runtime.annotations.polygons import fill
from edge_vos.runtime.annotations.values import entries, points, record, text, whole
from edge_vos.runtime.masks import Rle, decode_rle

KIND = "COCO file"
_TRACK_KEYS = ("track_id", "instance_id")
_MEANT = "polygons, or run lengths"


def is_kind(document: Any) -> bool:
    """Return whether a JSON document is COCO's."""
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def read(document: Any, wanted: FrameName) -> Annotation:
    """Read the objects of the picture that has the frame's name.

    Objects keep their ``track_id`` where every one has its own; else they are 1, 2, 3 in the order
    of the annotations' ids.

    Args:
        document: the parsed JSON.
        wanted: the frame that it is for.

    Raises:
        MaskError: if it is not understood, or has no such picture.
    """
    canvas = Canvas(wanted.size)
    images = [record(image, "An image") for image in entries(document["images"], "images")]
    if not images:
        raise MaskError("It names no picture", "at least one entry in images")
    names = [text(image.get("file_name"), "An image's file_name") for image in images]
    chosen = images[choose_image(names, wanted, canvas.assumed)]
    if chosen.get("height") is not None and chosen.get("width") is not None:
        height, width = whole(chosen["height"], "height"), whole(chosen["width"], "width")
        check_file_size(wanted, height, width)
    image_id = chosen.get("id")
    found: list[tuple[int, dict[str, Any]]] = []
    for entry in entries(document["annotations"], "annotations"):
        annotation = record(entry, "An annotation")
        if annotation.get("image_id") == image_id:
            found.append((whole(annotation.get("id", len(found) + 1), "id"), annotation))
    found.sort(key=lambda pair: pair[0])
    names_by_category = _categories(document)
    crowds = [pair for pair in found if pair[1].get("iscrowd")]
    objects = [pair for pair in found if not pair[1].get("iscrowd")]
    for object_id, (number, annotation) in zip(_ids(objects, canvas), objects, strict=True):
        pixels = _pixels(annotation.get("segmentation"), canvas.size, f"Annotation {number}")
        category = annotation.get("category_id")
        name = names_by_category.get(category, "") if isinstance(category, int | str) else ""
        own = annotation.get("name")
        canvas.paint(object_id, pixels, own if isinstance(own, str) else name)
    for number, annotation in crowds:
        pixels = _pixels(annotation.get("segmentation"), canvas.size, f"Annotation {number}")
        canvas.clear(pixels, f"annotation {number} is a crowd")
    return canvas.finish()


def _categories(document: dict[str, Any]) -> dict[Any, str]:
    names = {}
    for entry in entries(document.get("categories", []), "categories"):
        category = record(entry, "A category")
        if isinstance(category.get("id"), int | str) and isinstance(category.get("name"), str):
            names[category["id"]] = category["name"]
    return names


def _ids(objects: list[tuple[int, dict[str, Any]]], canvas: Canvas) -> list[int]:
    for key in _TRACK_KEYS:
        tracks = [_track(annotation, key) for _, annotation in objects]
        given = [track for track in tracks if track is not None and 1 <= track <= LARGEST_ID]
        if objects and len(given) == len(objects) == len(set(given)):
            return given
    ids = list(range(1, len(objects) + 1))
    numbers = [number for number, _ in objects]
    if numbers != ids and numbers:
        pairs = zip(numbers[:8], ids[:8], strict=True)
        told = ", ".join(f"annotation {number} is object {i}" for number, i in pairs)
        canvas.assumed.append(told + (", …" if len(ids) > 8 else ""))
    return ids


def _track(annotation: dict[str, Any], key: str) -> int | None:
    attributes = annotation.get("attributes")  # CVAT's export puts it there
    value = annotation.get(key, attributes.get(key) if isinstance(attributes, dict) else None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pixels(value: Any, size: tuple[int, int], what: str) -> NDArray[np.bool_]:
    if isinstance(value, list):
        inside = np.zeros(size, np.bool_)
        if not value:
            raise MaskError(f"{what} has a box and no outline", _MEANT)
        parts = [value] if isinstance(value[0], int | float) else value
        for part in parts:
            inside |= fill(points(part, f"{what}'s segmentation"), size)
        return inside
    if not isinstance(value, dict):
        raise MaskError(f"{what} has no segmentation", _MEANT)
    return run_lengths(value, size, what)


def run_lengths(value: dict[str, Any], size: tuple[int, int], what: str) -> NDArray[np.bool_]:
    """Read COCO's run lengths, compressed or as a list.

    Raises:
        MaskError: if they do not fill the frame.
    """
    counts, said = value.get("counts"), value.get("size")
    if said is not None:
        sides = [whole(side, f"{what}'s size") for side in entries(said, f"{what}'s size")]
        if sides != list(size):
            raise MaskError(
                f"{what}'s run lengths are for {'x'.join(map(str, sides[:2]))}",
                f"the frame's size, {size[0]}x{size[1]}",
            )
    if isinstance(counts, list):
        runs = [whole(run, f"{what}'s counts") for run in counts]
        if any(run < 0 for run in runs) or sum(runs) != size[0] * size[1]:
            raise MaskError(f"{what}'s run lengths do not fill {size[0]}x{size[1]} pixels")
        flat = np.repeat(np.arange(len(runs)) & 1, runs).astype(np.bool_)
        return flat.reshape(size[::-1]).T
    encoded = text(counts, f"{what}'s counts")
    try:
        rle: Rle = {"size": list(size), "counts": encoded}
        return decode_rle(rle).astype(np.bool_)
    except (ShapeError, ValueError, IndexError, OverflowError) as error:
        raise MaskError(f"{what}'s run lengths do not fill {size[0]}x{size[1]} pixels") from error
