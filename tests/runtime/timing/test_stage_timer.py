import pytest

from edge_vos.runtime.timing.stage_timer import StageTimer, percentiles


def test_percentiles_of_known_samples() -> None:
    samples = [float(value) for value in reversed(range(101))]
    assert percentiles(samples) == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}


def test_percentiles_of_one_sample_and_of_none() -> None:
    assert set(percentiles([2.5]).values()) == {2.5}
    with pytest.raises(ValueError, match="no samples"):
        percentiles([])


def test_laps_add_up_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_ns = iter([0, 1_000_000, 3_000_000, 7_000_000])
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock_ns))
    timer = StageTimer()
    for stage in ("pre", "infer", "pre"):
        timer.end(stage)
    assert timer.ms == {"pre": 5.0, "infer": 2.0}
