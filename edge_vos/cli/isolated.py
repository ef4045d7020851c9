"""Run one conversion in a process of its own: paths and options in, one JSON document out."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_vos.errors import EngineError, GateError, UsageError

if TYPE_CHECKING:
    from edge_vos.converters.recipe import Recipe

_MAIN = "from edge_vos.cli import main; main()"


def convert_isolated(
    recipe: "Recipe", path: Path, options: Sequence[str], python: Path | None = None
) -> dict[str, Any]:
    """Convert in another process, whose engines need not agree with this one's.

    Args:
        recipe: what to make.
        path: the bundle to write.
        options: further options of ``edge-vos convert``.
        python: the interpreter of an environment with edge-vos; ``None`` is this one.

    Returns:
        the document that the command prints for the bundle.

    Raises:
        UsageError: if there is no such interpreter.
        GateError: if the verification failed.
        EngineError: if the process failed in another way.
    """
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
    if done.returncode:
        last = done.stderr.strip().rsplit("error: ", 1)[-1]
        refused = GateError if "Nothing was written" in last else EngineError
        raise refused(f"{recipe.backend} {recipe.precision} in its own process: {last}")
    (document,) = json.loads(done.stdout)["bundles"]
    # Why it was chosen is known here; there it was asked for.
    return {**document, "reason": recipe.reason, "sampler_reason": recipe.sampler_reason}
