"""Read what a Jetson tells of itself: lines of ``tegrastats``, answers of ``nvpmodel``, jtop.

Formats differ by JetPack: 4 tells power without a unit, 5 and 6 in mW, 7 adds a third figure, and
the clocks of several GPU clusters in brackets. What a line does not hold, or holds malformed, is
None or left out.
"""

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_vos.devices.telemetry.power import board_power_mw

_RAM = re.compile(r"\bRAM ([0-9]{1,7})/([0-9]{1,7})MB\b")
_CPU = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"([0-9]{1,3})%(?:@[0-9]{1,5})?")
_GPU = re.compile(
    r"\bGR3D_FREQ (?:([0-9]{1,3})%)?(?:@\[?([0-9]{1,5}(?:,[0-9]{1,5}){0,15})(?![0-9]))?"
)
_EMC = re.compile(r"\bEMC_FREQ ([0-9]{1,3})%")
_TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z][\w.-]*)@(-?[0-9]{1,3}(?:\.[0-9]{1,6})?)C(?=[/\s]|$)")
_POWER = re.compile(
    r"(?<!\S)(?!I?RAM |SWAP )([A-Z]\w*) ([0-9]{1,6})(?:mW)?/[0-9]{1,6}(?:mW)?(?=[/\s]|$)"
)
_MODE = re.compile(r"^NV Power Mode:[ \t]*(\S+)", re.MULTILINE)
_OFF_C, _MELTED_C = -100.0, 200.0  # a sensor that is switched off tells -256
_MIB = 1 << 20


@dataclass(frozen=True)
class TegraSample:
    """Hold one reading.

    Args:
        ram_used_bytes: memory in use, of CPU and GPU together.
        ram_total_bytes: memory of both.
        cpu_percent: load of each core, 0-100; None for one that is off.
        gpu_percent: load of the GPU, 0-100; Thor does not tell.
        gpu_mhz: clock of the fastest GPU cluster.
        memory_bus_percent: load of the memory controller, 0-100.
        temperatures_c: by sensor.
        power_mw: by rail.
    """

    ram_used_bytes: int | None = None
    ram_total_bytes: int | None = None
    cpu_percent: tuple[float | None, ...] = ()
    gpu_percent: float | None = None
    gpu_mhz: float | None = None
    memory_bus_percent: float | None = None
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    power_mw: Mapping[str, float] = field(default_factory=dict)

    @property
    def board_mw(self) -> float | None:
        """Return the whole module's power; None where the rails do not tell."""
        return board_power_mw(self.power_mw)


def parse_tegrastats(line: str) -> TegraSample | None:
    """Read one line of ``tegrastats``; None if it tells neither memory nor cores."""
    ram, cores = _RAM.search(line), _CPU.search(line)
    if ram is None and cores is None:
        return None
    gpu, emc = _GPU.search(line), _EMC.search(line)
    return TegraSample(
        ram_used_bytes=int(ram[1]) * _MIB if ram else None,
        ram_total_bytes=int(ram[2]) * _MIB if ram else None,
        cpu_percent=_loads(cores[1]) if cores else (),
        gpu_percent=_percent(gpu[1]) if gpu and gpu[1] else None,
        gpu_mhz=max(map(float, gpu[2].split(","))) if gpu and gpu[2] else None,
        memory_bus_percent=_percent(emc[1]) if emc else None,
        temperatures_c={
            name: float(value)
            for name, value in _TEMPERATURE.findall(line)
            if _OFF_C < float(value) < _MELTED_C
        },
        power_mw={name: float(value) for name, value in _POWER.findall(line)},
    )


def parse_power_mode(text: str) -> str | None:
    """Read the mode, such as MAXN, out of the answer of ``nvpmodel -q``."""
    match = _MODE.search(text)
    return match[1] if match else None


def read_jtop() -> TegraSample | None:
    """Ask jtop, of the package jetson-stats; None where it or its service is missing."""
    if importlib.util.find_spec("jtop") is None:
        return None
    jtop = importlib.import_module("jtop")
    try:
        with jtop.jtop() as jetson:
            if not jetson.ok():
                return None
            return sample_of_jtop(jetson.memory, jetson.gpu, jetson.temperature, jetson.power)
    except jtop.JtopException:
        return None


def sample_of_jtop(
    memory: Mapping[str, Any],
    gpus: Mapping[str, Any],
    temperatures: Mapping[str, Any],
    power: Mapping[str, Any],
) -> TegraSample:
    """Turn the properties of a ``jtop`` object into a reading.

    Args:
        memory: sizes in KiB below ``RAM``.
        gpus: each with its ``status`` (load in percent) and ``freq`` (kHz).
        temperatures: each with ``temp`` and ``online``.
        power: milliwatts below ``rail``.
    """
    ram = memory.get("RAM", {})
    used, total = ram.get("used"), ram.get("tot")
    gpu: Mapping[str, Any] = next(iter(gpus.values()), {})
    clock = gpu.get("freq", {}).get("cur")
    return TegraSample(
        ram_used_bytes=None if used is None else int(used) * 1024,
        ram_total_bytes=None if total is None else int(total) * 1024,
        gpu_percent=gpu.get("status", {}).get("load"),
        gpu_mhz=None if clock is None else clock / 1000,
        temperatures_c={
            name: float(sensor["temp"])
            for name, sensor in temperatures.items()
            if sensor.get("online", True) and _OFF_C < sensor["temp"] < _MELTED_C
        },
        power_mw={name: float(rail["power"]) for name, rail in power.get("rail", {}).items()},
    )


def _loads(cores: str) -> tuple[float | None, ...]:
    matches = (_CORE.fullmatch(core.strip()) for core in cores.split(","))
    return tuple(_percent(match[1]) if match else None for match in matches)


def _percent(text: str) -> float | None:
    number = float(text)
    return number if number <= 100 else None
