import pytest

from edge_vos.devices.telemetry import probe
from edge_vos.devices.telemetry.probe import parse_cpu_name, probe_device

X86 = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nmodel name\t: other\n"
PI = "processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [(X86, "AMD EPYC"), (PI, "Raspberry Pi 4"), ("Hardware: sun8i\n", "sun8i"),
     ("", None), ("model name\n", None), ("model name:\n", None), (": \n::\n", None)],
)  # fmt: skip
def test_cpu_name(text: str, name: str | None) -> None:
    assert parse_cpu_name(text) == name


def test_the_board_is_named_before_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {probe._BOARD: "NVIDIA Jetson Orin Nano\0", probe._CPUINFO: X86}
    monkeypatch.setattr(probe, "_read", texts.__getitem__)
    assert probe_device().name == "NVIDIA Jetson Orin Nano"


def test_this_machine_is_described() -> None:
    device = probe_device()
    assert device.name
    assert device.cores >= 1
    assert device.memory_bytes > 1 << 28
