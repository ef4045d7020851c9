"""Keep what native libraries write to the terminal by themselves from the user."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


@contextmanager
def muted_stderr() -> Iterator[None]:
    """Send the process's standard error nowhere inside the block, native code's included.

    Errors of the libraries that this is for come as exceptions; what they print is remarks. Other
    threads are muted too, so keep the block short.
    """
    try:
        saved = os.dup(_STDERR)
    except OSError:  # the process has no standard error
        yield
        return
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
