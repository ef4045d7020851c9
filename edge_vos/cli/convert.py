"""``edge-vos convert``: turn weights into verified bundles for devices."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption, OverwriteOption
from edge_vos.engines import ENGINES
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.converters.recipe import Recipe
    from edge_vos.converters.report import ConversionSummary, PromptHeadSummary

PRECISIONS = "By default the target's: fp32, fp16, int8, for coreml palette6, palette4 and w8a8 too"
WIDTH = 140
"""Columns of the table in a file or pipe, which does not wrap it."""


def convert(
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="android, ios, jetson, raspberrypi, cpu or web; repeat for several, or all.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BACKEND",
            help=f"Engine, by default the target's: {', '.join(ENGINES)}; repeat, or all.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="What suits it; see edge-vos devices list.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(metavar="PRECISION", help=f"{PRECISIONS}; repeat, or all."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Image size in multiples of 16.")
    ] = None,
    sampler: Annotated[str, typer.Option(help="auto, native, gather or matmul.")] = "auto",
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP",
            help="Video, folder or URI to calibrate and verify on, with a mask beside it; "
            "a short clip that ships by default.",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS", min=0.0, help="J&F that may be lost; by default the precision's."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Safetensors file; the shipped student by default.")
    ] = None,
    prompt_head: Annotated[
        Path | None,
        typer.Option(
            help="Safetensors file of the prompt head; the one beside the weights by default."
        ),
    ] = None,
    without_prompt_head: Annotated[
        bool,
        typer.Option(
            "--without-prompt-head",
            help="Leave out the graph that makes masks from boxes and clicks.",
        ),
    ] = False,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Folder for the bundles, or one bundle: NAME.bundle, NAME.zip."
        ),
    ] = Path("out"),
    overwrite: OverwriteOption = False,
    allow_failed_gate: Annotated[
        bool, typer.Option(help="Write a bundle that fails its verification, marked as failed.")
    ] = False,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Convert each bundle in a process of its own.")
    ] = False,
    python: Annotated[
        Path | None,
        typer.Option(help="Interpreter of the environment to use with --isolated."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Convert a student for devices, verify it against PyTorch and write bundles.

    A bundle that fails its verification is not written. One whose engine cannot run on this
    machine is reported as NOT EXECUTED.

    Example: edge-vos convert --target cpu --size 240x432 -o out
    """
    from rich.console import Console

    from edge_vos.converters.recipe import choose_all, parse_size

    if prompt_head is not None and without_prompt_head:
        raise UsageError(
            f"--prompt-head {prompt_head} with --without-prompt-head", "either", "Leave one out"
        )
    if python is not None and not isolated:
        raise UsageError(f"--python {python} without --isolated", "both", "Add --isolated")
    wanted = parse_size(size) if size is not None else None
    if device is None:
        recipes = choose_all(
            target or (), backend or (), precision or (), sampler=sampler, size=wanted
        )
    else:
        recipes = _for_device(device, target, backend, precision, sampler, wanted)
    paths = _paths(output, recipes)
    if not isolated:
        for name in dict.fromkeys(recipe.backend for recipe in recipes):
            ENGINES[name].require_packages()

    from edge_vos.bundle import refuse_existing

    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def announce(recipe: "Recipe") -> None:
        height, width = recipe.size
        console.print(
            f"{recipe.target}: {recipe.backend} {recipe.precision} ({recipe.reason}) at "
            f"{height}x{width}, {recipe.sampler} sampler ({recipe.sampler_reason})"
        )

    if isolated:
        from edge_vos.cli.isolated import convert_isolated

        given = {
            "--calibrate": calibrate,
            "--max-drop": max_drop,
            "--weights": weights,
            "--prompt-head": prompt_head,
        }
        options = [f"{name}={value}" for name, value in given.items() if value is not None]
        options += ["--without-prompt-head"] if without_prompt_head else []
        options += ["--overwrite"] if overwrite else []
        options += ["--allow-failed-gate"] if allow_failed_gate else []

        def convert_one(recipe: "Recipe", path: Path) -> "ConversionSummary":
            return convert_isolated(recipe, path, options, python)
    else:
        from edge_vos.converters.convert import Conversion, Options, prompt_head_beside
        from edge_vos.evaluate.metrics import region_and_boundary
        from edge_vos.model.checkpoint import default_weights_path

        weights = weights or default_weights_path()
        head = None if without_prompt_head else prompt_head or prompt_head_beside(weights)
        if head is None and not without_prompt_head:
            console.print(
                f"No prompt head lies beside {weights}: boxes and clicks of these bundles are "
                "read by GrabCut"
            )
        conversion = Conversion(
            Options(
                weights=weights,
                calibrate=calibrate,
                max_drop=max_drop,
                overwrite=overwrite,
                allow_failed_gate=allow_failed_gate,
                prompt_head=head,
            ),
            score=region_and_boundary,
            progress=lambda step: console.print(f"  {step}"),
        )

        def convert_one(recipe: "Recipe", path: Path) -> "ConversionSummary":
            return conversion.convert(recipe, path).summary

    made = []
    for recipe, path in zip(recipes, paths, strict=True):
        announce(recipe)
        made.append(convert_one(recipe, path))
    if json_output:
        typer.echo(json.dumps({"bundles": [each.to_json() for each in made]}, indent=2))
    else:
        _print(made)
    for each in made:
        if each.verdict == "FAILED":
            typer.echo(f"{each.path} FAILED its verification and is marked so", err=True)


