"""Run a command, in this process or in one of its own."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.errors import EdgeVosError


def invoke(*arguments: object) -> Result:
    """Run ``edge-vos`` with some arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(bundle: Bundle, *arguments: str) -> EdgeVosError:
    """Run a command on a bundle, and return what it was refused with."""
    result = invoke(*arguments, "--model", bundle.path)
    assert isinstance(result.exception, EdgeVosError), result.exception
    assert result.stdout == ""
    return result.exception


def parse(line: str) -> None:
    """Parse a command line down to its last command; a misspelt option or value raises."""
    rest = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    context = command.make_context("edge-vos", list(rest))
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Run ``edge-vos`` in a process of its own."""
    code = "from edge_vos.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> Any:
    """Send a process a signal, and return the document that it ends with, in good order."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return json.loads(stdout)


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait two minutes at most; a process that ends ends it too."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s and process.poll() is None and not condition():
        time.sleep(0.05)
