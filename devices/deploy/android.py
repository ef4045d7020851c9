"""Read what ``adb shell dumpsys`` tells of a phone: whether it slows down, and what powers it.

What a text does not hold, or holds malformed, is None.
"""

import re

_STATUS = re.compile(r"^Thermal Status:[ \t]*([0-9]{1,3})[ \t]*$", re.MULTILINE)
_POWERED = re.compile(r"^[ \t]+[A-Za-z][A-Za-z ]*powered:[ \t]*(true|false)[ \t]*$", re.MULTILINE)
_WORST = 6  # "shutdown"; from 1, "light", on the phone throttles


def parse_throttles(text: str) -> bool | None:
    """Tell from ``dumpsys thermalservice`` whether a phone slows down for its heat.

    Android tells since version 10.
    """
    status = _STATUS.search(text)
    if status is None or int(status[1]) > _WORST:
        return None
    return int(status[1]) > 0


def parse_powered(text: str) -> bool | None:
    """Tell from ``dumpsys battery`` whether a charger or a computer powers a phone."""
    powered = _POWERED.findall(text)
    return "true" in powered if powered else None
