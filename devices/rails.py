"""Power on a Jetson's rails, from its INA3221 monitors, and what of it is the whole board."""

from collections.abc import Mapping
from pathlib import Path

from edge_vos.devices.sysfs import SYS, read_number, read_text

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


def read_rails(root: Path = SYS) -> dict[str, float]:
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
