"""``edge-vos verify``: repeat a bundle's verification on this machine."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_vos.cli.options import JsonOption, ThreadsOption
from edge_vos.errors import EngineError

if TYPE_CHECKING:
    from edge_vos.bundle import Bundle
    from edge_vos.runtime.model import LoadedModel


def verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="Bundle folder or zip.", show_default="the bundle that ships"),
    ] = None,
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run the recording inside a bundle on this machine's engine and compare; needs no torch.

    Where the engine cannot run on this machine, what stands in for it is used, and the bundle is
    reported as NOT EXECUTED.

    Example: edge-vos verify out/student-240x432-cpu-int8.bundle
    """
    from edge_vos.bundle import read_bundle, shipped_bundle_path
    from edge_vos.runtime.golden import Golden, check_golden, tolerance_of

    opened = read_bundle(bundle or shipped_bundle_path())
    manifest = opened.manifest
    golden = Golden.load(opened)
    document: dict[str, Any] = {
        "path": str(opened.path),
        "passed": False,
        "executed": False,
        "evaluated_by": "",
        "mask_iou": None,
        "max_abs_error": None,
        "mean_abs_error": None,
        "frames": 0,
        "engine": manifest.backend,
        "engine_version": "",
        "passed_when_made": manifest.gate_passed,
        "verdict": "NOT EXECUTED",
    }
    try:
        model, evaluated_by = _open(opened, threads)
    except EngineError as error:
        if _executes(manifest.backend):
            raise
        typer.echo(f"NOT EXECUTED: {error}", err=True)
        if json_output:
            typer.echo(json.dumps(document, indent=2))
        raise typer.Exit(1) from error
    try:
        report = check_golden(model.runner, manifest, golden, **tolerance_of(opened))
    finally:
        model.runner.close()
    agrees = report.passed and not manifest.gate_failed
    document |= {
        "passed": agrees and not evaluated_by,
        "executed": not evaluated_by,
        "evaluated_by": evaluated_by,
        "mask_iou": _finite(report.mask_iou),
        "max_abs_error": _finite(report.max_abs_error),
        "mean_abs_error": _finite(report.mean_abs_error),
        "frames": report.frames,
        "engine": model.engine,
        "engine_version": model.engine_version,
        "verdict": "FAILED" if not agrees else "NOT EXECUTED" if evaluated_by else "passed",
    }
    if json_output:
        typer.echo(json.dumps(document, indent=2))
    else:
        by = f", agrees by {evaluated_by}" if evaluated_by and agrees else ""
        typer.echo(
            f"{document['verdict']}{by}: {opened.path} on {model.engine} {model.engine_version}\n"
            f"  mask IoU {report.mask_iou:.5f}, largest error of a probability "
            f"{report.max_abs_error:.2g}, over {report.frames} recorded frames"
        )
    if manifest.gate_failed:
        typer.echo("It failed its verification when it was made: do not ship it.", err=True)
    if not agrees:
        raise typer.Exit(1)


def _executes(backend: str) -> bool:
    from edge_vos.converters.targets import BACKENDS

    return backend not in BACKENDS or BACKENDS[backend].executes


def _open(bundle: "Bundle", threads: int | None) -> tuple["LoadedModel", str]:
    """Open a bundle with its engine or what stands in for it; return the stand-in's name too."""
    from edge_vos.converters.targets import BACKENDS, load_evaluator, require_packages
    from edge_vos.runtime.model import LoadedModel, open_bundle

    manifest = bundle.manifest
    try:
        model = open_bundle(bundle.path, threads=threads)
    except EngineError:
        row = BACKENDS.get(manifest.backend)
        if row is None or not row.evaluator_name:
            raise
        require_packages(manifest.backend)
        evaluator = load_evaluator(manifest.backend)
        if evaluator is None or not evaluator.name:
            raise
        runner = evaluator.open_runner(bundle.model_path, manifest, threads)
        model = LoadedModel(manifest, runner, manifest.backend, "", threads, 0.0, bundle.path)
        return model, evaluator.name
    stand_in = model.engine != manifest.backend
    return model, BACKENDS[manifest.backend].evaluator_name if stand_in else ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
