import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry.powermetrics import parse_powermetrics

TEXT = """Machine model: Mac14,2
OS version: 25C56

*** Sampled system activity (Fri Sep 11 13:41:46 2026 -0700) (1002.90ms elapsed) ***

**** Processor usage ****

E-Cluster HW active frequency: 1248 MHz
E-Cluster HW active residency:  77.43% (600 MHz:   0% 912 MHz:  54% 2424 MHz: 8.7%)
CPU 0 frequency: 1359 MHz
P-Cluster HW active frequency: 1145 MHz

CPU Power: 823 mW
GPU Power: 26 mW
ANE Power: 323 mW
Combined Power (CPU + GPU + ANE): 1172 mW

**** Thermal pressure ****

Current pressure level: Nominal

*** Sampled system activity (Fri Sep 11 13:41:47 2026 -0700) (1010.09ms elapsed) ***

CPU Power: 205 mW
Combined Power (CPU + GPU + ANE): 445 mW

Current pressure level: Heavy
"""
MACOS_12 = """*** Sampled system activity (Thu Feb 24 10:00:00 2022 +0100) (503.12ms elapsed) ***
CPU Power: 4100 mW
Package Power: 6100 mW
"""


def test_every_sample_is_read() -> None:
    first, second = parse_powermetrics(TEXT)
    assert first.elapsed_ms == 1002.90
    assert first.power_mw == {"CPU": 823.0, "GPU": 26.0, "ANE": 323.0, "Combined": 1172.0}
    assert first.clocks_mhz == {"E-Cluster": 1248.0, "P-Cluster": 1145.0}
    assert (first.total_mw, first.pressure) == (1172.0, "Nominal")
    assert (second.total_mw, second.pressure) == (445.0, "Heavy")


def test_an_older_macos_tells_the_package() -> None:
    (sample,) = parse_powermetrics(MACOS_12)
    assert (sample.total_mw, sample.pressure, sample.elapsed_ms) == (6100.0, None, 503.12)


@pytest.mark.parametrize(
    "text",
    ["", "powermetrics must be invoked as the superuser\n", "CPU Power: 823 mW\n",
     "*** Sampled system activity\n", "*** Sampled system activity\nCPU Power: lots mW\n",
     "*** Sampled system activity\nCPU Power: 823 W\n"],
)  # fmt: skip
def test_what_holds_no_figure_is_no_sample(text: str) -> None:
    assert parse_powermetrics(text) == ()


def test_a_sample_that_is_cut_short_is_left_out() -> None:
    cut = TEXT[: TEXT.rindex("CPU Power")]
    assert len(parse_powermetrics(cut)) == 1


def test_numbers_that_cannot_be_are_left_out() -> None:
    many = "9" * 5000
    (sample,) = parse_powermetrics(
        f"*** Sampled system activity ({many}ms elapsed)\nCPU Power: {many} mW\n"
        f"GPU HW active frequency: {many} MHz\nGPU Power: 26 mW\n"
    )
    assert (sample.elapsed_ms, sample.power_mw, sample.clocks_mhz) == (None, {"GPU": 26.0}, {})


@given(st.text(max_size=80))
def test_it_never_fails(text: str) -> None:
    parse_powermetrics(text)
    parse_powermetrics(f"*** Sampled system activity ({text}ms elapsed)\nCPU Power: {text} mW")
