import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.deploy.android import (
    THERMAL_STATUS,
    Battery,
    parse_battery,
    parse_meminfo,
    parse_thermalservice,
)

MEMINFO = """Applications Memory Usage (in Kilobytes):
Uptime: 78253816 Realtime: 171306532

** MEMINFO in pid 15264 [org.edge_vos.live] **
                   Pss  Private  Private  SwapPss      Rss     Heap     Heap     Heap
                 Total    Dirty    Clean    Dirty    Total     Size    Alloc     Free
  Native Heap    12467    12464        0       28    13460    22236    17283     4952
        TOTAL    39321    17708    15740      545   124676    29379    20035     4718

 App Summary
                       Pss(KB)                        Rss(KB)
                        ------                         ------
           Java Heap:     2480                          18640
         Native Heap:    12464                          13460
                Code:    15888                          88088
            Graphics:      512                            512
       Private Other:     2136
             Unknown:                                    4000

           TOTAL PSS:    39321            TOTAL RSS:   124676       TOTAL SWAP PSS:      545

 Objects
               Views:       24         ViewRootImpl:        3
"""
MEMINFO_ANDROID_9 = """ App Summary
                       Pss(KB)
                        ------
         Native Heap:    46620
            Graphics:    60288

               TOTAL:   174545       TOTAL SWAP PSS:      303
"""
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


def test_meminfo_is_summed_up() -> None:
    memory = parse_meminfo(MEMINFO)
    assert memory is not None
    assert memory.pss_bytes == 39321 << 10
    assert memory.rss_bytes == 124676 << 10
    assert memory.swap_bytes == 545 << 10
    assert memory.native_heap_bytes == 12464 << 10
    assert memory.graphics_bytes == 512 << 10


def test_meminfo_of_an_older_android_tells_no_rss() -> None:
    memory = parse_meminfo(MEMINFO_ANDROID_9)
    assert memory is not None
    assert (memory.pss_bytes, memory.rss_bytes) == (174545 << 10, None)
    assert memory.graphics_bytes == 60288 << 10


@pytest.mark.parametrize(
    "text",
    ["", "No process found for: org.edge_vos.live\n", " App Summary\n", MEMINFO.split(" App")[0],
     " App Summary\n TOTAL PSS: many TOTAL RSS: 1", " App Summary\n TOTAL PSS: 39321kB",
     " App Summary\n TOTAL PSS: -5", "adb: no devices/emulators found"],
)  # fmt: skip
def test_a_malformed_meminfo_is_none(text: str) -> None:
    assert parse_meminfo(text) is None


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
    for parse in (parse_meminfo, parse_thermalservice, parse_battery):
        parse(text)
    parse_meminfo(f"App Summary\n TOTAL PSS: {text}")
    parse_thermalservice(f"Temperature{{mValue={text}, mName={text}}}\nThermal Status: {text}")
    parse_battery(f"  level: {text}\n  temperature: {text}\n")


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_numbers_without_end_are_not_taken(digits: int) -> None:
    number = "9" * digits
    assert parse_meminfo(f"App Summary\n TOTAL PSS: {number}") is None
    text = f"Temperature{{mValue={number}, mName=cpu}}\nThermal Status: {number}"
    assert parse_thermalservice(text) is None
    assert parse_battery(f"  level: {number}\n") == Battery(None, None, None, None)
