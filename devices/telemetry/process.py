"""Read what the operating system knows: memory of this process, and who else uses the CPU.

Parsers are pure functions over text and answer None where the text does not hold the figure: a
benchmark goes on without it and says so.
"""

import os
import shutil
import subprocess
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_STAT = Path("/proc/stat")
_ASK_S = 5.0


@dataclass(frozen=True)
class CpuTimes:
    """Hold CPU seconds since boot, summed over all cores.

    Args:
        busy_s: seconds spent on work, or stolen by the host of a virtual machine.
        total_s: the same and idle time.
    """

    busy_s: float
    total_s: float


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


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    on_linux = parse_status_bytes(_read(_STATUS) or "", "VmRSS")
    return on_linux if on_linux is not None else int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process ever had."""
    on_linux = parse_status_bytes(_read(_STATUS) or "", "VmHWM")
    if on_linux is not None:
        return on_linux
    on_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if on_windows is not None:
        return int(on_windows)
    import resource  # Unix alone has it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


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


class BackgroundTool:
    """Run a tool that prints a line now and then, and hand out its last one.

    No thread reads it, which would compete with what is measured: the pipe holds what the tool
    prints until it is asked for. The tool is ended by ``close``, and at the latest with this
    object or this process.

    Args:
        name: the tool; where it is missing, nothing is ever told.
        arguments: of it.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self._kept, self._pipe = b"", -1
        self._end: Callable[[], object] = lambda: None
        path = shutil.which(name)
        if path is None:
            return
        try:
            tool = subprocess.Popen(
                [path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            return
        if tool.stdout is not None:
            self._pipe = tool.stdout.fileno()
            os.set_blocking(self._pipe, False)
        self._end = weakref.finalize(self, _end_tool, tool)

    def last_line(self) -> str | None:
        """Return the last whole line so far; None before the first, and of a tool that ended."""
        while self._pipe >= 0:
            try:
                read = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not read:  # it ended, and what it said is no longer so
                self._kept, self._pipe = b"", -1
                break
            self._kept += read
            head, end, rest = self._kept.rpartition(b"\n")
            self._kept = head.rpartition(b"\n")[2] + end + rest
        whole, end, _ = self._kept.rpartition(b"\n")
        return whole.rpartition(b"\n")[2].decode(errors="replace") if end else None

    def close(self) -> None:
        """End the tool and wait for it; nothing is told from then on."""
        self._kept, self._pipe = b"", -1
        self._end()


def _end_tool(tool: "subprocess.Popen[bytes]") -> None:
    tool.terminate()
    try:
        tool.wait(_ASK_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        tool.wait()
    if tool.stdout is not None:
        tool.stdout.close()


def ask_tool(name: str, argument: str) -> str:
    """Run a tool with one argument and return what it prints.

    Returns:
        Empty where the tool is missing, refuses, or does not answer in time.
    """
    path = shutil.which(name)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, argument], capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=_ASK_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
