"""Read how much memory this process holds, with as little of its own as can be.

Nothing but the standard library is imported before it is needed: what is measured step by step
starts from a bare interpreter.
"""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def parse_status_bytes(text: str, field: str) -> int | None:
    """Read one size, such as VmHWM or VmRSS, out of the text of /proc/self/status."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            match value.split():
                case [size, "kB"] if size.isascii() and size.isdigit():
                    return int(size) * 1024
                case _:
                    return None
    return None


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    on_linux = parse_status_bytes(_status(), "VmRSS")
    if on_linux is not None:
        return on_linux
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process ever had."""
    on_linux = parse_status_bytes(_status(), "VmHWM")
    if on_linux is not None:
        return on_linux
    import psutil

    on_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if on_windows is not None:
        return int(on_windows)
    import resource  # Unix alone has it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _status() -> str:
    try:
        return _STATUS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system than Linux
        return ""
