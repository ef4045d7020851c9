"""Run one conversion in a process of its own: paths and options in, one JSON document out."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_vos.errors import (
    CheckpointError,
    EdgeVosError,
    EngineError,
    GateError,
    MissingPackageError,
    SinkError,
    SourceError,
    UsageError,
)

if TYPE_CHECKING:
    from edge_vos.converters.recipe import Recipe
    from edge_vos.converters.report import ConversionSummary

_MAIN = "from edge_vos.cli.isolated import main; main()"

_ERRORS: dict[str, type[EdgeVosError]] = {
    error.__name__: error
    for error in (CheckpointError, GateError, MissingPackageError, SinkError, SourceError)
}
"""Raised again as what they are; any other is an ``EngineError``."""


def convert_isolated(
    recipe: "Recipe", path: Path, options: Sequence[str], python: Path | None = None
) -> "ConversionSummary":
    """Convert in another process, whose engines need not agree with this one's.

    Args:
        recipe: what to make.
        path: the bundle to write.
        options: further options of ``edge-vos convert``.
        python: the interpreter of an environment with edge-vos; ``None`` is this one.

    Raises:
        UsageError: if there is no such interpreter.
        EdgeVosError: what the process raised; an ``EngineError`` where it ended in another way.
    """
    from edge_vos.converters.report import ConversionSummary

    height, width = recipe.size
    command = [
        str(python or sys.executable), "-c", _MAIN, "convert",
        "--target", recipe.target, "--backend", recipe.backend,
        "--precision", recipe.precision, "--sampler", recipe.sampler,
        "--size", f"{height}x{width}", *options, "--json", "-o", str(path),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(
            f"{command[0]} cannot be run: {error.strerror}", "a Python interpreter", "--python PATH"
        ) from error
    where = f"{recipe.backend} {recipe.precision} in its own process"
    answer = _read(done.stdout)
    if refusal := answer.get("error"):
        kind = _ERRORS.get(refusal["type"], EngineError)
        raise kind(f"{where}: {refusal['what']}", refusal["expected"], refusal["next_step"])
    if done.returncode or "bundles" not in answer:
        lines = done.stderr.strip().splitlines()
        raise EngineError(f"{where}: {' '.join(lines[-2:]) or f'it ended with {done.returncode}'}")
    (document,) = answer["bundles"]
    # Why it was chosen is known here; there it was asked for.
    return replace(
        ConversionSummary.from_json(document),
        reason=recipe.reason,
        sampler_reason=recipe.sampler_reason,
    )


def main() -> None:
    """Run the command line of that process: an error is printed as JSON, part by part."""
    from edge_vos.cli import app

    try:
        app()
    except EdgeVosError as error:
        parts = {"what": error.what, "expected": error.expected, "next_step": error.next_step}
        print(json.dumps({"error": {"type": type(error).__name__, **parts}}))
        sys.exit(1)


def _read(text: str) -> dict[str, Any]:
    """Return the document that a process printed; empty where it printed none."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
