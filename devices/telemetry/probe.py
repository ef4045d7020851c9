"""Say what machine this is."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")  # Raspberry Pi, Jetson


@dataclass(frozen=True)
class DeviceInfo:
    """Describe the machine that a figure was taken on.

    Args:
        name: the board, or else the processor.
        machine: the instruction set, such as ``x86_64`` or ``aarch64``.
        cores: logical cores that this process may use.
        memory_bytes: main memory.
        system: operating system and release.
        python: version of the interpreter.
    """

    name: str
    machine: str
    cores: int
    memory_bytes: int
    system: str
    python: str


def parse_cpu_name(text: str) -> str | None:
    """Read the processor's name out of the text of /proc/cpuinfo; None if it holds none."""
    fields = [line.partition(":") for line in text.splitlines()]
    for wanted in ("model name", "Model", "Hardware"):
        for name, _, value in fields:
            if name.strip() == wanted and value.strip():
                return value.strip()
    return None


def probe_device() -> DeviceInfo:
    """Describe this machine."""
    board = _read(_BOARD).strip("\0 \n")
    name = board or parse_cpu_name(_read(_CPUINFO)) or platform.processor() or platform.machine()
    return DeviceInfo(
        name=name,
        machine=platform.machine(),
        cores=_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
