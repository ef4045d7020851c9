from collections.abc import Callable
from dataclasses import replace

from edge_vos.devices.bench.clip import Clip, measure_clip
from edge_vos.devices.bench.measurement import STAGES, MeasurementLimit
from edge_vos.devices.bench.report import LiveRun
from edge_vos.devices.bench.report_builder import find_warnings
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample
from edge_vos.runtime.model import LoadedModel


def test_warnings_are_loud(load_tiny: Callable[..., LoadedModel], clip: Clip) -> None:
    model = load_tiny()
    short = measure_clip(model, clip, MeasurementLimit(3, None))
    quiet = Conditions(("performance",), False, 3)
    short = replace(short, before=quiet, after=quiet, machine_samples=())
    stages = (*STAGES, "end_to_end")
    long = replace(short, samples_ms=dict.fromkeys(stages, [1.0] * 1024), other_cpu_percent=1.0)
    assert find_warnings(long, model.manifest) == ()
    (few,) = find_warnings(replace(short, other_cpu_percent=1.0), model.manifest)
    assert "Only 3 steps" in few
    (busy,) = find_warnings(replace(long, other_cpu_percent=51.0), model.manifest)
    assert "51 %" in busy
    (unknown,) = find_warnings(replace(long, other_cpu_percent=None), model.manifest)
    assert "whether other processes" in unknown
    failed = load_tiny(report={"executed": True, "passed": False})
    (gate,) = find_warnings(long, failed.manifest)
    assert "did not pass" in gate

    live = LiveRun("clip.mp4", 30.0, False, 0, "stopped")
    assert find_warnings(replace(long, live=live), model.manifest) == ()
    for changes, says in (
        ({"after": replace(quiet, throttled=4)}, "throttled meanwhile"),
        ({"after": replace(quiet, governors=("powersave",))}, "cpupower"),
        ({"after": replace(quiet, on_battery=True)}, "plug it in"),
        ({"after": replace(quiet, firmware_flags=0x50001)}, "tells of under-voltage:"),
        ({"before": replace(quiet, firmware_flags=0x10000),
          "after": replace(quiet, firmware_flags=0x50000)}, "tells of throttled:"),
        ({"machine_samples": [MachineSample(0.0, 1, 2400.0, 80.0, None),
                              MachineSample(1.0, 1, 1500.0, 80.0, None)]},
         "fell from 2400 to 1500 MHz"),
        ({"samples_ms": dict.fromkeys(stages, [1.0] * 512 + [1.3] * 512)}, "30 % slower"),
        ({"samples_ms": dict.fromkeys(stages, ([10.0] * 200 + [12.0] * 170 + [10.0] * 200) * 3)},
         "varied between 10.0 and 12.0 ms"),
        ({"live": replace(live, ended="end")}, "source ended"),
        ({"live": replace(live, ended="timeout")}, "was lost"),
    ):  # fmt: skip
        (found,) = find_warnings(replace(long, **changes), model.manifest)
        assert says in found
