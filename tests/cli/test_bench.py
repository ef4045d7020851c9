import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.cli.bench import parse_duration
from edge_vos.errors import EdgeVosError, ShapeError, SinkError, UsageError

RUNNER = CliRunner()


def refused(*arguments: str) -> EdgeVosError:
    result = RUNNER.invoke(app, ["bench", *arguments])
    assert isinstance(result.exception, EdgeVosError), result.output
    return result.exception


def test_json_is_all_that_stdout_holds(tiny_bundle: Bundle, tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    arguments = [str(tiny_bundle.path), "--frames", "4", "--objects", "2", "--threads", "1"]
    result = RUNNER.invoke(app, ["bench", *arguments, "--json", "-o", str(saved)])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["samples"] == 4
    assert (document["objects"], document["threads"], document["size"]) == (2, 1, [64, 96])
    assert set(document["latency_ms"]["end_to_end"]) == {"p50", "p90", "p99", "max"}
    assert json.loads(saved.read_text()) == document
    assert "WARNING: Only 4 steps" in result.stderr


def test_a_table_is_printed_without_json(tiny_bundle: Bundle) -> None:
    arguments = ["bench", str(tiny_bundle.path), "--frames", "2", "--size", "64x96"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for word in ("end to end", "p99", "FPS", "peak"):
        assert word in result.stdout


def test_another_size_names_the_command_that_makes_it(tiny_bundle: Bundle) -> None:
    error = refused(str(tiny_bundle.path), "--size", "240x432", "--frames", "1")
    assert isinstance(error, ShapeError)
    assert "edge-vos convert --target cpu --size 240x432" in str(error)


@pytest.mark.parametrize(
    "arguments",
    [("--size", "big"), ("--objects", "0"), ("--objects", "11"), ("--frames", "0"),
     ("--quick", "--frames", "3"), ("--quick", "--sustained", "10m"), ("--sustained", "10"),
     ("--sustained", "0m"), ("--objects", "1,2"), ("--threads", "1,2"), ("--threads", "two"),
     ("--matrix", "-o", "table.png")],
)  # fmt: skip
def test_wrong_usage(tiny_bundle: Bundle, arguments: tuple[str, ...]) -> None:
    assert isinstance(refused(str(tiny_bundle.path), *arguments), UsageError)


def test_an_output_that_exists_is_refused_before_measuring(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    path.write_text("mine")
    error = refused(str(tiny_bundle.path), "-o", str(path))  # would take a minute
    assert isinstance(error, SinkError)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("0.5s", 0.5)]
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_sustained_run_ends_in_time_and_is_pictured(tiny_bundle: Bundle, tmp_path: Path) -> None:
    outputs = [tmp_path / "report.md", tmp_path / "report.png"]
    arguments = [str(tiny_bundle.path), "--sustained", "0.2s", "--json"]
    for path in outputs:
        arguments += ["-o", str(path)]
    result = RUNNER.invoke(app, ["bench", *arguments])
    assert result.exit_code == 0, result.output
    assert 0.2 <= json.loads(result.stdout)["duration_s"] < 5
    assert all(path.stat().st_size > 500 for path in outputs)


def test_a_matrix_is_one_table_and_survives_a_failing_cell(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    table = tmp_path / "table.md"
    arguments = ["--matrix", str(tiny_bundle.path), "--objects", "1,9", "--threads", "1"]
    result = RUNNER.invoke(app, ["bench", *arguments, "--frames", "2", "--json", "-o", str(table)])
    assert result.exit_code == 0, result.output
    fine, failed = json.loads(result.stdout)["cells"]
    assert fine["report"]["samples"] == 2
    assert (fine["objects"], fine["threads"], fine["size"]) == (1, 1, [64, 96])
    assert failed["report"] is None
    assert "at most 4" in failed["error"]
    assert "FAILED" in table.read_text()
    assert "measuring 2 of 2, " in result.stderr
