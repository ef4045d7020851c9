"""Say where an output goes, and keep what is there from being lost."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_vos.errors import SinkError


def partial_path(path: Path) -> Path:
    """Return the name that a file has until it is complete: ``clip.partial.mkv``."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


@dataclass(frozen=True)
class OutputPath:
    """Hold where an output goes.

    Args:
        uri: what the user asked for.
        path: the file or the folder.
        is_folder: whether it is a folder of masks.
        codec: what a video shall be written as; ``None`` leaves it to the suffix.
    """

    uri: str
    path: Path
    is_folder: bool
    codec: str | None = None

    @property
    def places(self) -> tuple[Path, ...]:
        """Return the paths that are written to."""
        return (self.path,) if self.is_folder else (self.path, partial_path(self.path))

    def check_free(self, overwrite: bool) -> None:
        """Refuse to replace what is there, unless that was asked for.

        Raises:
            SinkError: if there is a file, what a killed run left of one, or a folder in its place.
        """
        if self.is_folder:
            return
        for place in self.places:
            if os.path.isdir(place):
                raise SinkError(
                    f"The output {self.uri} cannot be written: {place} is a folder",
                    "a new path",
                    f"ls -ld {place}",
                )
        if overwrite:
            return
        if os.path.exists(self.path):
            raise SinkError(
                f"The output {self.path} exists",
                "a new path",
                "Add --overwrite, or remove it first",
            )
        if os.path.exists(partial := self.places[1]):
            raise SinkError(
                f"{partial} is there: what a run that was killed, or still goes on, wrote of "
                f"{self.path}",
                "a new path",
                "Rename it to keep it, or add --overwrite to replace it",
            )


def check_apart(output_paths: Sequence[OutputPath]) -> None:
    """Refuse two outputs that write to one place.

    Raises:
        SinkError: if there are such.
    """
    taken: set[str] = set()
    for output_path in output_paths:
        places = {os.path.realpath(place) for place in output_path.places}
        if places & taken:
            raise SinkError(
                f"The output {output_path.uri} is a file of another output", "each file once"
            )
        taken |= places


def check_spares(output_paths: Sequence[OutputPath], inputs: Iterable[Path]) -> None:
    """Refuse an output that would replace what the run is made from.

    Args:
        output_paths: where the outputs go.
        inputs: files that the run reads.

    Raises:
        SinkError: if an output is one of them, under whatever name, or a folder that holds one.
    """
    read = _identities(inputs)
    for output_path in output_paths:
        there = _entries(output_path.path) if output_path.is_folder else output_path.places
        for path in (read[identity] for identity in _identities(there) if identity in read):
            verb, wanted = (
                ("is in the folder", "a folder of its own")
                if output_path.is_folder
                else ("would be replaced by the output", "another path")
            )
            raise SinkError(f"{path}, which is read itself, {verb} {output_path.uri}", wanted)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # opening it says what is wrong
        return []


def _identities(paths: Iterable[Path]) -> dict[tuple[int, int], Path]:
    """Return files by what tells them apart whatever they are called, without those missing."""
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found[status.st_dev, status.st_ino] = path
    return found
