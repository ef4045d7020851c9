"""Read what the operating system knows of who uses the CPU.

Parsers are pure functions over text and answer None where the text does not hold the figure: a
benchmark goes on without it and says so.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class CpuTimes:
    """Hold CPU seconds since boot, summed over all cores.

    Args:
        busy_s: seconds spent on work, or stolen by the host of a virtual machine.
        total_s: the same and idle time.
    """

    busy_s: float
    total_s: float


def parse_cpu_times(text: str, ticks_per_second: int) -> CpuTimes | None:
    """Read the line of all cores out of the text of /proc/stat.

    Time that a hypervisor gave to others ("steal") counts as busy: it slows this machine as a
    neighbouring process does. Guest time stands in user time already.
    """
    for line in text.splitlines():
        name, *fields = line.split()[:9] or [""]
        if name != "cpu":
            continue
        if len(fields) < 4 or not all(field.isascii() and field.isdigit() for field in fields):
            return None
        ticks = [int(field) for field in fields]
        idle = sum(ticks[3:5])  # idle and iowait
        return CpuTimes((sum(ticks) - idle) / ticks_per_second, sum(ticks) / ticks_per_second)
    return None


def machine_cpu_times() -> CpuTimes:
    """Return what all processes together have used of the CPU since boot."""
    text = _read(_STAT)
    on_linux = parse_cpu_times(text, os.sysconf("SC_CLK_TCK")) if text else None
    if on_linux is not None:
        return on_linux
    times = psutil.cpu_times()
    total_s = float(sum(times))
    return CpuTimes(total_s - float(times.idle), total_s)


def own_cpu_s() -> float:
    """Return the CPU seconds of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


def other_cpu_percent(before: CpuTimes, after: CpuTimes, own_s: float) -> float | None:
    """Return the share of the machine's CPU time that others used between two readings.

    Args:
        before: a reading.
        after: a later one.
        own_s: CPU seconds that this process and its children used in between.

    Returns:
        0-100 of all cores' time; None when the interval is too short for the clock's ticks.
    """
    total_s = after.total_s - before.total_s
    if total_s <= 0:
        return None
    others_s = after.busy_s - before.busy_s - own_s
    return min(100.0, max(0.0, 100 * others_s / total_s))


class CpuWatch:
    """Watch who else uses the CPU, from the moment of its making."""

    def __init__(self) -> None:
        self._machine = machine_cpu_times()
        self._own_s = own_cpu_s()

    def other_percent(self, children_s: float = 0.0) -> float | None:
        """Return the share of the machine's CPU time used by others since then.

        Args:
            children_s: CPU seconds of child processes that still run, known from elsewhere.

        Returns:
            0-100 of all cores' time; None when too little time has passed.
        """
        own_s = own_cpu_s() - self._own_s + children_s
        return other_cpu_percent(self._machine, machine_cpu_times(), own_s)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
