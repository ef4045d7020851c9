"""The command line as ``edge-vos deploy`` leaves it on a device, in one file, without weights."""

import sys
from typing import NoReturn

import typer

from edge_vos.cli.main import main as whole
from edge_vos.errors import UsageError

NOT_PACKED = ("ablate", "convert", "demo", "deploy", "distill", "eval", "train")
"""Commands that need what is not packed: weights, training, converters."""


def main() -> None:
    """Run a command on a device; one that is not packed is refused by name, with exit code 2."""
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if asked in NOT_PACKED:
        _refuse(asked)
    try:
        whole()
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("edge_vos."):
            raise
        _refuse(" ".join([asked, *(word for word in sys.argv[1:] if word.startswith("--"))]))


def _refuse(asked: str) -> NoReturn:
    error = UsageError(
        f"edge-vos.pyz has no {asked!r}: it holds what runs on a device",
        "bench, compare, devices, doctor, inspect, live, segment or verify",
        "Run it where edge-vos is installed",
    )
    typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
    sys.exit(2)
