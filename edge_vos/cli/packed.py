"""The command line as ``edge-vos deploy`` leaves it on a device, in one file, without weights."""

import sys
from pathlib import Path
from typing import NoReturn

import typer

from edge_vos.cli.main import main as whole
from edge_vos.errors import BundleError, UsageError

AT_HOME = ("ablate", "convert", "demo", "deploy", "distill", "eval", "train")
"""Commands that need what is not packed: weights, training, converters."""


def main() -> None:
    """Run a command of a device; one that stays at home is named as such, and exits with 2."""
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if asked in AT_HOME:
        _refuse(asked)
    from edge_vos import bundle

    bundle.shipped_bundle_path = _no_bundle
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


def _no_bundle(_: str = "quality") -> Path:
    bundles = Path(sys.argv[0]).absolute().parent / "bundles"
    there = sorted(str(path) for path in bundles.glob("*.bundle"))
    raise BundleError(
        "edge-vos.pyz brings no bundle of its own",
        f"the path of one, such as {there[0]}" if there else "the path of one",
        f"ls {bundles}",
    )
