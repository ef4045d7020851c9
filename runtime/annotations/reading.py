"""Read the objects of a frame from a file of whatever kind, told by what is in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations import coco, cvat, label_studio, labelme, picture, yolo
from edge_vos.runtime.annotations.annotation import Annotation, FrameName
from edge_vos.runtime.annotations.values import parse_json

KINDS = (
    "a PNG of object ids or colours, a LabelMe or COCO JSON, a Label Studio or CVAT export, or "
    "YOLO segmentation labels"
)
LARGEST_BYTES = 1 << 26

_JSON_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, FrameName], Annotation]], ...] = (
    (labelme.is_kind, labelme.read),
    (coco.is_kind, coco.read),
    (label_studio.is_kind, label_studio.read),
)


def read_annotation(path: str | Path, wanted: FrameName) -> Annotation:
    """Read a frame's objects from a file, by the kind that its content is of.

    Args:
        path: the file.
        wanted: the frame that it is for.

    Raises:
        MaskError: if there is no such file, it is of no known kind, is not intact, shows no object,
            or is about another frame.
    """
    try:
        return _read(_content(Path(path)), wanted)
    except MaskError as error:
        what = error.what[:1].lower() + error.what[1:]
        raise MaskError(f"The mask {path}: {what}", error.expected, error.next_step) from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            parts, size = [], 0
            while size <= LARGEST_BYTES and (part := file.read(1 << 20)):
                parts.append(part)
                size += len(part)
    except FileNotFoundError as error:
        raise MaskError("There is no such file", KINDS) from error
    except OSError as error:
        raise MaskError(f"It cannot be opened ({error.strerror or error})", KINDS) from error
    if size > LARGEST_BYTES:
        raise MaskError(
            f"It is larger than {LARGEST_BYTES >> 20} MB", "the annotation of a few pictures",
            "Cut out the picture that you mean",
        )  # fmt: skip
    return b"".join(parts)


def _read(data: bytes, wanted: FrameName) -> Annotation:
    if picture.is_kind(data):
        return picture.read(data, wanted)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return picture.read(data, wanted)  # of another kind that PIL may know
    begin = text.lstrip()[:1]
    if begin == "<":
        return cvat.read(text, wanted)
    if begin in ("{", "["):
        document = parse_json(text)
        for is_kind, read in _JSON_KINDS:
            if is_kind(document):
                return read(document, wanted)
        keys = list(document)[:6] if isinstance(document, dict) else type(document).__name__
        raise MaskError(f"Its JSON, of {json.dumps(keys)[:80]}, is of no known kind", KINDS)
    if yolo.is_kind(text):
        return yolo.read(text, wanted)
    raise MaskError("It is of no known kind", KINDS)
