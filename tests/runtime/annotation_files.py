"""One small file of each format that annotators write, all about the same two objects."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.masks import encode_rle

SIZE = (48, 64)
SQUARE = [[6, 8], [26, 8], [26, 30], [6, 30]]
OTHER = [[36, 20], [58, 20], [58, 40], [36, 40]]


def labels() -> NDArray[np.uint8]:
    """Return two objects, 1 and 2, on a background."""
    mask = np.zeros(SIZE, np.uint8)
    mask[8:30, 6:26], mask[20:40, 36:58] = 1, 2
    return mask


def labelme() -> dict[str, Any]:
    shapes = [
        {"label": name, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
        for name, points in (("cup", SQUARE), ("hand", OTHER))
    ]
    return {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "00000.jpg",
        "imageData": None, "imageHeight": 48, "imageWidth": 64,
    }  # fmt: skip


def coco() -> dict[str, Any]:
    flat = [float(side) for point in SQUARE for side in point]
    mask = np.zeros(SIZE, np.bool_)
    mask[20:40, 36:58] = True
    return {
        "images": [
            {"id": 7, "file_name": "a/00000.jpg", "height": 48, "width": 64},
            {"id": 9, "file_name": "a/00001.jpg", "height": 48, "width": 64},
        ],
        "categories": [{"id": 3, "name": "cup"}, {"id": 4, "name": "hand"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [flat], "iscrowd": 0},
            {
                "id": 2, "image_id": 7, "category_id": 4, "iscrowd": 0,
                "segmentation": dict(encode_rle(mask)),
            },
            {"id": 3, "image_id": 9, "category_id": 4, "segmentation": [flat], "iscrowd": 0},
        ],
    }  # fmt: skip


def yolo() -> str:
    lines = []
    for kind, points in enumerate((SQUARE, OTHER)):
        parts = [f"{x / 64:.6f} {y / 48:.6f}" for x, y in points]
        lines.append(f"{kind} {' '.join(parts)}\n")
    return "".join(lines)


def cvat_images() -> str:
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <image id="0" name="a/00000.jpg" width="64" height="48">
    <polygon label="cup" occluded="0" points="{points}" z_order="0"></polygon>
    <mask label="hand" rle="0, 440" left="36" top="20" width="22" height="20" z_order="1"></mask>
  </image>
  <image id="1" name="a/00001.jpg" width="64" height="48"></image>
</annotations>"""


def cvat_video() -> str:
    points = ";".join(f"{x}.0,{y}.0" for x, y in SQUARE)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <meta><task><original_size><width>64</width><height>48</height></original_size></task></meta>
  <track id="0" label="cup">
    <polygon frame="0" keyframe="1" outside="0" points="{points}"></polygon>
    <polygon frame="5" keyframe="1" outside="1" points="{points}"></polygon>
  </track>
  <track id="1" label="hand">
    <box frame="0" outside="0" xtl="36" ytl="20" xbr="58" ybr="40"></box>
  </track>
</annotations>"""


def label_studio() -> list[dict[str, Any]]:
    sides = {"original_width": 64, "original_height": 48, "image_rotation": 0}
    per_cent = [[100 * x / 64, 100 * y / 48] for x, y in SQUARE]
    mask = np.zeros(SIZE, np.uint8)
    mask[20:40, 36:58] = 255
    regions = [
        {
            **sides, "type": "polygonlabels",
            "value": {"points": per_cent, "polygonlabels": ["cup"], "closed": True},
        },
        {
            **sides, "type": "brushlabels",
            "value": {"format": "rle", "rle": brush(mask), "brushlabels": ["hand"]},
        },
        {"type": "choices", "value": {"choices": ["good"]}},
    ]  # fmt: skip
    return [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/0a1b2c3d-00000.jpg"},
            "annotations": [{"id": 5, "was_cancelled": False, "result": regions}],
        }
    ]


def brush(mask: NDArray[np.uint8]) -> list[int]:
    """Encode as Label Studio's own converter does: runs of equal bytes of RGBA pixels."""
    values = np.repeat(mask.ravel(), 4)
    widths = (3, 4, 8, 16)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in widths)
    edges = np.flatnonzero(np.diff(values.astype(int))) + 1
    for run in np.split(values, edges):
        value, left = int(run[0]), len(run)
        while left:
            length = min(left, 1 << 16)
            which = next(i for i, width in enumerate(widths) if length <= 1 << width)
            bits += f"1{which:02b}{length - 1:0{widths[which]}b}{value:08b}"
            left -= length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


MAKERS: dict[str, Callable[[], Any]] = {
    "labelme.json": labelme,
    "coco.json": coco,
    "yolo.txt": yolo,
    "images.xml": cvat_images,
    "video.xml": cvat_video,
    "studio.json": label_studio,
}


def content(name: str) -> str:
    """Return a format's file as text."""
    made = MAKERS[name]()
    return made if isinstance(made, str) else json.dumps(made)
