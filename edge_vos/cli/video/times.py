"""Times as they are typed: `90`, `90.5`, `1:30`, `00:01:30.5`."""

import re

from edge_vos.errors import UsageError

_TIME = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)")


def parse_time(option: str, text: str) -> float:
    """Return a time in seconds.

    Args:
        option: that it was given to, such as ``--start``.
        text: seconds, or hours, minutes and seconds between colons.

    Raises:
        UsageError: if it is written otherwise.
    """
    match = _TIME.fullmatch(text.strip())
    seconds = float(match[3]) if match else 0.0
    if match is None or (match[2] is not None and seconds >= 60):
        raise UsageError(
            f"{option} {text!r} is no time", "seconds, MM:SS or HH:MM:SS", f"Give {option} 1:02.5"
        )
    return 3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + seconds
