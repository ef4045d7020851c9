"""Read what else decides how fast a machine is just now: clocks, heat, power, governor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from edge_vos.devices.rails import board_power_mw, read_rails
from edge_vos.devices.sysfs import SYS, read_clocks, read_number, read_temperatures
from edge_vos.devices.telemetry import rss_bytes

_THROTTLED = "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"


@dataclass(frozen=True)
class Vitals:
    """Hold one moment of a measurement; None is what this machine does not tell.

    Args:
        at_s: seconds since its start.
        rss_bytes: resident memory of this process.
        clock_mhz: of the fastest cores.
        temperature_c: of the hottest thermal zone.
        power_mw: of the whole board.
    """

    at_s: float
    rss_bytes: int
    clock_mhz: float | None
    temperature_c: float | None
    power_mw: float | None


@dataclass(frozen=True)
class Conditions:
    """Hold how a machine was set, and how often it throttled; None is what it does not tell.

    Args:
        governors: what chooses the clocks, such as ``performance``, one of each kind.
        on_battery: whether it runs on one.
        throttled: how often the first core was throttled since boot.
    """

    governors: tuple[str, ...]
    on_battery: bool | None
    throttled: int | None


def read_vitals(at_s: float, root: Path = SYS) -> Vitals:
    """Look at this process and this machine now."""
    clocks = [clock.current_mhz for clock in read_clocks(root) if clock.current_mhz is not None]
    return Vitals(
        at_s=at_s,
        rss_bytes=rss_bytes(),
        clock_mhz=max(clocks, default=None),
        temperature_c=max(read_temperatures(root).values(), default=None),
        power_mw=board_power_mw(read_rails(root)),
    )


def read_conditions(root: Path = SYS) -> Conditions:
    """Read how this machine is set."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    throttled = read_number(root / _THROTTLED)
    return Conditions(
        governors=tuple(sorted({clock.governor for clock in read_clocks(root)} - {""})),
        on_battery=None if battery is None else battery.power_plugged is False,
        throttled=None if throttled is None else int(throttled),
    )


def energy_mj(vitals: Sequence[Vitals], duration_s: float, steps: int) -> float | None:
    """Return the board's millijoules a step; None where its power is not told."""
    told = [moment.power_mw for moment in vitals if moment.power_mw is not None]
    return sum(told) / len(told) * duration_s / steps if told else None
