"""Say what this machine is made of; every probe takes the root of a tree and reads files only."""

import re
from dataclasses import dataclass
from pathlib import Path

from edge_vos.devices.telemetry.probe import DeviceInfo, probe_device
from edge_vos.devices.telemetry.sysfs import read_text

ROOT = Path("/")

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_RELEASE = re.compile(r"# R([0-9]+) \(release\), REVISION: ([0-9.]+)")
_JETPACK = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
"""JetPack's major version by that of Jetson Linux."""

_INSTRUCTIONS = {
    "asimddp": "dot product",
    "i8mm": "int8 matrix product",
    "fphp": "half precision",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX int8",
}
"""Instructions that decide how fast a precision is, by the kernel's name for them."""


@dataclass(frozen=True)
class Machine:
    """Describe this machine.

    Args:
        device: its name, cores, memory and system.
        soc: the chip as the device tree calls it, such as ``brcm,bcm2712``; empty on a PC.
        system: the distribution, such as "Debian GNU/Linux 12 (bookworm)"; may be empty.
        instructions: what of the CPU's instructions decides the speed of a precision.
        gpus: GPUs, by vendor and driver.
        jetpack: such as "6 (Jetson Linux 36.4.3)"; empty on any other machine.
    """

    device: DeviceInfo
    soc: str
    system: str
    instructions: tuple[str, ...]
    gpus: tuple[str, ...]
    jetpack: str


def probe_machine(root: Path = ROOT) -> Machine:
    """Describe this machine, or what the tree below ``root`` tells of one."""
    compatible = read_text(root / "proc/device-tree/compatible").split("\0")
    return Machine(
        device=probe_device(),
        soc=compatible[-1],
        system=parse_os_release(read_text(root / "etc/os-release")),
        instructions=parse_instructions(read_text(root / "proc/cpuinfo")),
        gpus=find_gpus(root),
        jetpack=parse_jetpack(read_text(root / "etc/nv_tegra_release")),
    )


def parse_os_release(text: str) -> str:
    """Read the distribution's name out of /etc/os-release; empty if it holds none."""
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", text, re.MULTILINE)
    return match[1] if match else ""


def parse_instructions(text: str) -> tuple[str, ...]:
    """Read the instructions that matter to an engine out of /proc/cpuinfo."""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(match[1].split()) if match else set()
    return tuple(words for flag, words in _INSTRUCTIONS.items() if flag in flags)


def parse_jetpack(text: str) -> str:
    """Read the release of Jetson Linux out of /etc/nv_tegra_release; empty if it holds none."""
    match = _RELEASE.search(text)
    if match is None:
        return ""
    linux = f"Jetson Linux {match[1]}.{match[2]}"
    jetpack = _JETPACK.get(match[1])
    return f"{jetpack} ({linux})" if jetpack else linux


def find_gpus(root: Path = ROOT) -> tuple[str, ...]:
    """Name the GPUs, from NVIDIA's driver and from the kernel's list of graphics devices."""
    found = []
    for card in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        model = re.search(r"^Model:\s*(.+)$", read_text(card), re.MULTILINE)
        found.append(model[1] if model else "NVIDIA GPU")
    for card in sorted(root.glob("sys/class/drm/card[0-9]*/device")):
        driver = re.search(r"^DRIVER=(\S+)$", read_text(card / "uevent"), re.MULTILINE)
        vendor = _VENDORS.get(read_text(card / "vendor"), "")
        if driver is None or driver[1] == "nvidia":
            continue
        found.append(f"{vendor} ({driver[1]})" if vendor else driver[1])
    return tuple(dict.fromkeys(found))
