"""Temperatures, clocks and rails, from trees as the kernel lays them out."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_vos.devices.telemetry.power import board_power_mw, read_rail_power_mw
from edge_vos.devices.telemetry.sysfs import CpuClock, parse_number, read_clocks, read_temperatures


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_temperatures_of_zones_that_are_on(tmp_path: Path) -> None:
    zones = "class/thermal/thermal_zone"
    tree = {
        f"{zones}0/type": "cpu-thermal\n", f"{zones}0/temp": "49062\n",
        f"{zones}1/type": "cv0-thermal\n", f"{zones}1/temp": "-256000\n",
        f"{zones}2/type": "acpitz\n", f"{zones}2/temp": "27800\n",
        f"{zones}3/type": "acpitz\n", f"{zones}3/temp": "29800\n",
        f"{zones}4/type": "broken\n", f"{zones}4/temp": "hot\n",
        f"{zones}5/type": "silent\n",
        "class/thermal/cooling_device0/type": "fan\n",
    }  # fmt: skip
    assert read_temperatures(plant(tmp_path, tree)) == {
        "cpu-thermal": 49.062,
        "acpitz": 27.8,
        "acpitz (thermal_zone3)": 29.8,
    }
    assert read_temperatures(tmp_path / "nowhere") == {}


def test_clocks(tmp_path: Path) -> None:
    policies = "devices/system/cpu/cpufreq/policy"
    tree = {
        f"{policies}0/scaling_governor": "schedutil\n",
        f"{policies}0/scaling_cur_freq": "1728000\n",
        f"{policies}4/scaling_governor": "powersave\n",
        f"{policies}4/scaling_cur_freq": "<unknown>\n",
    }
    assert read_clocks(plant(tmp_path, tree)) == (
        CpuClock("policy0", "schedutil", 1728.0),
        CpuClock("policy4", "powersave", None),
    )
    assert read_clocks(tmp_path / "nowhere") == ()


def test_rails_of_the_kernels_driver(tmp_path: Path) -> None:
    monitor = "class/hwmon/hwmon1"
    tree = {
        "class/hwmon/hwmon0/name": "pwmfan\n", "class/hwmon/hwmon0/in1_label": "no rail\n",
        f"{monitor}/name": "ina3221\n",
        f"{monitor}/in1_label": "VDD_IN\n", f"{monitor}/in1_input": "5000\n",
        f"{monitor}/curr1_input": "1200\n",
        f"{monitor}/in2_label": "VDD_SOC\n", f"{monitor}/in2_input": "5000\n",
        f"{monitor}/curr2_input": "off\n",
        f"{monitor}/in7_label": "sum of shunt voltages\n", f"{monitor}/in7_input": "3\n",
    }  # fmt: skip
    rails = read_rail_power_mw(plant(tmp_path, tree))
    assert rails == {"VDD_IN": 6000.0}
    assert board_power_mw(rails) == 6000.0


def test_rails_of_jetpack_4(tmp_path: Path) -> None:
    device = "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    tree = {
        f"{device}/rail_name_0": "POM_5V_IN\n", f"{device}/in_power0_input": "1750\n",
        f"{device}/rail_name_1": "POM_5V_GPU\n",
    }  # fmt: skip
    assert read_rail_power_mw(plant(tmp_path, tree)) == {"POM_5V_IN": 1750.0}


def test_rails_that_do_not_add_up_tell_no_total() -> None:
    assert board_power_mw({"VDD_GPU_SOC": 5000.0, "VDD_CPU_CV": 3000.0}) is None
    assert board_power_mw({}) is None


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e999", "²", "1 2", "0x1"])
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None
