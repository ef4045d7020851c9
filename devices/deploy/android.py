"""Read what ``adb shell dumpsys`` tells of a phone: heat and battery.

What a text does not hold, or holds malformed, is None or left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edge_vos.devices.telemetry.sysfs import parse_number

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Names of Android's thermal status, by its number; from "light" on the phone throttles."""

_TEMPERATURE = re.compile(r"Temperature\{mValue=([^,}]*),[^}]*?\bmName=([^,}]+)")
_STATUS = re.compile(r"^Thermal Status:[ \t]*([0-9]{1,3})[ \t]*$", re.MULTILINE)
_FIELD = re.compile(r"^[ \t]+([A-Za-z][A-Za-z ]*):[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_LIVE = "Current temperatures from HAL:"
_OFF_C = -60.0  # a sensor that is not there tells -99.9
_HOTTEST_C = 200.0


@dataclass(frozen=True)
class PhoneHeat:
    """Hold ``dumpsys thermalservice``.

    Args:
        status: index into ``THERMAL_STATUS``; None where it is not told.
        temperatures_c: by sensor, as they are now.
    """

    status: int | None
    temperatures_c: Mapping[str, float]

    @property
    def throttles(self) -> bool | None:
        """Tell whether the phone slows down for its heat; None where it is not told."""
        return None if self.status is None else self.status > 0


@dataclass(frozen=True)
class Battery:
    """Hold ``dumpsys battery``.

    Args:
        level_percent: 0-100.
        powered: whether a charger or a computer powers the phone; None where it is not told.
        temperature_c: of the battery.
        voltage_mv: of the battery.
    """

    level_percent: float | None
    powered: bool | None
    temperature_c: float | None
    voltage_mv: float | None


def parse_thermalservice(text: str) -> PhoneHeat | None:
    """Read ``dumpsys thermalservice`` of Android 10 and later; None if it tells nothing.

    Temperatures that the service keeps from earlier serve only where there are no live ones.
    """
    status = _STATUS.search(text)
    _, live, rest = text.partition(_LIVE)
    temperatures: dict[str, float] = {}
    for value, name in _TEMPERATURE.findall(rest.partition("Current cooling")[0] if live else text):
        celsius = parse_number(value)
        if celsius is not None and _OFF_C < celsius < _HOTTEST_C:
            temperatures[name] = celsius
    number = int(status[1]) if status else None
    if number is None and not temperatures:
        return None
    known = number is not None and number < len(THERMAL_STATUS)
    return PhoneHeat(number if known else None, temperatures)


def parse_battery(text: str) -> Battery | None:
    """Read ``dumpsys battery``; None if it tells nothing."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name, value)
    if not fields:
        return None

    def number(name: str) -> float | None:
        return parse_number(fields.get(name, ""))

    level, scale, tenths = number("level"), number("scale"), number("temperature")
    percent = None if level is None else 100 * level / (100.0 if not scale or scale < 1 else scale)
    powered = [value for name, value in fields.items() if name.endswith("powered")]
    return Battery(
        level_percent=percent if percent is not None and 0 <= percent <= 100 else None,
        powered="true" in powered if powered else None,
        temperature_c=None if tenths is None else tenths / 10,
        voltage_mv=number("voltage"),
    )
