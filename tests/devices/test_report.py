import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import pytest

import edge_vos.devices.report
from edge_vos.devices.conditions import Conditions, Vitals
from edge_vos.devices.probe import DeviceInfo
from edge_vos.devices.report import (
    SCHEMA_FILE,
    Accuracy,
    BenchReport,
    Drift,
    MemoryUse,
    refuse_report_path,
    write_report,
)
from edge_vos.devices.roofline import Roofline
from edge_vos.errors import SinkError

FIGURES = {"p50": 12.5, "p90": 13.0, "p99": 15.25, "max": 20.0}
REPORT = BenchReport(
    bundle="student",
    bundle_sha256="ab" * 32,
    target="cpu",
    engine="onnx",
    engine_version="1.32.0",
    precision="fp32",
    sampler="native",
    size=(240, 432),
    frame_size=(480, 640),
    objects=10,
    threads=2,
    device=DeviceInfo("AMD EPYC", "x86_64", 2, 24 << 30, "Linux 6.1", "3.11.7"),
    warmup=20,
    samples=1024,
    duration_s=15.0,
    fps=68.27,
    latency_ms={"infer": FIGURES, "end_to_end": FIGURES},
    load_ms=90.0,
    first_inference_ms=31.0,
    model_size_bytes=4_500_000,
    memory=MemoryUse(150_000_000, 70_000_000),
    foreign_cpu_percent=0.4,
    warnings=("Something is amiss.",),
    measured_at="2026-01-31T12:00:00Z",
    drift=Drift(7.5, FIGURES, FIGURES),
    accuracy=Accuracy(True, 12, 0.9991, 1e-5),
    placement={"left_on_cpu": []},
    conditions=Conditions(("performance",), None, 0),
    vitals=(
        Vitals(0.0, 140_000_000, 2400.0, 51.5, None),
        Vitals(1.0, 150_000_000, None, None, None),
    ),
    energy_per_step_mj=None,
    roofline=Roofline(40.0, 150.0, 714_305_952, 70.0, 60.0),
    samples_ms={"infer": [12.0, 12.5, 13.0], "end_to_end": [12.0, 12.5, 13.0]},
)


def test_json_has_the_keys_that_scripts_read() -> None:
    document = json.loads(REPORT.to_json())
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


def test_samples_come_last_and_a_stage_takes_one_line() -> None:
    text = REPORT.to_json()
    document = json.loads(text)
    assert list(document)[-1] == "samples_ms"
    assert '    "infer": [12.0, 12.5, 13.0],\n' in text
    plain = json.loads(json.dumps(asdict(REPORT)))
    assert document == plain


def test_the_schema_names_every_field_and_no_other() -> None:
    """Compare by hand what jsonschema would, on the report and the records inside of it."""
    path = Path(edge_vos.devices.report.__file__).with_name(SCHEMA_FILE)
    schema = json.loads(path.read_text())
    document = json.loads(REPORT.to_json())
    types = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
        "boolean": bool, "null": type(None),
    }  # fmt: skip

    def check(value: object, rule: dict[str, Any], where: str) -> None:
        rule = schema["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule
        kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        assert isinstance(value, tuple(types[kind] for kind in kinds)), where
        if isinstance(value, dict) and "properties" in rule:
            assert set(value) == set(rule["properties"]) == set(rule["required"]), where
            for name, inner in value.items():
                check(inner, rule["properties"][name], f"{where}.{name}")
        elif isinstance(value, dict) and isinstance(rule.get("additionalProperties"), dict):
            for name, inner in value.items():
                check(inner, rule["additionalProperties"], f"{where}.{name}")
        elif isinstance(value, list):
            for inner in value:
                check(inner, rule["items"], f"{where}[]")

    check(document, schema, "report")
    assert document["schema_version"] == schema["properties"]["schema_version"]["const"]


def test_rows_and_facts_say_it_in_words() -> None:
    assert REPORT.latency_rows() == [
        ("ms", "p50", "p90", "p99", "max"),
        ("infer", "12.50", "13.00", "15.25", "20.00"),
        ("end to end", "12.50", "13.00", "15.25", "20.00"),
    ]
    facts = REPORT.facts()
    assert facts["FPS"].startswith("68.3 at the wall clock (1024 steps")
    assert "peak 150.0 MB, net 70.0 MB" in facts["memory"]
    assert "2 threads" in facts["engine"]
    assert "passed, mask IoU 0.99910 over 12" in facts["accuracy"]
    assert "infer 70 %, whole step 60 %" in facts["of the machine's peak"]
    unknown = replace(
        REPORT, threads=None, foreign_cpu_percent=None, accuracy=None, roofline=None
    ).facts()
    assert "no recording" in unknown["accuracy"]
    assert "not installed" in unknown["of the machine's peak"]
    assert "its own choice" in unknown["engine"]
    assert unknown["others' CPU"] == "not known"


def test_markdown_is_two_tables_below_the_warnings() -> None:
    warning, latency, facts = REPORT.to_markdown().strip().split("\n\n")
    assert warning == "> **Warning:** Something is amiss."
    assert latency.splitlines()[0] == "| ms | p50 | p90 | p99 | max |"
    assert latency.splitlines()[2] == "| infer | 12.50 | 13.00 | 15.25 | 20.00 |"
    assert {line.count("|") for line in latency.splitlines()} == {6}
    assert {line.count("|") for line in facts.splitlines()} == {3}


@pytest.mark.parametrize("suffix", [".json", ".md"])
def test_a_report_is_written_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    write_report(REPORT, path)
    expected = REPORT.to_json() if suffix == ".json" else REPORT.to_markdown()
    assert path.read_text() == expected
    with pytest.raises(SinkError, match="exists"):
        write_report(REPORT, path)
    assert path.read_text() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_shows_four_panels(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    write_report(REPORT, path)
    picture = cv2.imread(str(path))
    assert picture.shape == (716, 1240, 3)
    for panel in (
        picture[56:386, :620],
        picture[56:386, 620:],
        picture[386:, :620],
        picture[386:, 620:],
    ):
        assert panel.std() > 10  # ink, not an empty frame
    constant = replace(REPORT, samples_ms={"infer": [1.0], "end_to_end": [1.0]})
    write_report(constant, tmp_path / "constant.png")
    assert (tmp_path / "constant.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["report.txt", "report", "missing/report.json"])
def test_a_bad_path_is_refused_before_measuring(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError):
        refuse_report_path(tmp_path / name)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SinkError, match="No space left"):
        write_report(REPORT, tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []
