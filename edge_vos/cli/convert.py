"""``edge-vos convert``: turn weights into a verified bundle for a device."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.cli.options import JsonOption
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_vos.converters.convert import Converted
    from edge_vos.converters.recipe import Recipe


def convert(
    target: Annotated[
        list[str],
        typer.Option(metavar="TARGET", help="cpu, raspberrypi or web; repeat for several."),
    ],
    backend: Annotated[
        str | None, typer.Option(help="Engine, by default the target's: onnx.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="By default the engine's: fp32.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Image size in multiples of 16.")
    ] = None,
    sampler: Annotated[str, typer.Option(help="auto, native, gather or matmul.")] = "auto",
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP", help="Video, folder or URI to verify on; a generated scene by default."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Safetensors file; the shipped student by default.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Folder for the bundles, or one bundle: NAME.bundle, NAME.zip."
        ),
    ] = Path("out"),
    overwrite: Annotated[bool, typer.Option(help="Replace a bundle that exists.")] = False,
    allow_failed_gate: Annotated[
        bool, typer.Option(help="Write a bundle that fails its verification, marked as failed.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Convert a student for a device, verify it against PyTorch and write a bundle.

    A bundle that fails its verification is not written.

    Example: edge-vos convert --target cpu --size 240x432 -o out
    """
    from rich.console import Console

    from edge_vos.converters.recipe import choose, parse_size
    from edge_vos.converters.targets import require_packages

    wanted = parse_size(size) if size is not None else None
    recipes = [
        choose(name, backend=backend, precision=precision, sampler=sampler, size=wanted)
        for name in dict.fromkeys(target)
    ]
    paths = _paths(output, recipes)
    for recipe in recipes:
        require_packages(recipe.backend)

    from edge_vos.bundle import refuse_existing
    from edge_vos.converters.clip import load_clip, synthetic_uri
    from edge_vos.converters.convert import convert as convert_one
    from edge_vos.model.checkpoint import default_weights_path

    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    results = []
    for recipe, path in zip(recipes, paths, strict=True):
        height, width = recipe.size
        console.print(
            f"{recipe.target}: {recipe.backend} {recipe.precision} at {height}x{width}, "
            f"{recipe.sampler} sampler ({recipe.sampler_reason})"
        )
        results.append(
            convert_one(
                weights or default_weights_path(),
                recipe,
                load_clip(calibrate or synthetic_uri(recipe.size)),
                path,
                overwrite=overwrite,
                allow_failed_gate=allow_failed_gate,
                score=_region_and_boundary,
                progress=lambda step: console.print(f"  {step}"),
            )
        )
    documents = [_document(recipe, made) for recipe, made in zip(recipes, results, strict=True)]
    if json_output:
        typer.echo(json.dumps({"bundles": documents}, indent=2))
    else:
        _print(documents, results)
    for document in documents:
        if not document["passed"]:
            typer.echo(f"{document['path']} FAILED its verification and is marked so", err=True)


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


def _region_and_boundary(predicted: "NDArray[np.bool_]", truth: "NDArray[np.bool_]") -> float:
    """Return J&F of one object in one frame."""
    from edge_vos.distill.metrics import boundary_accuracy, region_similarity

    return (region_similarity(predicted, truth) + boundary_accuracy(predicted, truth)) / 2


def _document(recipe: "Recipe", made: "Converted") -> dict[str, Any]:
    report = made.bundle.manifest.report
    return {
        "path": str(made.bundle.path),
        "target": recipe.target,
        "backend": recipe.backend,
        "precision": recipe.precision,
        "sampler": recipe.sampler,
        "sampler_reason": recipe.sampler_reason,
        "size": list(recipe.size),
        "size_bytes": made.bundle.size_bytes,
        "executed": report["executed"],
        "passed": report["passed"],
        "mask_iou": report["mask_iou"],
        "max_abs_error": report["max_abs_error"],
        "jf_drop": report["jf_drop"],
        "left_on_cpu": list(made.left_on_cpu),
        "frames": report["closed_loop"]["frames"],
    }


def _print(documents: Sequence[dict[str, Any]], results: Sequence["Converted"]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for document, made in zip(documents, results, strict=True):
        verification = made.verification
        parity = Table(title=f"{document['target']}: agreement with eager PyTorch", box=box.SIMPLE)
        for heading in ("output", "largest error", "of its largest", "allowed"):
            parity.add_column(heading, justify="left" if heading == "output" else "right")
        for name, error in verification.tensors.items():
            parity.add_row(
                name,
                f"{error.max_abs_error:.1e}",
                "" if name == "probability" else f"{error.relative_error:.1e}",
                f"{verification.tolerance.max_abs_error:g}",
            )
        console.print(parity)
        drop = verification.jf_drop
        console.print(
            f"  closed loop, {verification.frames} frames of {verification.clip}:\n"
            f"  mask IoU {verification.mask_iou:.5f} "
            f"(at least {verification.tolerance.mask_iou:g}, "
            f"worst frame {verification.worst_frame_iou:.5f})"
            + ("" if drop is None else f", J&F {verification.jf:.1f}, drop {drop:.2f}"),
        )
        console.print(
            f"  {'passed' if document['passed'] else 'FAILED'}: {document['path']}, "
            f"{document['size_bytes'] / 1e6:.2f} MB\n"
            f"  next: edge-vos bench {document['path']}"
        )
