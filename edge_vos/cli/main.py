"""Assemble the commands, map errors to exit codes, keep ``--help`` fast."""

import sys
from collections.abc import Collection
from importlib import import_module

import typer

from edge_vos import __version__
from edge_vos.errors import EdgeVosError, UsageError

COMMANDS = {
    "demo": "demo",
    "live": "video.live",
    "segment": "video.segment",
    "convert": "convert",
    "verify": "verify",
    "inspect": "inspect",
    "bench": "bench.command",
    "compare": "bench.compare",
    "deploy": "deploy",
    "eval": "evaluate",
    "train": "training.train",
    "distill": "training.distill",
    "doctor": "doctor",
    "devices": "devices",
    "web": "web",
    "ablate": "training.ablate",
}
"""The module of each command, in the order of the help."""
_FUNCTIONS = {"eval": "evaluate"}  # the others are called as the command is


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"edge-vos {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Video object segmentation that runs live on the device in your hand."""


def make_app(names: Collection[str] = COMMANDS) -> typer.Typer:
    """Assemble the command line.

    Args:
        names: of the commands that it shall have; only their modules are imported.
    """
    app = typer.Typer(
        name="edge-vos",
        help="Video object segmentation that runs live on the device in your hand.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        module = import_module(f"edge_vos.cli.{COMMANDS[name]}")
        if name in ("train", "devices"):
            app.add_typer(module.app, name=name)
        else:
            command = getattr(module, _FUNCTIONS.get(name, name))
            app.command(name, cls=getattr(module, "LiveCommand", None))(command)
    return app


def main() -> None:
    """Run the command line; a user's mistake becomes one paragraph on stderr and an exit code."""
    # Another command's modules would only take memory from a camera's: 3 MB.
    asked = COMMANDS.keys() & sys.argv[1:2]
    try:
        make_app(asked or COMMANDS)()
    except EdgeVosError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # what Typer makes of Ctrl-C in a command, without a word
            typer.echo("interrupted", err=True)
        raise
