"""Power on a Jetson's rails, what of it is the whole board, and the energy of a PC's CPU.

A Jetson has INA3221 monitors, which tell power. Intel's and AMD's CPUs count microjoules of each
package ("RAPL"), up to a number after which they begin anew; since 2020 root alone may read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_vos.devices.telemetry.sysfs import SYS, read_number, read_text

_WHOLE: tuple[tuple[str, ...], ...] = (
    ("VDD_IN",),  # Xavier NX, Orin Nano, Orin NX
    ("POM_5V_IN",),  # Nano
    ("VIN",),  # Thor
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
"""Rails that add up to the module's power, by generation."""


def board_power_mw(rails: Mapping[str, float]) -> float | None:
    """Return the whole module's power; None where the rails do not add up to it.

    Args:
        rails: milliwatts by rail.
    """
    for names in _WHOLE:
        if all(name in rails for name in names):
            return sum(rails[name] for name in names)
    return None


def read_rail_power_mw(root: Path = SYS) -> dict[str, float]:
    """Return milliwatts by rail; none where there is no INA3221.

    JetPack 5 and later have the kernel's own driver, with volts and amperes under ``hwmon``;
    JetPack 4 has NVIDIA's, with watts under ``iio``.
    """
    found: dict[str, float] = {}
    for monitor in sorted(root.glob("class/hwmon/hwmon*")):
        if read_text(monitor / "name") != "ina3221":
            continue
        for label in sorted(monitor.glob("in[0-9]*_label")):
            channel = label.name.removeprefix("in").removesuffix("_label")
            milli_v = read_number(monitor / f"in{channel}_input")
            milli_a = read_number(monitor / f"curr{channel}_input")
            if milli_v is not None and milli_a is not None:
                found[read_text(label)] = milli_v * milli_a / 1000
    for label in sorted(root.glob("bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*")):
        channel = label.name.removeprefix("rail_name_")
        milli_w = read_number(label.with_name(f"in_power{channel}_input"))
        if milli_w is not None:
            found[read_text(label)] = milli_w
    return found


@dataclass(frozen=True)
class Counter:
    """Hold one reading of a package's energy.

    Args:
        microjoules: since it last began anew.
        range_microjoules: where it begins anew; 0 where that is not told.
    """

    microjoules: float
    range_microjoules: float


def read_packages(root: Path = SYS) -> dict[str, Counter]:
    """Return the counters of the CPU's packages by folder; none where they cannot be read."""
    found: dict[str, Counter] = {}
    for zone in sorted(root.glob("class/powercap/intel-rapl:*")):
        if not read_text(zone / "name").startswith("package"):  # core and dram are parts of it
            continue
        microjoules = read_number(zone / "energy_uj")
        if microjoules is not None:
            most = read_number(zone / "max_energy_range_uj") or 0.0
            found[zone.name] = Counter(microjoules, most)
    return found


def spent_mj(before: Mapping[str, Counter], after: Mapping[str, Counter]) -> float | None:
    """Return the millijoules of all packages between two readings, at most one range apart.

    Returns:
        None where a package is in one of them alone, or went back without a range.
    """
    total = 0.0
    if not before or before.keys() != after.keys():
        return None
    for name, counter in after.items():
        spent = counter.microjoules - before[name].microjoules
        if spent < 0:
            spent += counter.range_microjoules
        if spent < 0:
            return None
        total += spent
    return total / 1000


class PackageEnergy:
    """Sum up the energy of the CPU's packages from its making on.

    Args:
        root: of the tree to read.
    """

    def __init__(self, root: Path = SYS) -> None:
        self._root = root
        self._last = read_packages(root)
        self._total_mj: float | None = 0.0 if self._last else None

    def look(self) -> None:
        """Read again, more often than a counter begins anew, which takes minutes."""
        if self._total_mj is None:
            return
        now = read_packages(self._root)
        spent = spent_mj(self._last, now)
        self._total_mj = None if spent is None else self._total_mj + spent
        self._last = now

    @property
    def total_mj(self) -> float | None:
        """Return the millijoules so far; None where they cannot be read."""
        return self._total_mj
