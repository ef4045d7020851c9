"""Write a file or folder whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_vos.errors import SinkError


@contextmanager
def written_whole(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a path beside another to write to, which takes its place at the end.

    Where the body fails, nothing is left of what it wrote, and what was at ``path`` is as before.

    Args:
        path: what is made, a file or a folder.
        overwrite: whether it takes the place of what is there.

    Yields:
        a path at which nothing is, in the folder of the other, which exists.

    Raises:
        SinkError: if the disk refuses it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    replaced = path.with_name(f".{path.name}.{os.getpid()}.replaced")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if overwrite and path.exists():
            path.rename(replaced)
        partial.rename(path)
    except OSError as error:
        raise SinkError(
            f"Cannot write {path}: {error.strerror or error}",
            "a folder that can be written",
            "Name another with -o",
        ) from error
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        _remove(partial)
        _remove(replaced)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.unlink()
