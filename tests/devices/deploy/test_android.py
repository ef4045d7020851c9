import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.deploy.android import (
    THERMAL_STATUS,
    Battery,
    parse_battery,
    parse_thermalservice,
)

THERMAL = """IsStatusOverride: false
ThermalStatusListeners:
\tcallbacks: 4
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=61.0, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=24.7, mType=3, mName=LRB, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=35.6, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=33.8, mType=2, mName=BAT, mStatus=0}
\tTemperature{mValue=NaN, mType=4, mName=USB, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=TYPE_CPU}
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 5
  present: true
  level: 45
  scale: 50
  voltage: 4352
  temperature: 274
  technology: Li-ion
[EventLogBuffer]
08-11 18:34:14.721  Sending ACTION_BATTERY_CHANGED: level:72, voltage:4120, temperature:345
"""


def test_heat_is_what_the_hal_tells_now() -> None:
    heat = parse_thermalservice(THERMAL)
    assert heat is not None
    assert heat.temperatures_c == {"AP": 35.6, "BAT": 33.8}
    assert THERMAL_STATUS[heat.status or 0] == "light"
    assert heat.throttles is True


def test_kept_temperatures_serve_where_there_are_no_live_ones() -> None:
    heat = parse_thermalservice(THERMAL.partition("HAL Ready")[0].replace("Status: 1", "Status: 0"))
    assert heat is not None
    assert heat.temperatures_c == {"AP": 61.0, "LRB": 24.7}
    assert heat.throttles is False


@pytest.mark.parametrize(
    "text",
    ["", "Can't find service: thermalservice", "Thermal Status:\n", "Thermal Status: hot\n",
     "Temperature{mValue=, mType=0, mName=AP}", "Temperature{mValue=1e999, mName=AP}",
     "Temperature{mName=AP}"],
)  # fmt: skip
def test_a_malformed_thermalservice_is_none(text: str) -> None:
    assert parse_thermalservice(text) is None


def test_an_unknown_status_is_not_told() -> None:
    heat = parse_thermalservice(THERMAL.replace("Status: 1", "Status: 70"))
    assert heat is not None
    assert (heat.status, heat.throttles) == (None, None)


def test_battery_counts_by_its_scale_and_ignores_the_log() -> None:
    assert parse_battery(BATTERY) == Battery(90.0, True, 27.4, 4352.0)


@pytest.mark.parametrize(
    ("text", "battery"),
    [
        ("  level: 55\n  AC powered: false\n", Battery(55.0, False, None, None)),
        ("  temperature: warm\n", Battery(None, None, None, None)),
        ("  level: 55\n  scale: 0\n", Battery(55.0, None, None, None)),
        ("  level: 55\n  scale: 1e-308\n", Battery(55.0, None, None, None)),
        ("  level: 5500\n", Battery(None, None, None, None)),
        ("level: 55\n", None),
        ("", None),
        ("Can't find service: battery", None),
    ],
)
def test_a_malformed_battery_tells_what_is_left(text: str, battery: Battery | None) -> None:
    assert parse_battery(text) == battery


@given(st.text(max_size=80))
def test_parsers_never_fail(text: str) -> None:
    for parse in (parse_thermalservice, parse_battery):
        parse(text)
    parse_thermalservice(f"Temperature{{mValue={text}, mName={text}}}\nThermal Status: {text}")
    parse_battery(f"  level: {text}\n  temperature: {text}\n")


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_numbers_without_end_are_not_taken(digits: int) -> None:
    number = "9" * digits
    text = f"Temperature{{mValue={number}, mName=cpu}}\nThermal Status: {number}"
    assert parse_thermalservice(text) is None
    assert parse_battery(f"  level: {number}\n") == Battery(None, None, None, None)