def _paths(output: Path, recipes: Sequence["Recipe"]) -> list[Path]:
    if output.suffix not in (".bundle", ".zip"):
        return [output / recipe.file_name for recipe in recipes]
    if len(recipes) > 1:
        raise UsageError(
            f"{output} is one bundle for {len(recipes)} targets",
            "a folder",
            "Use for example -o out",
        )
    return [output]


def _print(made: Sequence["ConversionSummary"]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table(box=box.SIMPLE, title="agreement with eager PyTorch")
    for heading in ("target", "engine", "", "MB", "largest error", "mask IoU", "J&F drop"):
        table.add_column(heading, justify="left" if heading in ("target", "engine") else "right")
    table.add_column("off the accelerator", justify="right")
    table.add_column("ms on this host, 1 thread", justify="right")
    table.add_column("verification")
    for each in made:
        by = f", agrees by {each.evaluated_by}" if each.evaluated_by else ""
        table.add_row(
            each.target,
            each.backend,
            each.precision,
            f"{each.model_bytes / 1e6:.2f}",
            _figure(each.max_abs_error, ".1e"),
            _figure(each.mask_iou, ".5f"),
            _figure(each.jf_drop, ".2f"),
            str(len(each.left_on_cpu)),
            _figure(each.host_latency_ms, ".1f"),
            each.verdict + (by if each.verdict == "NOT EXECUTED" else ""),
        )
    console.print(table)
    for each in made:
        console.print(each.path)
        if each.left_on_cpu:
            console.print(f"  off the accelerator: {', '.join(each.left_on_cpu)}")
        if each.left_float:
            console.print(f"  in float in this engine's int8: {', '.join(each.left_float)}")
        if each.kept_float:
            console.print(f"  kept in float to pass: {', '.join(each.kept_float)}")
        if each.prompt_head:
            console.print(f"  {_prompt_head_line(each.prompt_head)}")
        command = "bench" if each.executed else "verify"
        where = "" if each.executed else " on the device"
        console.print(f"  next{where}: edge-vos {command} {each.path}")


def _prompt_head_line(head: "PromptHeadSummary") -> str:
    """Say in a line what a conversion made of the prompt head."""
    height, width = head.size
    figures = [f"{head.model_bytes / 1e6:.2f} MB", f"{height}x{width}"]
    if head.mask_iou is not None:
        figures.append(f"mask IoU {head.mask_iou:.5f}")
    if head.host_latency_ms is not None:
        figures.append(f"{head.host_latency_ms:.1f} ms")
    if head.kept_float:
        figures.append(f"kept in float to pass: {', '.join(head.kept_float)}")
    return f"prompt head: {', '.join([*figures, head.verdict])}"


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _for_device(
    device: str,
    target: list[str] | None,
    backend: list[str] | None,
    precision: list[str] | None,
    sampler: str,
    size: tuple[int, int] | None,
) -> list["Recipe"]:
    from edge_vos.cli.devices import recipe_for_device

    if target or backend:
        raise UsageError(
            f"--device {device} beside --target or --backend", "either", "Leave one of them out"
        )
    if precision and len(precision) > 1:
        raise UsageError(f"--device {device} with several precisions", "one --precision")
    return [
        recipe_for_device(
            device, precision=precision[0] if precision else None, sampler=sampler, size=size
        )
    ]
