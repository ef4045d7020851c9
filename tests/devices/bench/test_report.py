import json
from dataclasses import asdict, replace

from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.bench.report_text import facts, latency_rows, to_markdown
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample

FIGURES = {"p50": 12.5, "p90": 13.0, "p99": 15.25, "max": 20.0}


def test_json_has_the_keys_that_scripts_read(clip_report: BenchReport) -> None:
    document = json.loads(clip_report.to_json())
    promised = {
        "fps", "latency_ms", "memory", "objects", "size", "engine", "precision", "threads",
        "samples", "device",
    }  # fmt: skip
    assert promised <= set(document)
    assert set(document["latency_ms"]) >= {"infer", "end_to_end"}
    assert document["latency_ms"]["infer"] == FIGURES
    assert document["memory"] == {"peak_rss_bytes": 150_000_000, "net_rss_bytes": 70_000_000}
    assert document["size"] == [240, 432]
    assert document["device"]["name"] == "AMD EPYC"


def test_samples_come_last_and_a_stage_takes_one_line(clip_report: BenchReport) -> None:
    text = clip_report.to_json()
    document = json.loads(text)
    assert list(document)[-1] == "samples_ms"
    assert '    "infer": [12.0, 12.5, 13.0],\n' in text
    plain = json.loads(json.dumps(asdict(clip_report)))
    assert document == plain


def test_rows_and_facts_say_it_in_words(clip_report: BenchReport) -> None:
    assert latency_rows(clip_report) == [
        ("ms", "p50", "p90", "p99", "max"),
        ("infer", "12.50", "13.00", "15.25", "20.00"),
        ("end to end", "12.50", "13.00", "15.25", "20.00"),
    ]
    found = facts(clip_report)
    assert found["FPS"].startswith("68.3 at the wall clock (1024 steps")
    assert "peak 150.0 MB, net 70.0 MB" in found["memory"]
    assert "2 threads" in found["engine"]
    assert "passed, mask IoU 0.99910 over 12" in found["accuracy"]
    assert "infer 70 %, whole step 60 %" in found["of the machine's peak"]
    unknown = facts(
        replace(clip_report, threads=None, other_cpu_percent=None, accuracy=None, roofline=None)
    )
    assert "no golden" in unknown["accuracy"]
    assert "not known" in unknown["of the machine's peak"]
    assert "its own choice" in unknown["engine"]
    assert unknown["others' CPU"] == "not known"


def test_the_machine_is_told(clip_report: BenchReport) -> None:
    found = facts(clip_report)
    assert found["placement"] == "the engine takes every operator"
    assert found["machine set to"] == "governor performance"
    assert (found["clock"], found["temperature"]) == ("2400 to 2400 MHz", "52 to 52 °C")
    assert not {"GPU load", "GPU clock", "board's memory"} & set(found)
    assert found["energy"].startswith("not known")
    jetson = replace(
        clip_report,
        placement={"accelerator": "DLA", "predicted": True, "left": {"Where": 2}},
        conditions=Conditions((), False, None, "MODE_15W", 0),
        machine_samples=(
            MachineSample(0.0, 1, 1200.0, 40.0, 5000.0),
            MachineSample(1.0, 1, 1500.0, 45.0, 5000.0, 2_000_000_000, 10.0, 318.0),
            MachineSample(2.0, 1, 1500.0, 45.0, 5000.0, 2_500_000_000, 90.0, 1020.0),
        ),
        energy_per_step_mj=41.0,
        package_energy_per_step_mj=30.0,
    )
    found = facts(jetson)
    assert found["placement"] == "DLA, predicted; off the accelerator: 2 Where"
    assert found["machine set to"] == "power mode MODE_15W, plugged in, not throttled"
    assert found["temperature"] == "40 to 45 °C"
    assert found["GPU load"] == "10 to 90 %"
    assert found["GPU clock"] == "318 to 1020 MHz"
    assert found["board's memory"] == "2000 to 2500 MB"
    assert found["energy"] == "41.0 mJ a step, the whole board; 30.0 mJ a step, the CPU alone"
    assert "| clock | 1200 to 1500 MHz |" in to_markdown(jetson)
    left = facts(replace(clip_report, placement={"left_on_cpu": ["Where"]}, machine_samples=()))
    assert left["placement"] == "left on the CPU: Where"
    assert not {"clock", "temperature"} & set(left)
    assert "not known" in facts(replace(clip_report, placement={}))["placement"]


def test_a_source_and_a_data_set_are_told(
    clip_report: BenchReport, live_report: BenchReport
) -> None:
    found = facts(live_report)
    assert found["source"] == "/dev/video0, 30 frames a second, recording on"
    assert found["dropped"] == "256 frames (20.0 %)"
    assert found["J&F"] == "70.1 (J 71.2, F 69.0) on davis2016: 2 sequences, 2 objects, 148 frames"
    assert not {"source", "dropped", "J&F"} & set(facts(clip_report))
    page = to_markdown(live_report)
    assert "| display | 12.50 |" in page
    assert "| J&F | 70.1 (J 71.2, F 69.0)" in page
    document = json.loads(live_report.to_json())
    assert document["live"]["dropped"] == 256
    assert document["dataset_accuracy"]["j_and_f"] == 70.125


def test_markdown_is_two_tables_below_the_warnings(clip_report: BenchReport) -> None:
    warning, latency, facts = to_markdown(clip_report).strip().split("\n\n")
    assert warning == "> **Warning:** Something is amiss."
    assert latency.splitlines()[0] == "| ms | p50 | p90 | p99 | max |"
    assert latency.splitlines()[2] == "| infer | 12.50 | 13.00 | 15.25 | 20.00 |"
    assert {line.count("|") for line in latency.splitlines()} == {6}
    assert {line.count("|") for line in facts.splitlines()} == {3}
