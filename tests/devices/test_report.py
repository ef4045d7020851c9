import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_vos.devices.probe import DeviceInfo
from edge_vos.devices.report import BenchReport, MemoryUse, refuse_report_path, write_report
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
    unknown = replace(REPORT, threads=None, foreign_cpu_percent=None).facts()
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
