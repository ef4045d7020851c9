import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.deploy.android import parse_powered, parse_throttles

THERMAL = """IsStatusOverride: false
ThermalStatusListeners:
\tcallbacks: 4
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=61.0, mType=0, mName=AP, mStatus=0}
HAL Ready: true
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  level: 45
[EventLogBuffer]
08-11 18:34:14.721  Sending ACTION_BATTERY_CHANGED: level:72, AC powered: false
"""


def test_from_light_on_a_phone_throttles() -> None:
    assert parse_throttles(THERMAL) is True
    assert parse_throttles(THERMAL.replace("Status: 1", "Status: 0")) is False


@pytest.mark.parametrize(
    "text",
    ["", "Can't find service: thermalservice", "Thermal Status:\n", "Thermal Status: hot\n",
     "Thermal Status: 70\n", f"Thermal Status: {'9' * 400}"],
)  # fmt: skip
def test_a_status_that_is_not_told_is_none(text: str) -> None:
    assert parse_throttles(text) is None


def test_one_source_of_power_is_enough_and_the_log_is_ignored() -> None:
    assert parse_powered(BATTERY) is True
    assert parse_powered(BATTERY.replace("true", "false")) is False


@pytest.mark.parametrize(
    "text",
    ["", "level: 55\n", "Can't find service: battery", "  AC powered: maybe\n", "AC powered: true"],
)
def test_power_that_is_not_told_is_none(text: str) -> None:
    assert parse_powered(text) is None


@given(st.text(max_size=80))
def test_parsers_never_fail(text: str) -> None:
    parse_throttles(f"Thermal Status: {text}")
    parse_powered(f"  AC powered: {text}\n")
