"""The text of multi-object tracking and segmentation, as KITTI MOTS has it.

Format: https://www.vision.rwth-aachen.de/page/mots
"""

from collections.abc import Iterator

from edge_vos.errors import SinkError
from edge_vos.runtime.masks import encode_rle
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.labels.label_file import Classes
from edge_vos.runtime.sources.frame import Frame

_ROOM = 1000  # objects of a class


class Mots:
    """Write ``FRAME ID CLASS HEIGHT WIDTH RLE``, where an id is 1000 times the class and a number.

    Classes are names, from 1 in the order of their coming; frames count from 0.
    """

    def __init__(self) -> None:
        self._classes = Classes(first=1)

    def record(self, frame: Frame, result: FrameResult) -> str:
        """Return a frame's lines as one.

        Raises:
            SinkError: if an object's number is none that the format has room for.
        """
        height, width = result.mask.shape
        lines = []
        for state in result.objects:
            if state.number >= _ROOM:
                raise SinkError(
                    f"The object id {state.number} in MOTS text",
                    f"ids below {_ROOM}",
                    "Write -o coco:labels.json, or renumber the objects",
                )
            if not state.lost:
                kind = self._classes.number(state)
                rle = encode_rle(result.mask == state.id)["counts"]
                number = kind * _ROOM + state.number
                lines.append(f"{frame.index} {number} {kind} {height} {width} {rle}")
        return "\t".join(lines)

    def document(self, lines: Iterator[str]) -> Iterator[str]:
        """Return the lines, one an object."""
        for line in lines:
            if line:
                yield line.replace("\t", "\n") + "\n"
