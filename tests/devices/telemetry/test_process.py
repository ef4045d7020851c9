import gc
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry import process as telemetry
from edge_vos.devices.telemetry.process import (
    BackgroundTool,
    CpuTimes,
    CpuWatch,
    ask_tool,
    machine_cpu_times,
    other_cpu_percent,
    parse_cpu_times,
    parse_status_bytes,
    peak_rss_bytes,
    rss_bytes,
)

STATUS = """Name:\tpython
Umask:\t0022
VmPeak:\t  412340 kB
VmHWM:\t  141220 kB
VmRSS:\t  139004 kB
Threads:\t4
"""
STAT = """cpu  8154 3279 4528 240434 508 1 41 54 700 0
cpu0 797 473 1091 125976 58 0 7 24 0 0
cpu1 7357 2806 3437 114457 449 0 33 29 0 0
intr 1 2 3
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


def test_cpu_times_count_idle_apart_and_guests_once() -> None:
    times = parse_cpu_times(STAT, 100)
    busy = 8154 + 3279 + 4528 + 1 + 41 + 54  # the 700 of guests are part of user time
    assert times is not None
    assert times.busy_s == pytest.approx(busy / 100)
    assert times.total_s == pytest.approx((busy + 240434 + 508) / 100)


def test_cpu_times_of_an_old_kernel_have_fewer_fields() -> None:
    assert parse_cpu_times("cpu 10 0 20 70\n", 10) == CpuTimes(3.0, 10.0)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "cpu\n", "cpu 1 2 3\n", "cpu 1 2 x 4\n", "cpu 1 2 -3 4\n", "cpu0 1 2 3 4\n",
     "cpufreq 1 2 3 4\n", "intr 5\n"],
)  # fmt: skip
def test_a_malformed_stat_holds_no_figure(text: str) -> None:
    assert parse_cpu_times(text, 100) is None


@given(st.text(max_size=60))
def test_parsers_never_fail(text: str) -> None:
    parse_status_bytes(text, "VmRSS")
    parse_status_bytes(f"VmRSS:{text}", "VmRSS")
    parse_cpu_times(text, 100)
    parse_cpu_times(f"cpu {text}", 100)


def test_foreign_share_is_what_is_busy_and_not_ours() -> None:
    before, after = CpuTimes(100.0, 1000.0), CpuTimes(112.0, 1020.0)
    assert other_cpu_percent(before, after, own_s=9.0) == pytest.approx(15.0)
    assert other_cpu_percent(before, after, own_s=12.5) == 0.0  # ticks are coarse
    assert other_cpu_percent(before, CpuTimes(200.0, 1020.0), own_s=0.0) == 100.0
    assert other_cpu_percent(before, before, own_s=0.0) is None


def test_a_tool_is_asked_and_may_be_missing(fake_tools: Callable[..., None]) -> None:
    fake_tools(nvpmodel='echo "NV Power Mode: $1"', refuses="echo half; exit 3")
    assert ask_tool("nvpmodel", "-q") == "NV Power Mode: -q\n"
    assert ask_tool("refuses", "-q") == ""
    assert ask_tool("no-such-tool", "-q") == ""


def test_a_tool_that_hangs_is_left(
    fake_tools: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(hangs="exec sleep 60")
    monkeypatch.setattr(telemetry, "_ASK_S", 0.2)
    assert ask_tool("hangs", "-q") == ""


def told(ticker: BackgroundTool, line: str | None) -> bool:
    """Wait until a tool's last line is the one that is meant."""
    until_s = time.monotonic() + 20
    while ticker.last_line() != line:
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


def test_a_ticker_tells_the_last_whole_line_and_is_ended(
    fake_tools: Callable[..., None], tmp_path: Path
) -> None:
    fake_tools(tick=f"echo $$ > {tmp_path}/pid; echo one; echo two $1; printf half; exec sleep 60")
    ticker = BackgroundTool("tick", "--fast")
    assert told(ticker, "two --fast")
    assert ticker.last_line() == "two --fast"
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    ticker.close()
    assert not psutil.pid_exists(pid)
    assert ticker.last_line() is None
    ticker.close()  # a second time is harmless


def test_a_ticker_that_nobody_closes_ends_with_its_owner(
    fake_tools: Callable[..., None], tmp_path: Path
) -> None:
    fake_tools(tick=f"echo $$ > {tmp_path}/pid; echo one; exec sleep 60")
    ticker = BackgroundTool("tick")
    assert told(ticker, "one")
    pid = int((tmp_path / "pid").read_text())
    del ticker
    gc.collect()
    assert not psutil.pid_exists(pid)


def test_a_ticker_that_ended_or_is_missing_tells_nothing(fake_tools: Callable[..., None]) -> None:
    fake_tools(tick="exit 3")
    ended = BackgroundTool("tick")
    assert told(ended, None)
    ended.close()
    missing = BackgroundTool("no-such-tool")
    assert missing.last_line() is None
    missing.close()


def test_a_watch_takes_off_the_work_of_this_process_and_of_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = iter([CpuTimes(50.0, 200.0), CpuTimes(60.0, 220.0), CpuTimes(60.0, 220.0)])
    own = iter([3.0, 7.0, 7.0])
    monkeypatch.setattr(telemetry, "machine_cpu_times", lambda: next(machine))
    monkeypatch.setattr(telemetry, "own_cpu_s", lambda: next(own))
    watch = CpuWatch()
    assert watch.other_percent() == pytest.approx(30.0)
    assert watch.other_percent(children_s=5.0) == pytest.approx(5.0)


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
    monkeypatch.setattr(telemetry, "_read", lambda _: None)
    assert rss_bytes() > 1 << 20
    assert peak_rss_bytes() > 0
    times = machine_cpu_times()
    assert 0 < times.busy_s < times.total_s


def test_cpu_time_of_the_machine_includes_ours() -> None:
    start = machine_cpu_times()
    until = sum(os.times()[:2]) + 0.1
    while sum(os.times()[:2]) < until:
        pass
    assert machine_cpu_times().busy_s - start.busy_s >= 0.05
