"""Read temperatures and clocks out of Linux's /sys; every function takes the root of a tree."""

import math
from dataclasses import dataclass
from pathlib import Path

SYS = Path("/sys")


@dataclass(frozen=True)
class CpuClock:
    """Describe one frequency domain of the CPU.

    Args:
        policy: its name, such as ``policy0``.
        governor: what chooses the clock, such as ``schedutil``; empty where it is not told.
        current_mhz: the clock now; None where it is not told.
    """

    policy: str
    governor: str
    current_mhz: float | None


def read_text(path: Path) -> str:
    """Return a file's text without spaces and NULs at its ends; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\r\n")
    except OSError:  # a sensor that is switched off refuses to be read
        return ""


def read_number(path: Path) -> float | None:
    """Return the number that a file holds; None if it holds something else."""
    return parse_number(read_text(path))


def parse_number(text: str) -> float | None:
    """Read a finite decimal number; None if it is something else."""
    if not text.isascii() or "_" in text:  # Python takes 1_000
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_temperatures(root: Path = SYS) -> dict[str, float]:
    """Return degrees Celsius by thermal zone; a zone that is off or nonsense is left out."""
    found: dict[str, float] = {}
    for zone in sorted(root.glob("class/thermal/thermal_zone*")):
        milli = read_number(zone / "temp")
        if milli is None or not -60_000 < milli < 200_000:  # Tegra tells -256 of one that is off
            continue
        name = read_text(zone / "type") or zone.name
        found[f"{name} ({zone.name})" if name in found else name] = milli / 1000
    return found


def read_clocks(root: Path = SYS) -> tuple[CpuClock, ...]:
    """Return the CPU's frequency domains; none where the kernel tells none, as in a VM."""
    clocks = []
    for policy in sorted(root.glob("devices/system/cpu/cpufreq/policy*")):
        current = read_number(policy / "scaling_cur_freq")
        clocks.append(
            CpuClock(
                policy.name,
                read_text(policy / "scaling_governor"),
                None if current is None else current / 1000,
            )
        )
    return tuple(clocks)
