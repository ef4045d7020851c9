"""Read what a Jetson tells of itself: lines of ``tegrastats`` and answers of ``nvpmodel``.

Formats differ by JetPack: 4 tells power without a unit, 5 and 6 in mW, 7 adds a third figure, and
the clocks of several GPU clusters in brackets. What a line does not hold, or holds malformed, is
None or left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_vos.devices.telemetry.power import board_power_mw

_RAM = re.compile(r"\bRAM ([0-9]{1,7})/[0-9]{1,7}MB\b")
_GPU = re.compile(
    r"\bGR3D_FREQ (?:([0-9]{1,3})%)?(?:@\[?([0-9]{1,5}(?:,[0-9]{1,5}){0,15})(?![0-9]))?"
)
_POWER = re.compile(
    r"(?<!\S)(?!I?RAM |SWAP )([A-Z]\w*) ([0-9]{1,6})(?:mW)?/[0-9]{1,6}(?:mW)?(?=[/\s]|$)"
)
_MODE = re.compile(r"^NV Power Mode:[ \t]*(\S+)", re.MULTILINE)
_MIB = 1 << 20


@dataclass(frozen=True)
class TegraSample:
    """Hold one reading.

    Args:
        ram_used_bytes: memory in use, of CPU and GPU together.
        gpu_percent: load of the GPU, 0-100; Thor does not tell.
        gpu_mhz: clock of the fastest GPU cluster.
        power_mw: by rail.
    """

    ram_used_bytes: int | None = None
    gpu_percent: float | None = None
    gpu_mhz: float | None = None
    power_mw: Mapping[str, float] = field(default_factory=dict)

    @property
    def board_mw(self) -> float | None:
        """Return the whole module's power; None where the rails do not tell."""
        return board_power_mw(self.power_mw)


def parse_tegrastats(line: str) -> TegraSample | None:
    """Read one line of ``tegrastats``; None if it does not tell of memory, as every one does."""
    ram, gpu = _RAM.search(line), _GPU.search(line)
    if ram is None:
        return None
    load = float(gpu[1]) if gpu and gpu[1] else None
    return TegraSample(
        ram_used_bytes=int(ram[1]) * _MIB,
        gpu_percent=load if load is not None and load <= 100 else None,
        gpu_mhz=max(map(float, gpu[2].split(","))) if gpu and gpu[2] else None,
        power_mw={name: float(value) for name, value in _POWER.findall(line)},
    )


def parse_power_mode(text: str) -> str | None:
    """Read the mode, such as MAXN, out of the answer of ``nvpmodel -q``."""
    match = _MODE.search(text)
    return match[1] if match else None
