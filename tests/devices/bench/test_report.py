import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import edge_vos.devices.bench.report
from edge_vos.devices.bench.report import SCHEMA_FILE, BenchReport, row
from edge_vos.devices.telemetry.conditions import Conditions, MachineSample

FIGURES = {"p50": 12.5, "p90": 13.0, "p99": 15.25, "max": 20.0}
LATER = {
    "report": {"live", "dataset_accuracy", "package_energy_per_step_mj"},
    "report.conditions": {"power_mode", "firmware_flags"},
    "report.roofline": {"stages"},
    "report.machine_samples[]": {"board_used_bytes", "gpu_percent", "gpu_mhz"},
}
"""Fields that reports of before do not have; they stay valid."""


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


@pytest.mark.parametrize("name", ["clip_report", "live_report"])
def test_the_schema_names_every_field_and_no_other(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Compare by hand what jsonschema would, on the report and the records inside of it."""
    path = Path(edge_vos.devices.bench.report.__file__).with_name(SCHEMA_FILE)
    schema = json.loads(path.read_text())
    document = json.loads(request.getfixturevalue(name).to_json())
    types = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
        "boolean": bool, "null": type(None),
    }  # fmt: skip

    def check(value: object, rule: dict[str, Any], where: str) -> None:
        rule = schema["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule
        kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        assert isinstance(value, tuple(types[kind] for kind in kinds)), where
        if isinstance(value, dict) and "properties" in rule:
            optional = LATER.get(where, set())
            assert set(value) == set(rule["properties"]) == set(rule["required"]) | optional, where
            for name, inner in value.items():
                choices = rule["properties"][name].get("enum", [inner])
                assert inner in choices, where
                check(inner, rule["properties"][name], f"{where}.{name}")
        elif isinstance(value, dict) and isinstance(rule.get("additionalProperties"), dict):
            for name, inner in value.items():
                check(inner, rule["additionalProperties"], f"{where}.{name}")
        elif isinstance(value, list):
            for inner in value:
                check(inner, rule["items"], f"{where}[]")

    check(document, schema, "report")
    assert document["schema_version"] == schema["properties"]["schema_version"]["const"]


def test_rows_and_facts_say_it_in_words(clip_report: BenchReport) -> None:
    assert clip_report.latency_rows() == [
        ("ms", "p50", "p90", "p99", "max"),
        ("infer", "12.50", "13.00", "15.25", "20.00"),
        ("end to end", "12.50", "13.00", "15.25", "20.00"),
    ]
    facts = clip_report.facts()
    assert facts["FPS"].startswith("68.3 at the wall clock (1024 steps")
    assert "peak 150.0 MB, net 70.0 MB" in facts["memory"]
    assert "2 threads" in facts["engine"]
    assert "passed, mask IoU 0.99910 over 12" in facts["accuracy"]
    assert "infer 70 %, whole step 60 %" in facts["of the machine's peak"]
    unknown = replace(
        clip_report, threads=None, other_cpu_percent=None, accuracy=None, roofline=None
    ).facts()
    assert "no recording" in unknown["accuracy"]
    assert "not known" in unknown["of the machine's peak"]
    assert "its own choice" in unknown["engine"]
    assert unknown["others' CPU"] == "not known"


def test_the_machine_is_told(clip_report: BenchReport) -> None:
    facts = clip_report.facts()
    assert facts["placement"] == "the engine takes every operator"
    assert facts["machine set to"] == "governor performance"
    assert (facts["clock"], facts["temperature"]) == ("2400 to 2400 MHz", "52 to 52 °C")
    assert not {"GPU load", "GPU clock", "board's memory"} & set(facts)
    assert facts["energy"].startswith("not known")
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
    facts = jetson.facts()
    assert facts["placement"] == "DLA, predicted; off the accelerator: 2 Where"
    assert facts["machine set to"] == "power mode MODE_15W, plugged in, not throttled"
    assert facts["temperature"] == "40 to 45 °C"
    assert facts["GPU load"] == "10 to 90 %"
    assert facts["GPU clock"] == "318 to 1020 MHz"
    assert facts["board's memory"] == "2000 to 2500 MB"
    assert facts["energy"] == "41.0 mJ a step, the whole board; 30.0 mJ a step, the CPU alone"
    assert "| clock | 1200 to 1500 MHz |" in jetson.to_markdown()
    left = replace(clip_report, placement={"left_on_cpu": ["Where"]}, machine_samples=()).facts()
    assert left["placement"] == "left on the CPU: Where"
    assert not {"clock", "temperature"} & set(left)
    assert "not known" in replace(clip_report, placement={}).facts()["placement"]


def test_a_source_and_a_data_set_are_told(
    clip_report: BenchReport, live_report: BenchReport
) -> None:
    facts = live_report.facts()
    assert facts["source"] == "/dev/video0, 30 frames a second, recording on"
    assert facts["dropped"] == "256 frames (20.0 %)"
    assert facts["J&F"] == "70.1 (J 71.2, F 69.0) on davis2016: 2 sequences, 2 objects, 148 frames"
    assert not {"source", "dropped", "J&F"} & set(clip_report.facts())
    page = live_report.to_markdown()
    assert "| display | 12.50 |" in page
    assert "| J&F | 70.1 (J 71.2, F 69.0)" in page
    document = json.loads(live_report.to_json())
    assert document["live"]["dropped"] == 256
    assert document["dataset_accuracy"]["j_and_f"] == 70.125


def test_a_cell_of_markdown_stays_one_cell() -> None:
    assert row(("a|b", "two\nlines")) == r"| a\|b | two lines |"


def test_markdown_is_two_tables_below_the_warnings(clip_report: BenchReport) -> None:
    warning, latency, facts = clip_report.to_markdown().strip().split("\n\n")
    assert warning == "> **Warning:** Something is amiss."
    assert latency.splitlines()[0] == "| ms | p50 | p90 | p99 | max |"
    assert latency.splitlines()[2] == "| infer | 12.50 | 13.00 | 15.25 | 20.00 |"
    assert {line.count("|") for line in latency.splitlines()} == {6}
    assert {line.count("|") for line in facts.splitlines()} == {3}
