"""``edge-vos devices``: what is known of a device, and what to convert for it."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption

if TYPE_CHECKING:
    from edge_vos.converters.recipe import Recipe

app = typer.Typer()


@app.callback(invoke_without_command=True)
def devices(context: typer.Context) -> None:
    """List the devices that are known, or show one."""
    if context.invoked_subcommand is None:
        list_devices()


@app.command("list")
def list_devices(json_output: JsonOption = False) -> None:
    """List the devices that are known.

    Example: edge-vos devices list
    """
    from rich.console import Console
    from rich.table import Table

    from edge_vos.devices.profiles.profile import load_profile, profile_names

    profiles = [load_profile(name) for name in profile_names()]
    if json_output:
        typer.echo(json.dumps({"devices": [asdict(each) for each in profiles]}, indent=2))
        return
    table = Table("name", "device", "engine", "", "image", box=None)
    for each in profiles:
        height, width = each.choice.size
        table.add_row(
            each.name, each.title, each.choice.backend, each.choice.precision, f"{height}x{width}"
        )
    Console(highlight=False, soft_wrap=True).print(table)


@app.command("show")
def show_device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `edge-vos devices list` has it.")],
    json_output: JsonOption = False,
) -> None:
    """Show a device: chip, memory, engines, what to convert for it and why, and known traps.

    Example: edge-vos devices show raspberry-pi-5
    """
    from rich.console import Console
    from rich.markup import escape

    from edge_vos.devices.profiles.profile import load_profile

    profile = load_profile(name)
    if json_output:
        typer.echo(json.dumps(asdict(profile), indent=2))
        return
    choice = profile.choice
    height, width = choice.size
    rows = [
        ("device", profile.title),
        ("chip", profile.soc),
        ("GPU", profile.gpu),
        ("memory", f"{' or '.join(map(str, profile.memory_gb))} GB"),
        ("system", profile.system),
        ("engines", ", ".join(profile.engines)),
        (
            "convert",
            f"{choice.target}: {choice.backend} {choice.precision} at {height}x{width}, "
            f"{choice.sampler} sampler",
        ),
        ("why", f"{choice.reason} ({choice.source})"),
        *(("trap", f"{trap.what} ({trap.source})") for trap in profile.traps),
        *(("source", url) for url in profile.sources),
        (
            "next",
            f"edge-vos convert --target {choice.target} --backend {choice.backend} "
            f"--precision {choice.precision} --size {height}x{width} --sampler {choice.sampler}",
        ),
    ]
    console = Console(highlight=False, soft_wrap=True)
    for key, value in rows:
        console.print(f"[bold]{key:8}[/] {escape(value)}")


def recipe_for_device(
    name: str,
    *,
    precision: str | None = None,
    sampler: str = "auto",
    size: tuple[int, int] | None = None,
) -> "Recipe":
    """Turn a profile into a recipe for ``edge-vos convert --device NAME``.

    Args:
        name: of the profile.
        precision: in place of the profile's.
        sampler: in place of the profile's; "auto" is the profile's.
        size: (height, width), in place of the profile's.

    Raises:
        UsageError: if there is no such device, precision or sampler.
        ShapeError: if the size does not suit the student.
    """
    from edge_vos.converters.recipe import AS_ASKED, Recipe, choose
    from edge_vos.devices.profiles.profile import load_profile

    profile = load_profile(name)
    choice = profile.choice
    recipe = choose(
        choice.target,
        backend=choice.backend,
        precision=precision or choice.precision,
        sampler=choice.sampler if sampler == "auto" else sampler,
        size=size or choice.size,
    )
    asked = precision not in (None, choice.precision)
    return Recipe(
        target=recipe.target,
        backend=recipe.backend,
        precision=recipe.precision,
        reason=AS_ASKED if asked else f"for {profile.title}: {choice.reason}",
        sampler=recipe.sampler,
        sampler_reason=recipe.sampler_reason if sampler != "auto" else f"for {profile.title}",
        size=recipe.size,
    )
