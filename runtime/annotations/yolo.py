"""YOLO's segmentation labels: a line an object, its class and its outline in parts of the frame.

Format: https://docs.ultralytics.com/datasets/segment/
"""

import numpy as np

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import Annotation, Canvas, FrameName
from edge_vos.runtime.annotations.polygons import fill
from edge_vos.runtime.annotations.values import check_points

KIND = "YOLO label file"
_MEANT = "a line an object: CLASS X1 Y1 X2 Y2 X3 Y3 …, from 0 to 1"
_MOST_LINES = 10_000


def is_kind(text: str) -> bool:
    """Return whether a file's first line is numbers."""
    first = next((line for line in text.splitlines() if line.strip()), "").split()
    try:
        return bool(first) and bool([float(word) for word in first])
    except ValueError:
        return False


def read(text: str, wanted: FrameName) -> Annotation:
    """Read labels; where each class comes once, its number plus one is the object's id.

    Args:
        text: the file.
        wanted: the frame that it is for, whose size makes pixels of the parts.

    Raises:
        MaskError: if it is not understood, or holds boxes.
    """
    canvas = Canvas(wanted.size)
    classes, outlines = [], []
    lines = [(n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > _MOST_LINES:
        raise MaskError(f"It has {len(lines)} lines", _MEANT)
    scored = 0
    for number, words in lines:
        if len(words) == 5:
            raise MaskError(f"Line {number} is a box", _MEANT, "Give it as --box X,Y,W,H")
        try:
            values = np.array([float(word) for word in words])
            kind = int(words[0])
        except (ValueError, OverflowError) as error:
            raise MaskError(f"Line {number} is not numbers", _MEANT) from error
        if len(values) % 2 == 0 and len(values) >= 8:  # a prediction with its confidence behind
            values, scored = values[:-1], scored + 1
        if len(values) < 7 or len(values) % 2 == 0 or not 0 <= kind < 1 << 31 - 1:
            raise MaskError(f"Line {number} has {len(words)} numbers", _MEANT)
        if np.abs(values[1:]).max() > 2:
            raise MaskError(f"Line {number} reaches to {np.abs(values[1:]).max():.6g}", _MEANT)
        height, width = wanted.size
        outline = values[1:].reshape(-1, 2) * (width, height)
        outlines.append(check_points(outline, f"Line {number}"))
        classes.append(kind)
    if scored:
        canvas.assumed.append(f"{scored} lines have a confidence behind, which is left out")
    distinct = len(set(classes)) == len(classes)
    ids = [kind + 1 for kind in classes] if distinct else list(range(1, len(classes) + 1))
    told = [f"class {k} is object {i}" for k, i in zip(classes[:8], ids, strict=False)]
    if told:
        canvas.assumed.append(", ".join(told) + (", …" if len(ids) > 8 else ""))
    for object_id, outline in zip(ids, outlines, strict=True):
        canvas.paint(object_id, fill(outline, wanted.size))
    return canvas.finish()
