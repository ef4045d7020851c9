"""Write a folder of labels: a data set for YOLO, or what LabelMe opens."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.annotations.polygons import join, polygons
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.names import UNNAMED
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.labels.label_file import FrameFiles
from edge_vos.runtime.sinks.output import Sink, make_folder, unwritable
from edge_vos.runtime.sources.frame import Frame

_QUALITY = 95
_DATA_SET = """\
# Both are the same pictures: divide them as you want.
train: images
val: images
"""


class FolderFormat(Protocol):
    """Turn results into files of a folder."""

    def contents(self, frame: Frame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        """Return a frame's files, as paths in the folder and what is in them."""

    def last(self) -> Iterator[tuple[str, bytes]]:
        """Return the files that belong to all frames."""


class LabelFolder(Sink):
    """Write some files a frame into a new folder; nobody sees half of one.

    Args:
        uri: what the user asked for.
        path: the folder, new or empty.
        format: of its files.
        begun: a run that goes on began it: it need not be empty.

    Raises:
        SinkError: if it is not empty, or cannot be written.
    """

    def __init__(self, uri: str, path: Path, format: FolderFormat, begun: bool = False) -> None:
        self.uri = uri
        self.files = (str(path),)
        self._path, self._format = path, format
        self._made, self._count, self._closed = not path.exists(), 0, False
        make_folder(path)
        try:
            if not begun and any(path.iterdir()):
                raise SinkError(
                    f"The output folder {path} is not empty", "a new or empty folder",
                    "Choose another, or remove what is in it",
                )  # fmt: skip
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write one frame's files."""
        for name, content in self._format.contents(frame, result):
            self._put(name, content)
        self._count += 1

    def close(self) -> None:
        """Write what belongs to all frames; leave no folder that nothing was written to.

        Raises:
            SinkError: if that cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        if self._count:
            for name, content in self._format.last():
                self._put(name, content)
            return
        self.files = ()
        if self._made:
            with suppress(OSError):
                self._path.rmdir()

    def _put(self, name: str, content: bytes) -> None:
        path = self._path / name
        partial = path.with_name(f"{path.name}.partial")
        make_folder(path.parent)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(path, error) from error


class Yolo:
    """Write ``images/``, ``labels/`` and ``data.yaml``, as Ultralytics' training takes them.

    A class is a name; an object without one is a class of its own.

    Args:
        frame_files: of the frames.
    """

    def __init__(self, frame_files: FrameFiles) -> None:
        self._frame_files = frame_files
        self._classes: dict[str, int] = {}

    def contents(self, frame: Frame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        """Return the picture and its labels."""
        name = self._frame_files.name(frame)
        height, width = result.mask.shape
        lines = []
        for state in result.objects:
            kind = self._classes.setdefault(_class(state), len(self._classes))
            if not state.lost:
                outline = join(polygons(result.mask == state.id)) / (width, height)
                lines.append(" ".join([str(kind), *(f"{side:.7g}" for side in outline.ravel())]))
        yield f"images/{name}", _picture(self._frame_files, frame)
        yield f"labels/{Path(name).stem}.txt", "".join(f"{line}\n" for line in lines).encode()

    def last(self) -> Iterator[tuple[str, bytes]]:
        """Return the description of the data set."""
        names = "".join(f"  {i}: {json.dumps(name)}\n" for name, i in self._classes.items())
        yield "data.yaml", f"{_DATA_SET}names:\n{names}".encode()


class LabelMe:
    """Write a JSON file a frame, for the picture that it was found in, or for a copy beside it.

    Args:
        frame_files: of the frames.
        folder: that the files go to.
    """

    def __init__(self, frame_files: FrameFiles, folder: Path) -> None:
        self._frame_files, self._folder = frame_files, folder

    def contents(self, frame: Frame, result: FrameResult) -> Iterator[tuple[str, bytes]]:
        """Return the labels, and the picture where it has no file of its own."""
        name, file = self._frame_files.name(frame), self._frame_files.file(frame)
        if file is None:
            yield name, _picture(self._frame_files, frame)
        height, width = result.mask.shape
        shapes = [
            _shape(state, points)
            for state in result.objects
            if not state.lost
            for points in polygons(result.mask == state.id)
        ]
        document = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": name if file is None else _relative(file, self._folder),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        yield f"{Path(name).stem}.json", json.dumps(document, indent=1).encode()

    def last(self) -> Iterator[tuple[str, bytes]]:
        """Return nothing: every frame stands alone."""
        yield from ()


def _class(state: ObjectState) -> str:
    return state.name or f"{UNNAMED} {state.number}"


def _shape(state: ObjectState, points: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "label": state.name or UNNAMED,
        "points": points.tolist(),
        "group_id": state.number,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }


def _relative(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return file.resolve().as_posix()


def _picture(frame_files: FrameFiles, frame: Frame) -> bytes:
    file = frame_files.file(frame)
    if file is None:
        _, encoded = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return bytes(encoded.data)
    try:
        return file.read_bytes()
    except OSError as error:
        raise SinkError(
            f"The frame {file} cannot be copied ({error.strerror or error})",
            "the file that was read",
        ) from error
