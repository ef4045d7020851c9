"""Write one file of labels for a whole run, at its end and all at once."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.names import UNNAMED
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.output import Sink, make_folder, unwritable
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame


@dataclass(frozen=True)
class FrameFiles:
    """Say where frames come from, so that labels can name them.

    Args:
        files: of the frames, in order; none where they have none, as in a video.
    """

    files: tuple[Path, ...] = ()

    def file(self, frame: Frame) -> Path | None:
        """Return a frame's own file."""
        return self.files[frame.index % len(self.files)] if self.files else None

    def name(self, frame: Frame) -> str:
        """Return a frame's file name, or the one that it would have among such files."""
        file = self.file(frame)
        return file.name if file is not None else f"{frame.index:05d}.jpg"


class LabelFormat(Protocol):
    """Turn results into a file's text.

    It keeps at most some words for each frame, so that a run can be long.
    """

    def record(self, frame: Frame, result: FrameResult) -> str:
        """Return a frame as one line, which is kept on disk."""

    def document(self, lines: Iterator[str]) -> Iterator[str]:
        """Return the file's text, in pieces, from all lines in their order."""


class Classes:
    """Give a number to each name, in the order of their coming.

    Args:
        first: the first one's number.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._numbers: dict[str, int] = {}

    def number(self, state: ObjectState) -> int:
        """Return the number of an object's name; those without one share a number."""
        return self._numbers.setdefault(state.name or UNNAMED, len(self._numbers) + self._first)

    @property
    def names(self) -> dict[int, str]:
        """Return the names by number."""
        return {number: name for name, number in self._numbers.items()}


class LabelFile(Sink):
    """Collect labels in a nameless file beside the output, and write that in one go.

    Args:
        uri: what the user asked for.
        path: the file.
        format: of the text.

    Raises:
        SinkError: if the folder cannot be written to.
    """

    def __init__(self, uri: str, path: Path, format: LabelFormat) -> None:
        self.uri = uri
        self.files = (str(path),)
        self._path, self._format = path, format
        self._count = 0
        make_folder(path.parent)
        try:
            self._spool: IO[str] = TemporaryFile(  # noqa: SIM115 - it stays open
                "w+", encoding="utf-8", newline="\n", dir=path.parent
            )
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Keep one frame's labels."""
        if self._spool.closed:
            return
        try:
            self._spool.write(f"{self._format.record(frame, result)}\n")
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._count += 1

    def close(self) -> None:
        """Write the file; without a frame there is none.

        Raises:
            SinkError: if it cannot be written to its end; then there is nothing.
        """
        if self._spool.closed:
            return
        partial = partial_path(self._path)
        try:
            with self._spool as spool:
                if not self._count:
                    self.files = ()
                    return
                spool.seek(0)
                lines = (line.rstrip("\n") for line in spool)
                with partial.open("w", encoding="utf-8", newline="\n") as file:
                    file.writelines(self._format.document(lines))
            partial.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise unwritable(self._path, error) from error
