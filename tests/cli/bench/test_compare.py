import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from edge_vos.cli.bench.compare import compare
from edge_vos.errors import SourceError, UsageError

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(compare)


def saved(path: Path, step_ms: float, threads: int = 1) -> str:
    samples = [step_ms + 0.01 * (index % 7) for index in range(100)]
    figures = {"p50": step_ms + 0.03, "p90": step_ms + 0.06}
    document = {
        "threads": threads,
        "latency_ms": {"end_to_end": figures},
        "samples_ms": {"end_to_end": samples},
        "warnings": ["The machine varied."] if threads > 1 else [],
    }
    path.write_text(json.dumps(document))
    return str(path)


def test_a_regression_exits_with_1(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "a.json", 10.0), saved(tmp_path / "b.json", 11.5, threads=2)
    result = RUNNER.invoke(APP, [before, after, "--json"])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["regression"] is True
    assert set(document["ratios"]["latency_ms.end_to_end.p50"]) == {"ratio", "low", "high"}
    assert "threads differs: 1 and 2" in result.stderr
    assert "WARNING: B: The machine varied." in result.stderr
    assert document["warnings"]["A"] == []
    table = RUNNER.invoke(APP, [before, after])
    assert table.exit_code == 1
    assert "Regression beyond 5 %" in table.stdout


def test_no_regression_exits_with_0(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "a.json", 10.0), saved(tmp_path / "b.json", 11.5)
    for arguments in ([before, before], [after, before], [before, after, "--tolerance", "20"]):
        result = RUNNER.invoke(APP, [*arguments, "--json"])
        assert result.exit_code == 0
        assert json.loads(result.stdout)["regression"] is False
    assert "No regression" in RUNNER.invoke(APP, [before, before]).stdout


def test_the_table_says_what_is_gone_what_failed_and_what_has_no_samples(tmp_path: Path) -> None:
    before, after = Path(saved(tmp_path / "a.json", 10.0)), Path(saved(tmp_path / "b.json", 10.0))
    old, new = (json.loads(path.read_text()) for path in (before, after))
    stage = {"[/red]x": {"p50": 1.0}, "infer": {"p50": 10**400}}
    old |= {"fps": 30.0, "load_ms": 80.0, "accuracy": {"passed": True}}
    new |= {"load_ms": 90.0, "accuracy": {"passed": False}, "model_size_bytes": 5}
    for path, document in ((before, old), (after, new)):
        document["latency_ms"] |= stage
        path.write_text(json.dumps(document))
    result = RUNNER.invoke(APP, [str(before), str(after)])
    assert result.exit_code == 1, result.exception
    assert "fps (not in B), accuracy.passed" in result.stdout
    assert "[/red]x" in result.stdout
    (load,) = (line for line in result.stdout.splitlines() if "load_ms" in line)
    assert load.count("1.125") == 1
    assert "NOTE: model_size_bytes is not in A" in result.stderr
    document = json.loads(RUNNER.invoke(APP, [str(before), str(after), "--json"]).stdout)
    assert document["regressions"] == ["fps", "accuracy.passed"]
    assert "load_ms" in document["without_samples"]


def test_undecided_is_said(tmp_path: Path) -> None:
    noisy = [1.0] * 10 + [100.0] * 10
    document = {
        "latency_ms": {"end_to_end": {"p50": 50.5}},
        "samples_ms": {"end_to_end": noisy},
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    result = RUNNER.invoke(APP, [str(path), str(path)])
    assert result.exit_code == 0
    assert "Undecided at 5 %" in result.stdout
    assert "No regression" not in result.stdout


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    report = saved(tmp_path / "a.json", 10.0)
    assert isinstance(RUNNER.invoke(APP, [report, "no.json"]).exception, SourceError)
    wrong = RUNNER.invoke(APP, [report, report, "--tolerance", "-1"])
    assert isinstance(wrong.exception, UsageError)


def test_help_has_an_example() -> None:
    assert "edge-vos compare before.json" in RUNNER.invoke(APP, ["--help"]).stdout
