"""Write a file so that whatever happens, it ends with something whole."""

from pathlib import Path


class AppendFile:
    """Append to a new file, each time all or nothing, and at once: a crash loses nothing.

    Args:
        path: the file; one that exists is replaced.

    Raises:
        OSError: if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.size_bytes = 0

    @property
    def closed(self) -> bool:
        """Return whether it was closed."""
        return self._file.closed

    def append(self, content: bytes) -> None:
        """Add something whole.

        Raises:
            OSError: if there is no room for all of it; then nothing of it is in the file.
        """
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self.size_bytes)
            self._file.seek(self.size_bytes)
            raise
        self.size_bytes += len(content)

    def patch(self, place: int, content: bytes) -> None:
        """Replace bytes that are in the file."""
        self._file.seek(place)
        self._file.write(content)
        self._file.seek(self.size_bytes)

    def close(self) -> None:
        """Close it; closing twice does nothing."""
        self._file.close()
