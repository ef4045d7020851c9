"""Take results: what every output does, and those that write masks."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Protocol

from edge_vos.errors import SinkError
from edge_vos.runtime.masks import encode_rle, write_labels_png
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.append import AppendFile
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame

_MASK_NAME = re.compile(r"\d{5,}\.png")


class Sink(Protocol):
    """Take results, one by one, then be closed.

    Attributes:
        uri: where they go: the path, ``window`` or ``none``.
        files: files and folders that hold results, as paths.
        shows: whether a person sees the results at once.
    """

    uri: str
    files: tuple[str, ...] = ()
    shows: ClassVar[bool] = False

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Take one frame and what was found in it."""

    def pump(self) -> None:
        """Answer the user while no results come; called some fifty times a second."""
        return

    def close(self) -> None:
        """Complete the output; closing twice does nothing."""

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Nothing(Sink):
    """Forget all results."""

    def __init__(self) -> None:
        self.uri = "none"

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Forget it."""

    def close(self) -> None:
        """Do nothing."""


class MaskFolder(Sink):
    """Write one palette PNG a frame, as DAVIS has them: 00000.png and on, by the frame's index.

    Args:
        path: the folder; made when missing.
        overwrite: remove the masks that a run before left in it.

    Raises:
        SinkError: if it is not empty, or cannot be written.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self.uri = str(path)
        self.files = (self.uri,)
        self._path = path
        self._made = not path.exists()
        make_folder(path)
        try:
            present = list(path.iterdir())
            if present and not overwrite:
                raise SinkError(
                    f"The output folder {path} is not empty",
                    "a new or empty folder",
                    "Add --overwrite, or choose another",
                )
            for old in present:
                if _MASK_NAME.fullmatch(old.name):
                    old.unlink()
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write one mask; nobody sees half of it."""
        path = self._path / f"{frame.index:05d}.png"
        partial = path.with_suffix(".partial")
        try:
            write_labels_png(partial, result.numbered_mask())
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def close(self) -> None:
        """Leave no folder that this made and nothing was written to."""
        if self._made and self._path.is_dir() and not any(self._path.iterdir()):
            self._path.rmdir()
            self.files = ()


class JsonLines(Sink):
    """Write one JSON document a frame: time, objects, names, boxes, confidences, COCO run lengths.

    Args:
        path: the file; it has its name when it is complete, and ``masks.partial.jsonl`` before,
            with whole lines only.

    Raises:
        SinkError: if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self.files = (self.uri,)
        self._path = path
        self._partial = partial_path(path)
        self._count = 0
        try:
            self._file = AppendFile(self._partial)
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write one line."""
        if self._file.closed:
            return
        line = {
            "frame": frame.index,
            "timestamp_s": round(frame.timestamp_s, 6),
            "objects": [
                {
                    "id": state.number,
                    "name": state.name,
                    "colour": list(state.colour),
                    "area_px": state.area_px,
                    "box_xywh": [int(side) for side in state.box_xywh],
                    "confidence": round(state.confidence, 4),
                    "lost": state.lost,
                    "event": state.event,
                    "segmentation": encode_rle(result.mask == state.id),
                }
                for state in result.objects
            ],
        }
        try:
            self._file.append(f"{json.dumps(line)}\n".encode())
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._count += 1

    def close(self) -> None:
        """Complete the file; without a frame there is none.

        Raises:
            SinkError: if it cannot be written to its end.
        """
        if self._file.closed:
            return
        try:
            self._file.close()
        except OSError as error:
            raise unwritable(self._path, error) from error
        self.files = complete(self._partial, self._path, self._count)


def complete(partial: Path, path: Path, count: int) -> tuple[str, ...]:
    """Give a file its name; one of no frames is removed.

    Args:
        partial: the name that it has had.
        path: the one that was asked for.
        count: frames in it.

    Returns:
        the files that there are now.

    Raises:
        SinkError: if that cannot be done.
    """
    try:
        if count:
            partial.replace(path)
            return (str(path),)
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return ()


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        SinkError: if that cannot be done.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> SinkError:
    """Make the error for an output that the operating system refuses."""
    return SinkError(
        f"The output {path} cannot be written ({error.strerror or error})",
        "a folder that may be written to, and room on its disk",
        f"ls -ld {path.parent}",
    )
