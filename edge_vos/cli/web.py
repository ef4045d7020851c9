"""``edge-vos web``: a page that runs the student in any phone's browser."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import OverwriteOption, PortOption

SIZES = ((240, 432), (432, 240))
"""Of the bundles that are made: a phone on its side, and upright."""

PRECISIONS = ("int8", "fp32")
"""The first that passes its verification is taken: int8 is the smallest and fastest, and
fp16 takes LiteRT.js several times as long as fp32."""


def web(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the page.")] = Path(
        "out/web"
    ),
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="BUNDLE",
            help="LiteRT bundle, one a way to hold the phone; repeat. Made by default: 240x432 and "
            "432x240 in int8.",
        ),
    ] = None,
    engine: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="@litertjs/core; npm fetches it else.")
    ] = None,
    overwrite: OverwriteOption = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve it to this machine's browser; a page that is there "
            "already is served as it is.",
        ),
    ] = False,
    port: PortOption = 8000,
) -> None:
    """Write a static page: the student in a browser, camera to mask, nothing uploaded.

    Copy the folder to any https host and open it on the phone. It can be installed there, works
    offline, and checks the device with the bundle's own recording. Nothing is sent anywhere.

    Without --bundle two are made, which takes a few minutes.

    Examples: edge-vos web -o site

    edge-vos web --serve

    edge-vos web -o site --bundle wide.bundle --bundle tall.bundle
    """
    from edge_vos.runtime.web.package import engine_files, fetched_engine
    from edge_vos.runtime.web.serve import SiteServer
    from edge_vos.runtime.web.site import is_site, read_models, refuse_site, write_site

    if not (serve and not overwrite and is_site(output)):
        refuse_site(output, overwrite=overwrite)
        with tempfile.TemporaryDirectory(prefix="edge-vos-web-") as folder:
            given = bundle or ()
            models = read_models(given) if given else ()
            with nullcontext(engine) if engine is not None else fetched_engine() as packages:
                code = engine_files(packages)
            models = models or read_models(_convert(Path(folder)))
            site = write_site(output, models, code, overwrite=overwrite)
        size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
        typer.echo(f"{output}: {len(site['models'])} models, {size / 1e6:.1f} MB")
        if not serve:
            typer.echo(
                "next: copy the folder to an https host and open it on the phone, or look at"
            )
            typer.echo(f"it here: edge-vos web -o {output} --serve")
    if serve:
        with SiteServer(output, port) as server:
            typer.echo(f"Open {server.address} (Ctrl-C ends it)")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo("ended")


def _convert(folder: Path) -> list[Path]:
    """Make the page's bundles, and name them."""
    from rich.console import Console

    from edge_vos.converters.convert import Conversion, Options, prompt_head_beside
    from edge_vos.converters.recipe import choose_all
    from edge_vos.engines import ENGINES
    from edge_vos.errors import GateError
    from edge_vos.model.checkpoint import default_weights_path

    ENGINES["litert"].require_packages()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    weights = default_weights_path()
    conversion = Conversion(
        Options(weights=weights, prompt_head=prompt_head_beside(weights)),
        progress=lambda step: console.print(f"  {step}"),
    )
    paths = []
    for size in SIZES:
        for precision in PRECISIONS:
            (recipe,) = choose_all(("android",), (), (precision,), sampler="auto", size=size)
            console.print(f"litert {precision} at {size[0]}x{size[1]}")
            path = folder / recipe.file_name
            try:
                conversion.convert(recipe, path)
            except GateError as error:
                if precision == PRECISIONS[-1]:
                    raise
                console.print(f"  {error.what}: the next precision is taken instead")
                continue
            paths.append(path)
            break
    return paths
