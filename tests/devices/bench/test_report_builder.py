from collections.abc import Callable
from dataclasses import replace

from edge_vos.devices.bench.clip import Clip, measure_clip
from edge_vos.devices.bench.measurement import STAGES, Length
from edge_vos.devices.bench.report import LiveRun
from edge_vos.devices.bench.report_builder import find_doubts
from edge_vos.devices.telemetry.conditions import Conditions, Vitals
from edge_vos.runtime.model import LoadedModel


def test_doubts_are_loud(load_tiny: Callable[..., LoadedModel], clip: Clip) -> None:
    model = load_tiny()
    short = measure_clip(model, clip, Length(3, None))
    quiet = Conditions(("performance",), False, 3)
    short = replace(short, before=quiet, after=quiet, vitals=())
    stages = (*STAGES, "end_to_end")
    long = replace(short, samples_ms=dict.fromkeys(stages, [1.0] * 1024), foreign_cpu_percent=1.0)
    assert find_doubts(long, model.manifest) == ()
    (few,) = find_doubts(replace(short, foreign_cpu_percent=1.0), model.manifest)
    assert "Only 3 steps" in few
    (busy,) = find_doubts(replace(long, foreign_cpu_percent=51.0), model.manifest)
    assert "51 %" in busy
    (unknown,) = find_doubts(replace(long, foreign_cpu_percent=None), model.manifest)
    assert "whether other processes" in unknown
    failed = load_tiny(report={"executed": True, "passed": False})
    (gate,) = find_doubts(long, failed.manifest)
    assert "did not pass" in gate

    live = LiveRun("clip.mp4", 30.0, False, 0, "stopped")
    assert find_doubts(replace(long, live=live), model.manifest) == ()
    for changes, says in (
        ({"after": replace(quiet, throttled=4)}, "throttled meanwhile"),
        ({"after": replace(quiet, governors=("powersave",))}, "cpupower"),
        ({"after": replace(quiet, on_battery=True)}, "plug it in"),
        ({"after": replace(quiet, firmware_flags=0x50001)}, "tells of under-voltage:"),
        ({"before": replace(quiet, firmware_flags=0x10000),
          "after": replace(quiet, firmware_flags=0x50000)}, "tells of throttled:"),
        ({"vitals": [Vitals(t, 1, mhz, 80.0, None) for t, mhz in ((0.0, 2400.0), (1.0, 1500.0))]},
         "fell from 2400 to 1500 MHz"),
        ({"samples_ms": dict.fromkeys(stages, [1.0] * 512 + [1.3] * 512)}, "30 % slower"),
        ({"samples_ms": dict.fromkeys(stages, ([10.0] * 200 + [12.0] * 170 + [10.0] * 200) * 3)},
         "wandered between 10.0 and 12.0 ms"),
        ({"live": replace(live, ended="end")}, "source ended"),
        ({"live": replace(live, ended="timeout")}, "was lost"),
    ):  # fmt: skip
        (found,) = find_doubts(replace(long, **changes), model.manifest)
        assert says in found
