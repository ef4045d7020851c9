"""The command line's promises: names, exit codes, help with examples, errors in one paragraph."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from edge_vos import __version__
from edge_vos.cli import app
from edge_vos.errors import EdgeVosError, UsageError

REPOSITORY = Path(__file__).parents[2]
PROMISED = {"demo", "convert", "verify", "inspect", "segment", "live", "bench", "eval", "train"}


def _commands() -> list[tuple[str, ...]]:
    """Walk the command line to its leaves."""
    found = []
    waiting = [((name,), command) for name, command in get_command(app).commands.items()]
    while waiting:
        path, command = waiting.pop()
        inner = getattr(command, "commands", {})
        waiting += [((*path, name), child) for name, child in inner.items()]
        if not inner:
            found.append(path)
    return sorted(found)


COMMANDS = _commands()


def _edge_vos(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from edge_vos.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_the_promised_commands_are_there() -> None:
    assert {path[0] for path in COMMANDS} >= PROMISED


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"edge-vos {' '.join(path)}" in result.stdout.partition("Example")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    command = get_command(app)
    for name in path:
        command = command.commands[name]
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_stands_on_a_page(path: tuple[str, ...]) -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert f"edge-vos {' '.join(path)}" in text


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, f"edge-vos {__version__}")


def test_wrong_usage_exits_with_2() -> None:
    assert _edge_vos("segment").returncode == 2
    assert _edge_vos("no-such-command").returncode == 2


def test_a_named_error_is_one_paragraph_and_exits_with_1(tmp_path: Path) -> None:
    done = _edge_vos("inspect", str(tmp_path / "missing.bundle"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "missing.bundle" in done.stderr


def test_errors_say_what_was_expected_and_what_to_do() -> None:
    error = EdgeVosError("The size 250x432", "multiples of 16", "edge-vos convert --size 256x432")
    assert str(error) == (
        "The size 250x432. Expected: multiples of 16. edge-vos convert --size 256x432."
    )
    assert str(EdgeVosError("Just this")) == "Just this."
    assert issubclass(UsageError, EdgeVosError)
