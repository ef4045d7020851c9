"""CVAT's XML 1.1 for images, with masks as run lengths.

Format: https://docs.cvat.ai/docs/other/xml_format
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.names import UNNAMED
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.labels.label_file import Classes, FrameFiles
from edge_vos.runtime.sources.frame import Frame


class Cvat:
    """Write a picture a frame; ``group_id`` is the object's number, the label its name.

    Args:
        frame_files: of the frames.
    """

    def __init__(self, frame_files: FrameFiles) -> None:
        self._frame_files, self._classes = frame_files, Classes(first=1)
        self._count = 0

    def record(self, frame: Frame, result: FrameResult) -> str:
        """Return a frame's element on one line."""
        self._count += 1
        height, width = result.mask.shape
        name = quoteattr(self._frame_files.name(frame))
        head = f'  <image id="{frame.index}" name={name} width="{width}" height="{height}">'
        masks = []
        for state in result.objects:
            self._classes.number(state)
            if not state.lost:
                masks.append(_mask(state, result.mask))
        return f"{head}{''.join(masks)}</image>"

    def document(self, lines: Iterator[str]) -> Iterator[str]:
        """Return the document, a frame at a time."""
        labels = "".join(
            f"<label><name>{escape(name)}</name><type>mask</type><attributes/></label>"
            for name in self._classes.names.values()
        )
        yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        yield f"  <meta><task><name>edge-vos</name><size>{self._count}</size>"
        yield f"<mode>annotation</mode><labels>{labels}</labels></task></meta>\n"
        for line in lines:
            yield f"{line}\n"
        yield "</annotations>\n"


def _mask(state: ObjectState, mask: NDArray[np.uint8]) -> str:
    left, top, width, height = (int(side) for side in state.box_xywh)
    pixels = (mask[top : top + height, left : left + width] == state.id).ravel()
    changes = np.flatnonzero(np.diff(pixels.view(np.uint8), prepend=np.uint8(0)))
    runs = np.diff(np.concatenate(([0], changes, [pixels.size])))
    rle = ", ".join(map(str, runs.tolist()))
    return (
        f'<mask label={quoteattr(state.name or UNNAMED)} source="auto" occluded="0" '
        f'rle="{rle}" left="{left}" top="{top}" width="{width}" height="{height}" '
        f'z_order="0" group_id="{state.number}"></mask>'
    )
