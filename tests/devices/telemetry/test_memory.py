import mmap
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry import memory
from edge_vos.devices.telemetry.memory import parse_status_bytes, peak_rss_bytes, rss_bytes

STATUS = """Name:\tpython
Umask:\t0022
VmPeak:\t  412340 kB
VmHWM:\t  141220 kB
VmRSS:\t  139004 kB
Threads:\t4
"""


def test_memory_is_read_from_proc_status() -> None:
    assert parse_status_bytes(STATUS, "VmHWM") == 141220 * 1024
    assert parse_status_bytes(STATUS, "VmRSS") == 139004 * 1024


@pytest.mark.parametrize(
    "line",
    ["", "VmHWM", "VmHWM:", "VmHWM: kB", "VmHWM: 12", "VmHWM: -3 kB", "VmHWM: 1.5 kB",
     "VmHWM: ten kB", "VmHWM: 12 MB", "VmHWM: 12 kB more", "VmHWM: ²³ kB", "VmHWMX: 12 kB"],
)  # fmt: skip
def test_a_malformed_status_holds_no_figure(line: str) -> None:
    assert parse_status_bytes(f"Name:\tx\n{line}\n", "VmHWM") is None


@given(st.text(max_size=60))
def test_the_parser_never_fails(text: str) -> None:
    parse_status_bytes(text, "VmRSS")
    parse_status_bytes(f"VmRSS:{text}", "VmRSS")


def test_peak_stays_when_memory_is_given_back() -> None:
    before, half = rss_bytes(), 16 << 20  # half: the kernel counts in batches
    # Mapped by hand: what malloc is given back it may keep, and a test before this one moves the
    # size from which it does not.
    with mmap.mmap(-1, 2 * half) as block:
        for page in range(0, 2 * half, mmap.PAGESIZE):
            block[page] = 1
        assert rss_bytes() >= before + half
    assert rss_bytes() < before + half
    assert peak_rss_bytes() >= before + half


def test_without_procfs_psutil_and_getrusage_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_status", lambda: "")
    assert rss_bytes() > 1 << 20
    assert peak_rss_bytes() > 0


def test_reading_it_imports_nothing_but_the_standard_library() -> None:
    code = "from edge_vos.devices.telemetry.memory import rss_bytes; rss_bytes(); import sys; "
    code += "print(*{'numpy', 'psutil', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
