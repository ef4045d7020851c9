"""Read the text of ``sudo powermetrics --samplers cpu_power,gpu_power,ane_power,thermal``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

_SAMPLE = re.compile(r"^\*\*\* Sampled system activity", re.MULTILINE)
_ELAPSED = re.compile(r"\(([0-9]{1,9}(?:\.[0-9]{1,6})?)ms elapsed\)")
_POWER = re.compile(
    r"^(CPU|GPU|ANE|Combined|Package) Power[^:\n]*:[ \t]*([0-9]{1,6})[ \t]*mW", re.M
)
_CLUSTER = re.compile(r"^(\S+-Cluster|GPU) HW active frequency:[ \t]*([0-9]{1,5})[ \t]*MHz", re.M)
_PRESSURE = re.compile(r"^Current pressure level:[ \t]*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class MacSample:
    """Hold one reading of a Mac.

    Args:
        elapsed_ms: what the reading covers; None where it is not told.
        power_mw: by "CPU", "GPU", "ANE" (the neural engine) and "Combined"; before macOS 13
            "Package" stands for the latter.
        clocks_mhz: of each cluster of cores, and of the GPU.
        pressure: thermal pressure, "Nominal" unless the Mac slows down for its heat.
    """

    elapsed_ms: float | None
    power_mw: Mapping[str, float]
    clocks_mhz: Mapping[str, float]
    pressure: str | None

    @property
    def total_mw(self) -> float | None:
        """Return the chip's power; None where it is not told."""
        return self.power_mw.get("Combined", self.power_mw.get("Package"))


def parse_powermetrics(text: str) -> tuple[MacSample, ...]:
    """Read every sample; one without any figure, such as one that was cut short, is left out."""
    starts = [match.start() for match in _SAMPLE.finditer(text)]
    samples = (_sample(text[start:end]) for start, end in pairwise([*starts, len(text)]))
    return tuple(sample for sample in samples if sample.power_mw or sample.pressure)


def _sample(text: str) -> MacSample:
    elapsed, pressure = _ELAPSED.search(text.partition("\n")[0]), _PRESSURE.search(text)
    return MacSample(
        elapsed_ms=float(elapsed[1]) if elapsed else None,
        power_mw={name: float(milli) for name, milli in _POWER.findall(text)},
        clocks_mhz={name: float(mhz) for name, mhz in _CLUSTER.findall(text)},
        pressure=pressure[1] if pressure else None,
    )
