import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.cli.bench.options import parse_duration
from edge_vos.devices.bench.compare import read_report
from edge_vos.devices.bench.matrix import Setting
from edge_vos.devices.bench.report import BenchReport
from edge_vos.errors import (
    DatasetError,
    EdgeVosError,
    EngineError,
    PromptError,
    ShapeError,
    SinkError,
    UsageError,
)

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
     ("--matrix", "-o", "table.png"), ("--record",), ("--box", "1,2,3,4"),
     ("--source", "synthetic://", "--box", "1,2"), ("--sequences", "bus"),
     ("--source", "synthetic://", "--objects", "2"),
     ("--matrix", "--source", "synthetic://", "--objects", "2")],
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


def test_outputs_that_cannot_be_written_are_refused_before_measuring(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "q.json"
    error = refused(str(tiny_bundle.path), "-o", str(path), "-o", f"{tmp_path}/./q.json")
    assert isinstance(error, SinkError)
    assert "named twice" in str(error)
    for target in ("/proc/r.json", str(tmp_path / f"{'x' * 300}.json")):
        error = refused(str(tiny_bundle.path), "-o", target)
        assert isinstance(error, SinkError)
        assert "cannot be written" in str(error)
    assert not path.exists()


def test_a_report_is_printed_though_it_cannot_be_written(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    arguments = [str(tiny_bundle.path), "--frames", "2", "--json", "-o", str(tmp_path / "r.json")]
    result = RUNNER.invoke(app, ["bench", *arguments])
    assert isinstance(result.exception, SinkError)
    assert json.loads(result.stdout)["samples"] == 2


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
    assert result.exit_code == 1, result.output
    fine, failed = json.loads(result.stdout)["cells"]
    assert fine["report"]["samples"] == 2
    assert (fine["objects"], fine["threads"], fine["size"]) == (1, 1, [64, 96])
    assert failed["report"] is None
    assert "at most 4" in failed["error"]
    assert "FAILED" in table.read_text()
    assert "measuring 2 of 2, " in result.stderr


def test_a_matrix_survives_a_broken_bundle(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    for name in ("broken.bundle", "fine.bundle"):
        shutil.copytree(tiny_bundle.path, folder / name)
    broken = folder / "broken.bundle" / "model.onnx"
    broken.write_bytes(broken.read_bytes()[:-100])
    arguments = ["--matrix", str(folder), "--threads", "1", "--frames", "2", "--json"]
    result = RUNNER.invoke(app, ["bench", *arguments])
    assert result.exit_code == 1, result.output
    failed, fine = json.loads(result.stdout)["cells"]
    assert (failed["size"], failed["report"]) == (None, None)
    assert "model.onnx" in failed["error"]
    assert fine["report"]["samples"] == 2


def test_an_interrupted_matrix_keeps_what_is_done(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(setting: Setting, *_: object) -> BenchReport:
        if setting.objects == 2:
            raise KeyboardInterrupt
        raise EngineError("it fell | over")

    monkeypatch.setattr("edge_vos.devices.bench.matrix.measure_apart", measure)
    table = tmp_path / "table.md"
    arguments = ["--matrix", str(tiny_bundle.path), "--objects", "1,2", "-o", str(table), "--json"]
    result = RUNNER.invoke(app, ["bench", *arguments])
    assert result.exit_code != 0
    (cell,) = json.loads(result.stdout)["cells"]
    assert cell["error"] == "it fell | over."
    assert "- row 1: FAILED: it fell | over." in table.read_text()


def test_a_matrix_waits_long_and_not_for_ever(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def measure(_: Setting, *rest: Any) -> BenchReport:
        waits.append(rest[-1])
        raise EngineError("no")

    monkeypatch.setattr("edge_vos.devices.bench.matrix.measure_apart", measure)
    for length in (["--frames", "7"], ["--sustained", "2h"], []):
        RUNNER.invoke(app, ["bench", "--matrix", str(tiny_bundle.path), *length])
    assert waits == [3600 + 3 * 70, 3600 + 3 * 7200, 3600 + 3 * 60]


def test_a_source_is_measured_and_recorded(tiny_bundle: Bundle, tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    source = "synthetic://?size=64x96&objects=2&fps=200"
    arguments = [str(tiny_bundle.path), "--source", source, "--frames", "20", "--record"]
    result = RUNNER.invoke(app, ["bench", *arguments, "-o", str(saved)])
    assert result.exit_code == 0, result.output
    for word in ("display", "capture", "interval", "dropped", "recording on"):
        assert word in result.stdout
    document = json.loads(saved.read_text())
    assert (document["samples"], document["objects"]) == (20, 2)
    assert document["live"]["source"] == source
    assert document["live"]["dropped"] >= 0
    assert not read_report(saved).keys() ^ document.keys()
    assert list(tmp_path.glob("*.mkv")) == []


def test_a_clip_wants_a_prompt_and_ends_the_measurement(
    tiny_bundle: Bundle, tmp_path: Path, scene: Callable[..., Any]
) -> None:
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index:05d}.jpg"), scene((8 + index, 32))[0])
    arguments = [str(tiny_bundle.path), "--source", f"{tmp_path}/*.jpg"]
    error = refused(*arguments)
    assert isinstance(error, PromptError)
    assert "--box" in str(error)
    assert isinstance(refused(*arguments, "--box", "900,900,5,5"), PromptError)
    result = RUNNER.invoke(
        app, ["bench", *arguments, "--frames", "500", "--box", "8,32,64,64", "--json"]
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["objects"], document["live"]["ended"]) == (1, "end")
    assert 1 <= document["samples"] <= 8
    assert "WARNING: The source ended" in result.stderr
    assert "p99 wants at least 300" in result.stderr


def test_j_and_f_are_those_of_eval_without_learning(
    tiny_bundle: Bundle, square_davis: Path
) -> None:
    arguments = [str(tiny_bundle.path), "--frames", "3", "--davis", str(square_davis), "--json"]
    result = RUNNER.invoke(app, ["bench", *arguments, "--sequences", "square", "--threads", "1"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["dataset_accuracy"]
    evaluated = RUNNER.invoke(
        app,
        [
            "eval",
            str(square_davis),
            "--model",
            str(tiny_bundle.path),
            "--no-learn-outlines",
            "--json",
        ],
    )
    expected = json.loads(evaluated.stdout)
    assert found == {
        "protocol": "davis2016",
        "sequences": ["square"],
        "objects": 1,
        "frames": 6,
        "j": expected["j_mean"],
        "f": expected["f_mean"],
        "j_and_f": expected["jf_mean"],
    }
    table = RUNNER.invoke(app, ["bench", *arguments[:-1]])
    assert "J&F" in table.stdout


def test_a_data_set_is_looked_for_before_measuring(tiny_bundle: Bundle, tmp_path: Path) -> None:
    error = refused(str(tiny_bundle.path), "--davis", str(tmp_path))  # would take a minute
    assert isinstance(error, DatasetError)


def test_a_matrix_passes_on_what_to_measure(tiny_bundle: Bundle, square_davis: Path) -> None:
    source = "synthetic://?size=64x96&objects=2&fps=200"
    arguments = ["--matrix", str(tiny_bundle.path), "--source", source, "--record", "--frames", "2"]
    result = RUNNER.invoke(
        app, ["bench", *arguments, "--davis", str(square_davis), "--threads", "1", "--json"]
    )
    assert result.exit_code == 0, result.output
    (cell,) = json.loads(result.stdout)["cells"]
    assert cell["error"] is None
    assert (cell["objects"], cell["report"]["objects"], cell["report"]["samples"]) == (None, 2, 2)
    assert cell["report"]["live"]["recording"] is True
    assert cell["report"]["dataset_accuracy"]["sequences"] == ["square"]


@pytest.mark.parametrize(
    "arguments",
    [("--matrix", "--sweep"), ("--profile", "--memory"), ("--profile", "--quick"),
     ("--memory", "--objects", "2"), ("--profile", "-o", "x.png"), ("--memory", "-o", "x.png"),
     ("--memory", "--source", "synthetic://"), ("--sweep", "-o", "x.png"),
     ("--sweep", "--engine", "onnx"), ("--sweep", "--objects", "1,2"),
     ("--sweep", "--objects", "0"), ("--profile", "--record")],
)  # fmt: skip
def test_ways_to_measure_refuse_what_is_not_theirs(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(refused(str(tiny_bundle.path), *arguments), UsageError)
    assert not list(tmp_path.glob("x.*"))


def test_a_profile_is_a_table_a_page_and_json(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    outputs = [tmp_path / "profile.md", tmp_path / "profile.json"]
    arguments = ["bench", "--profile", "--threads", "1"]
    table = RUNNER.invoke(app, [*arguments, *(f"-o{path}" for path in outputs)])
    assert table.exit_code == 0, table.output
    for word in ("operators", "decoder", "convolution", "machine's peak", "MMAC"):
        assert word in table.stdout
    document = json.loads(outputs[1].read_text())
    assert len(document["operators"]) == 10
    assert document["operators"][0]["name"] in outputs[0].read_text()
    printed = RUNNER.invoke(app, [*arguments, "--json"])
    assert json.loads(printed.stdout).keys() == document.keys()


def test_memory_is_a_budget_by_part(tiny_bundle: Bundle, tmp_path: Path) -> None:
    saved = tmp_path / "memory.md"
    table = RUNNER.invoke(app, ["bench", "--memory", str(tiny_bundle.path), "-o", str(saved)])
    assert table.exit_code == 0, table.output
    for word in ("interpreter", "OpenCV", "engine library", "arena", "peak"):
        assert word in table.stdout
        assert word in saved.read_text()
    printed = RUNNER.invoke(app, ["bench", "--memory", str(tiny_bundle.path), "--json"])
    document = json.loads(printed.stdout)
    assert "command line" in [part["name"] for part in document["parts"]]
    assert sum(part["added_bytes"] for part in document["parts"]) == document["peak_rss_bytes"]


def test_a_sweep_is_a_table_and_a_picture(
    tiny_bundle: Bundle, tmp_path: Path, square_davis: Path
) -> None:
    outputs = [tmp_path / "sweep.md", tmp_path / "sweep.png"]
    arguments = ["bench", "--sweep", str(tiny_bundle.path), "--frames", "2", "--threads", "1"]
    arguments += ["--davis", str(square_davis), "--sequences", "square"]
    result = RUNNER.invoke(
        app, [*arguments, "-o", str(outputs[0]), "-o", str(outputs[1]), "--json"]
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (row,) = document["rows"]
    assert (row["engine"], row["size"], row["error"]) == ("onnx", [64, 96], None)
    assert row["j_and_f"] is not None
    assert row["step_p50_ms"] > 0
    assert document["sequences"] == ["square"]
    assert "| tiny.bundle | 64x96 | onnx |" in outputs[0].read_text()
    assert cv2.imread(str(outputs[1])).shape == (520, 860, 3)


def test_a_sweep_tells_what_failed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "bundles" / "broken.bundle"
    shutil.copytree(tiny_bundle.path, broken)
    shutil.copytree(tiny_bundle.path, broken.with_name("fine.bundle"))
    (broken / "model.onnx").write_bytes(b"no")
    result = RUNNER.invoke(app, ["bench", "--sweep", str(broken.parent), "--frames", "2"])
    assert result.exit_code == 1, result.output
    assert "WARNING: row 1: FAILED: " in result.stderr
    assert "J&F" not in result.stdout
