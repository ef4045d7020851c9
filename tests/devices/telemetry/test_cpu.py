import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_vos.devices.telemetry import cpu
from edge_vos.devices.telemetry.cpu import (
    CpuTimes,
    CpuWatch,
    machine_cpu_times,
    other_cpu_percent,
    parse_cpu_times,
)

STAT = """cpu  8154 3279 4528 240434 508 1 41 54 700 0
cpu0 797 473 1091 125976 58 0 7 24 0 0
cpu1 7357 2806 3437 114457 449 0 33 29 0 0
intr 1 2 3
"""


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
    parse_cpu_times(text, 100)
    parse_cpu_times(f"cpu {text}", 100)


def test_foreign_share_is_what_is_busy_and_not_ours() -> None:
    before, after = CpuTimes(100.0, 1000.0), CpuTimes(112.0, 1020.0)
    assert other_cpu_percent(before, after, own_s=9.0) == pytest.approx(15.0)
    assert other_cpu_percent(before, after, own_s=12.5) == 0.0  # ticks are coarse
    assert other_cpu_percent(before, CpuTimes(200.0, 1020.0), own_s=0.0) == 100.0
    assert other_cpu_percent(before, before, own_s=0.0) is None


def test_a_watch_takes_off_the_work_of_this_process_and_of_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = iter([CpuTimes(50.0, 200.0), CpuTimes(60.0, 220.0), CpuTimes(60.0, 220.0)])
    own = iter([3.0, 7.0, 7.0])
    monkeypatch.setattr(cpu, "machine_cpu_times", lambda: next(machine))
    monkeypatch.setattr(cpu, "own_cpu_s", lambda: next(own))
    watch = CpuWatch()
    assert watch.other_percent() == pytest.approx(30.0)
    assert watch.other_percent(children_s=5.0) == pytest.approx(5.0)


def test_without_procfs_psutil_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_read", lambda _: None)
    times = machine_cpu_times()
    assert 0 < times.busy_s < times.total_s


def test_cpu_time_of_the_machine_includes_ours() -> None:
    start = machine_cpu_times()
    until = sum(os.times()[:2]) + 0.1
    while sum(os.times()[:2]) < until:
        pass
    assert machine_cpu_times().busy_s - start.busy_s >= 0.05
