import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_vos.devices.bench.measurement import MeasurementLimit, SampleCollector, find_drift
from edge_vos.errors import UsageError
from edge_vos.runtime.model import LoadedModel


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"seconds": 0.0}, {"seconds": -1.0}, {"steps": None, "seconds": None}]
)
def test_a_length_checks_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MeasurementLimit(**wrong)


def test_the_first_of_steps_and_seconds_ends_it() -> None:
    assert MeasurementLimit(10, 4.0).share_done(5, 1.0) == 0.5
    assert MeasurementLimit(10, 4.0).share_done(1, 3.0) == 0.75
    assert MeasurementLimit(10, None).share_done(20, 0.0) == 1.0


def test_memory_is_full_before_anything_counts(tiny_model: LoadedModel) -> None:
    filled = tiny_model.manifest.memory.mem_every * tiny_model.manifest.slots
    assert not MeasurementLimit(10, None).is_warm(tiny_model.manifest, filled - 1, 9.0)
    assert MeasurementLimit(10, None).is_warm(tiny_model.manifest, filled, 0.0)
    assert not MeasurementLimit(10, 60.0).is_warm(tiny_model.manifest, filled, 0.5)
    assert MeasurementLimit(10, 60.0).is_warm(tiny_model.manifest, filled, 1.0)


def test_a_meter_ends_with_the_last_step_asked_for() -> None:
    shares: list[float] = []
    collector = SampleCollector(MeasurementLimit(3, None), shares.append)
    start_s = collector.last_s
    ended = [
        collector.add({"infer": 1.0 * step, "end_to_end": 2.0 * step}, start_s + 0.5 * step)
        for step in (1, 2, 3)
    ]
    assert ended == [False, False, True]
    found = collector.finish(objects=1, frame_size=(4, 6), first_infer_ms=9.0, warmup=2)
    assert {stage: list(ms) for stage, ms in found.samples_ms.items()} == {
        "infer": [1.0, 2.0, 3.0], "end_to_end": [2.0, 4.0, 6.0],
    }  # fmt: skip
    assert found.duration_s == pytest.approx(1.5)
    assert [moment.at_s for moment in found.machine_samples] == pytest.approx([0.5, 1.0, 1.5])
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_board_is_looked_at_meanwhile(fake_tools: Callable[..., None], tmp_path: Path) -> None:
    line = (
        "RAM 4722/7620MB (lfb 1x512kB) CPU [13%@1728] GR3D_FREQ 10%@1020 VDD_IN 5033mW/5033mW "
        "VDD_CPU_GPU_CV 1165mW/1165mW"
    )
    fake_tools(
        tegrastats=f"echo $$ > {tmp_path}/pid; echo '{line}'; : > {tmp_path}/told; exec sleep 60",
        nvpmodel="echo 'NV Power Mode: MODE_15W'; echo 2",
    )
    collector = SampleCollector(MeasurementLimit(1, None), lambda _: None)
    until_s = time.monotonic() + 20
    while not (tmp_path / "told").exists() and time.monotonic() < until_s:
        time.sleep(0.01)
    assert collector.add({"infer": 1.0, "end_to_end": 1.0}, collector.last_s + 0.1)
    found = collector.finish(objects=1, frame_size=(4, 6), first_infer_ms=9.0, warmup=2)
    (moment,) = found.machine_samples
    assert moment.board_used_bytes == 4722 << 20
    assert (moment.gpu_percent, moment.gpu_mhz) == (10.0, 1020.0)
    assert found.before.power_mode == found.after.power_mode == "MODE_15W"
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_drift_compares_the_first_minute_with_the_last() -> None:
    series = [1000.0] * 100 + [2000.0] * 100
    long = find_drift(series, series)
    assert long.window_s == 60.0
    assert (long.first_ms["max"], long.last_ms["p50"]) == (1000.0, 2000.0)
    series = [10.0] * 4 + [20.0] * 2
    short = find_drift(series, series)
    assert short.window_s == pytest.approx(0.04)
    assert (short.first_ms["max"], short.last_ms["p50"]) == (10.0, 20.0)
    one = find_drift([5.0], [5.0])
    assert one.first_ms == one.last_ms


def test_where_steps_overlap_the_clock_counts() -> None:
    """Each step takes 100 ms and ends 10 ms after the one before."""
    found = find_drift([100.0] * 10 + [200.0] * 10, [10.0] * 20)
    assert found.window_s == pytest.approx(0.1)
    assert (found.first_ms["max"], found.last_ms["p50"]) == (100.0, 200.0)
