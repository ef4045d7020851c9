"""Take values out of JSON that somebody else wrote, each checked where it is taken."""

import json
import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError
from edge_vos.manifest_json import MAX_DEPTH, json_depth

T = TypeVar("T")

FURTHEST_PX = 1e6
"""No coordinate is larger: no picture is."""


def parse_json(text: str) -> Any:
    """Parse a document.

    Raises:
        MaskError: if it is none, or one that nests without end.
    """
    if json_depth(text.encode("utf-8", "replace")) > MAX_DEPTH:
        raise MaskError("Its JSON is nested too deeply", "a file that an editor wrote")
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise MaskError(f"Its JSON cannot be read ({error})", "a file that is whole") from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def record(value: Any, what: str) -> dict[str, Any]:
    """Return an object of JSON.

    Raises:
        MaskError: if it is something else.
    """
    return _of(dict, value, what, "an object in braces")


def entries(value: Any, what: str) -> list[Any]:
    """Return a list of JSON; errors as ``record``'s."""
    return _of(list, value, what, "a list in brackets")


def text(value: Any, what: str) -> str:
    """Return a string of JSON; errors as ``record``'s."""
    return _of(str, value, what, "text")


def _of(kind: type[T], value: Any, what: str, expected: str) -> T:
    if not isinstance(value, kind):
        raise MaskError(f"{what} is {_shown(value)}", expected)
    return value


def whole(value: Any, what: str) -> int:
    """Return a whole number; one that is written as text or as 3.0 counts.

    Raises:
        MaskError: if it is something else.
    """
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
        # Beyond 2**53 a float is not every whole number.
        if not isinstance(value, bool) and number.is_integer() and abs(number) <= 1 << 53:
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise MaskError(f"{what} is {_shown(value)}", "a whole number")


def points(value: Any, what: str, least: int = 3) -> NDArray[np.float64]:
    """Return points as (N, 2) float64.

    Args:
        value: [[x, y], …], or x, y, x, y, ….
        what: it is called.
        least: so many there must be.

    Raises:
        MaskError: if they are something else, or too few.
    """
    try:
        found = np.array(entries(value, what), np.float64)
        if found.ndim == 1:
            found = found.reshape(-1, 2)
    except (ValueError, TypeError, OverflowError):
        found = np.empty((0, 0))
    if found.ndim != 2 or found.shape[1] != 2:
        raise MaskError(f"{what} cannot be read as points", "pairs of x and y")
    if len(found) < least:
        raise MaskError(f"{what} has {len(found)} points", f"at least {least}")
    return check_points(found, what)


def check_points(found: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Check that points could be on a picture.

    Raises:
        MaskError: if one could not.
    """
    if not np.isfinite(found).all() or np.abs(found).max() > FURTHEST_PX:
        raise MaskError(f"{what} reaches beyond every picture", f"pixels below {FURTHEST_PX:.0f}")
    return found


def _shown(value: Any) -> str:
    shown = repr(value)
    return f"missing ({value!r})" if value is None else shown[:40] + ("…" if shown[40:] else "")
