"""COCO's JSON, as mask tracking uses it (CocoVID), and YouTube-VIS's.

Formats: https://cocodataset.org/#format-data, https://youtube-vos.org/dataset/vis/
"""

import json
from collections.abc import Iterator
from typing import Any

from edge_vos.runtime.masks import encode_rle
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.labels.label_file import Classes, FrameFiles
from edge_vos.runtime.sources.frame import Frame

_INFO = {"description": "written by edge-vos"}


class Coco:
    """Write an image a frame, with ``frame_id``, and an annotation an object, with ``track_id``.

    A category is a name; objects without one are of the category ``object``.

    Args:
        frame_files: of the frames.
    """

    def __init__(self, frame_files: FrameFiles) -> None:
        self._frame_files, self._classes = frame_files, Classes(first=1)
        self._images: list[dict[str, Any]] = []
        self._count = 0

    def record(self, frame: Frame, result: FrameResult) -> str:
        """Return a frame's annotations, a comma between them."""
        height, width = result.mask.shape
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": self._frame_files.name(frame),
                "height": height,
                "width": width,
                "video_id": 1,
                "frame_id": frame.index,
                "timestamp_s": round(frame.timestamp_s, 6),
            }
        )
        found = []
        for state in result.objects:
            if state.lost:
                continue
            self._count += 1
            annotation = {
                "id": self._count,
                "image_id": image_id,
                "video_id": 1,
                "category_id": self._classes.number(state),
                "track_id": state.number,
                "iscrowd": 0,
                "area": state.area_px,
                "bbox": [int(side) for side in state.box_xywh],
                "score": round(state.confidence, 4),
                "segmentation": encode_rle(result.mask == state.id),
            }
            found.append(json.dumps(annotation))
        return ", ".join(found)

    def document(self, lines: Iterator[str]) -> Iterator[str]:
        """Return the document, an annotation at a time."""
        categories = [{"id": i, "name": name} for i, name in self._classes.names.items()]
        head = {"info": _INFO, "videos": [{"id": 1, "name": "video"}], "categories": categories}
        yield f'{json.dumps(head)[:-1]}, "images": [\n'
        yield ",\n".join(map(json.dumps, self._images))
        yield '\n], "annotations": [\n'
        comma = ""
        for line in lines:
            if line:
                yield comma + line
                comma = ",\n"
        yield "\n]}\n"


class YouTubeVis:
    """Write an annotation an object, with a mask or nothing for each frame.

    Args:
        frame_files: of the frames.
    """

    def __init__(self, frame_files: FrameFiles) -> None:
        self._frame_files, self._classes = frame_files, Classes(first=1)
        self._names: list[str] = []
        self._size = (0, 0)
        self._categories: dict[int, int] = {}

    def record(self, frame: Frame, result: FrameResult) -> str:
        """Return a frame's masks by object."""
        self._names.append(self._frame_files.name(frame))
        if len(self._names) == 1:
            height, width = result.mask.shape
            self._size = (height, width)
        seen = {}
        for state in result.objects:
            category = self._classes.number(state)
            if self._categories.setdefault(state.number, category) != category:
                self._categories[state.number] = category  # it was named meanwhile
            if not state.lost:
                box = [int(side) for side in state.box_xywh]
                rle = encode_rle(result.mask == state.id)
                seen[str(state.number)] = [rle, box, state.area_px]
        return json.dumps(seen)

    def document(self, lines: Iterator[str]) -> Iterator[str]:
        """Return the document, an object's masks at a time."""
        height, width = self._size
        video = {
            "id": 1, "width": width, "height": height, "length": len(self._names),
            "file_names": self._names,
        }  # fmt: skip
        categories = [{"id": i, "name": name} for i, name in self._classes.names.items()]
        head = {"info": _INFO, "videos": [video], "categories": categories}
        yield f'{json.dumps(head)[:-1]}, "annotations": [\n'
        frames: list[dict[str, list[Any]]] = [json.loads(line) for line in lines]
        for place, (number, category) in enumerate(self._categories.items()):
            columns = [frame.get(str(number), [None, None, None]) for frame in frames]
            annotation = {
                "id": number,
                "video_id": 1,
                "category_id": category,
                "iscrowd": 0,
                "width": width,
                "height": height,
                "length": len(self._names),
                "segmentations": [column[0] for column in columns],
                "bboxes": [column[1] for column in columns],
                "areas": [column[2] for column in columns],
            }
            yield (",\n" if place else "") + json.dumps(annotation)
        yield "\n]}\n"
