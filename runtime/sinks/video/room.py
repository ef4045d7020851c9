"""See in time that a disk is full: an index is written last, and needs room too."""

import shutil
from pathlib import Path

from edge_vos.errors import SinkError
from edge_vos.runtime.sinks.output import unwritable

_LEAST_FREE_BYTES = 16 << 20
LOOK_EVERY = 30  # pictures


def check_room(path: Path) -> None:
    """Refuse to go on writing to a disk that is nearly full.

    Raises:
        SinkError: if it is.
    """
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise unwritable(path, error) from error
    if free < _LEAST_FREE_BYTES:
        raise SinkError(
            f"The disk of {path} is full, with {free / 1e6:.0f} MB left",
            f"more than {_LEAST_FREE_BYTES / 1e6:.0f} MB",
            f"df -h {path.parent}",
        )
