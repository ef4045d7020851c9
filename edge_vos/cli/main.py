"""Assemble the commands, map errors to exit codes, keep ``--help`` fast."""

import sys

import typer

from edge_vos import __version__
from edge_vos.cli import convert, demo, deploy, devices, doctor, evaluate, inspect, verify
from edge_vos.cli.bench.command import bench
from edge_vos.cli.bench.compare import compare
from edge_vos.cli.training import ablate, distill, train
from edge_vos.cli.video import live, segment
from edge_vos.errors import EdgeVosError, UsageError

app = typer.Typer(
    name="edge-vos",
    help="Video object segmentation that runs live on the device in your hand.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("live", cls=live.LiveCommand)(live.live)
app.command("segment")(segment.segment)
app.command("convert")(convert.convert)
app.command("verify")(verify.verify)
app.command("inspect")(inspect.inspect)
app.command("bench")(bench)
app.command("compare")(compare)
app.command("deploy")(deploy.deploy)
app.command("eval")(evaluate.evaluate)
app.add_typer(train.app, name="train")
app.command("distill")(distill.distill)
app.command("doctor")(doctor.doctor)
app.add_typer(devices.app, name="devices")
app.command("ablate")(ablate.ablate)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"edge-vos {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Video object segmentation that runs live on the device in your hand."""


def main() -> None:
    """Run the command line; a user's mistake becomes one paragraph on stderr and an exit code."""
    try:
        app()
    except EdgeVosError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
