"""Read what else decides how fast a machine is just now: clocks, heat, power, governor."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from edge_vos.devices.telemetry.memory import rss_bytes
from edge_vos.devices.telemetry.power import board_power_mw, read_rail_power_mw
from edge_vos.devices.telemetry.sysfs import (
    SYS,
    read_clocks,
    read_number,
    read_temperatures,
    read_text,
)
from edge_vos.devices.telemetry.tegrastats import TegraSample, parse_power_mode
from edge_vos.devices.telemetry.tools import ask_tool

_THROTTLED = "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
_FIRMWARE = "devices/platform/soc/soc:firmware/get_throttled"
_FLAGS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16  # the same flags again, from this bit on
_HEX = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})")

Ask = Callable[[str, str], str]
"""Runs a tool with one argument and returns what it prints; empty where it is missing."""


@dataclass(frozen=True)
class MachineSample:
    """Hold one moment of a measurement; None is what this machine does not tell.

    Args:
        at_s: seconds since its start.
        rss_bytes: resident memory of this process.
        clock_mhz: of the fastest cores.
        temperature_c: of the hottest thermal zone.
        power_mw: of the whole board.
        board_used_bytes: memory in use on a Jetson, of CPU and GPU together.
        gpu_percent: load of a Jetson's GPU, 0-100.
        gpu_mhz: clock of it.
    """

    at_s: float
    rss_bytes: int
    clock_mhz: float | None
    temperature_c: float | None
    power_mw: float | None
    board_used_bytes: int | None = None
    gpu_percent: float | None = None
    gpu_mhz: float | None = None


@dataclass(frozen=True)
class Conditions:
    """Hold how a machine was set, and how often it throttled; None is what it does not tell.

    Args:
        governors: what chooses the clocks, such as ``performance``, one of each kind.
        on_battery: whether it runs on one.
        throttled: how often the first core was throttled since boot.
        power_mode: of a Jetson, such as ``MAXN``.
        firmware_flags: a Raspberry Pi's throttling flags, as ``vcgencmd get_throttled`` has them:
            bits 0-3 hold now, bits 16-19 held at some time since boot.
    """

    governors: tuple[str, ...]
    on_battery: bool | None
    throttled: int | None
    power_mode: str | None = None
    firmware_flags: int | None = None


def sample_machine(
    at_s: float, root: Path = SYS, tegra: TegraSample | None = None
) -> MachineSample:
    """Look at this process and this machine now.

    Args:
        at_s: seconds since the measurement began.
        root: of the tree to read.
        tegra: what ``tegrastats`` said last.
    """
    told = tegra or TegraSample()
    power_mw = board_power_mw(read_rail_power_mw(root))
    clocks = [clock.current_mhz for clock in read_clocks(root) if clock.current_mhz is not None]
    return MachineSample(
        at_s=at_s,
        rss_bytes=rss_bytes(),
        clock_mhz=max(clocks, default=None),
        temperature_c=max(read_temperatures(root).values(), default=None),
        power_mw=told.board_mw if power_mw is None else power_mw,
        board_used_bytes=told.ram_used_bytes,
        gpu_percent=told.gpu_percent,
        gpu_mhz=told.gpu_mhz,
    )


def parse_firmware_flags(text: str) -> int | None:
    """Read a Raspberry Pi's flags out of the answer of ``vcgencmd``, or of its file in /sys."""
    match = _HEX.fullmatch(text.strip())
    return int(match[1], 16) if match else None


def name_flags(flags: int, before: int | None = None) -> tuple[str, ...]:
    """Return in words which of a Raspberry Pi's flags hold.

    Args:
        flags: as :class:`Conditions` has them.
        before: an earlier reading: what came up since then and went again is named too.
    """
    risen = 0 if before is None else (flags & ~before) >> _SINCE_BOOT
    return tuple(name for bit, name in enumerate(_FLAGS) if (flags | risen) >> bit & 1)


def read_conditions(root: Path = SYS, ask: Ask = ask_tool) -> Conditions:
    """Read how this machine is set.

    Args:
        root: of the tree to read.
        ask: runs ``nvpmodel`` and ``vcgencmd``.
    """
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    throttled = read_number(root / _THROTTLED)
    return Conditions(
        governors=tuple(sorted({clock.governor for clock in read_clocks(root)} - {""})),
        on_battery=None if battery is None else battery.power_plugged is False,
        throttled=None if throttled is None else int(throttled),
        power_mode=parse_power_mode(ask("nvpmodel", "-q")),
        firmware_flags=parse_firmware_flags(
            read_text(root / _FIRMWARE) or ask("vcgencmd", "get_throttled")
        ),
    )


def energy_mj(
    machine_samples: Sequence[MachineSample], duration_s: float, steps: int
) -> float | None:
    """Return the board's millijoules a step; None where its power is not told."""
    told = [moment.power_mw for moment in machine_samples if moment.power_mw is not None]
    return sum(told) / len(told) * duration_s / steps if told else None
