"""How a machine is set and what its CPU spends, from trees as the kernel lays them out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry.conditions import (
    name_flags,
    parse_firmware_flags,
    read_conditions,
    sample_machine,
)
from edge_vos.devices.telemetry.power import Counter, PackageEnergy, read_packages, spent_mj
from edge_vos.devices.telemetry.tegrastats import parse_tegrastats

FIRMWARE = "devices/platform/soc/soc:firmware/get_throttled"
ZONES = "class/powercap/intel-rapl"


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "flags"),
    [("throttled=0x50005\n", 0x50005), ("50005\n", 0x50005), ("0x0", 0), ("0", 0), ("", None),
     ("throttled=", None), ("VCHI initialization failed", None), ("0x123456789", None)],
)  # fmt: skip
def test_firmware_flags(text: str, flags: int | None) -> None:
    assert parse_firmware_flags(text) == flags


@given(st.text(max_size=20))
def test_the_parser_never_fails(text: str) -> None:
    parse_firmware_flags(text)
    parse_firmware_flags(f"throttled=0x{text}")


def test_flags_have_names_and_those_that_came_and_went_too() -> None:
    assert name_flags(0) == ()
    assert name_flags(0b1101) == ("under-voltage", "throttled", "soft temperature limit")
    assert name_flags(0xF0000) == ()
    assert name_flags(0x30000, before=0x10000) == ("clock capped",)
    assert name_flags(0x10000, before=0x10000) == ()


def test_a_pi_tells_by_its_file_or_by_its_tool(tmp_path: Path) -> None:
    def ask(name: str, argument: str) -> str:
        return {"vcgencmd": f"throttled=0x8 {argument}"[:13]}.get(name, "")

    assert read_conditions(tmp_path, ask).firmware_flags == 8
    plant(tmp_path, FIRMWARE, "50000\n")
    found = read_conditions(tmp_path, ask)
    assert (found.firmware_flags, found.power_mode) == (0x50000, None)
    nothing = read_conditions(tmp_path / "nowhere", lambda *_: "")
    assert (nothing.firmware_flags, nothing.power_mode) == (None, None)


def test_a_jetson_tells_its_mode_its_gpu_and_its_memory(tmp_path: Path) -> None:
    asked = []

    def ask(name: str, argument: str) -> str:
        asked.append((name, argument))
        return "NV Power Mode: MAXN\n0\n" if name == "nvpmodel" else ""

    assert read_conditions(tmp_path, ask).power_mode == "MAXN"
    assert asked == [("nvpmodel", "-q"), ("vcgencmd", "get_throttled")]
    tegra = parse_tegrastats("RAM 100/200MB CPU [1%@2] GR3D_FREQ 7%@[1300,1200] VDD_IN 9mW/9mW")
    told = sample_machine(1.0, tmp_path, tegra)
    assert (told.board_used_bytes, told.gpu_percent, told.gpu_mhz, told.power_mw) == (
        100 << 20, 7.0, 1300.0, 9.0,
    )  # fmt: skip
    assert sample_machine(1.0, tmp_path).power_mw is None


def test_energy_of_two_packages_over_a_counters_end(tmp_path: Path) -> None:
    for number, start in ((0, 1_000_000), (1, 900_000)):
        plant(tmp_path, f"{ZONES}:{number}/name", f"package-{number}\n")
        plant(tmp_path, f"{ZONES}:{number}/energy_uj", f"{start}\n")
        plant(tmp_path, f"{ZONES}:{number}/max_energy_range_uj", "1000000\n")
    plant(tmp_path, f"{ZONES}:0:0/name", "core\n")
    plant(tmp_path, f"{ZONES}:0:0/energy_uj", "5\n")
    assert set(read_packages(tmp_path)) == {"intel-rapl:0", "intel-rapl:1"}
    energy = PackageEnergy(tmp_path)
    assert energy.total_mj == 0
    plant(tmp_path, f"{ZONES}:0/energy_uj", "3000\n")  # began anew
    energy.look()
    assert energy.total_mj == pytest.approx(3.0)
    plant(tmp_path, f"{ZONES}:1/energy_uj", "902000\n")
    energy.look()
    assert energy.total_mj == pytest.approx(5.0)
    (tmp_path / f"{ZONES}:1/energy_uj").unlink()
    energy.look()
    energy.look()
    assert energy.total_mj is None
    assert PackageEnergy(tmp_path / "nowhere").total_mj is None


def test_energy_is_not_guessed() -> None:
    one, less = {"a": Counter(5.0, 0.0)}, {"a": Counter(4.0, 0.0)}
    assert spent_mj(one, one) == 0
    assert spent_mj(one, less) is None
    assert spent_mj(one, {}) is None
    assert spent_mj({}, {}) is None
