"""``edge-vos verify``: repeat a bundle's verification on this machine."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from edge_vos.cli.options import JsonOption, ThreadsOption


def verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="Bundle folder or zip.", show_default="the bundle that ships"),
    ] = None,
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run the recording inside a bundle on this machine's engine and compare; needs no torch.

    Example: edge-vos verify out/student-240x432-cpu-fp32.bundle
    """
    from edge_vos.bundle import default_bundle_path, read_bundle
    from edge_vos.runtime.golden import Golden, check_golden, tolerance_of
    from edge_vos.runtime.model import open_bundle

    opened = read_bundle(bundle or default_bundle_path())
    golden = Golden.load(opened)
    model = open_bundle(opened.path, threads=threads)
    try:
        report = check_golden(model.runner, opened.manifest, golden, **tolerance_of(opened))
    finally:
        model.runner.close()
    passed = report.passed and opened.manifest.gate_passed
    document = {
        "path": str(opened.path),
        "passed": passed,
        "executed": True,
        "mask_iou": _finite(report.mask_iou),
        "max_abs_error": _finite(report.max_abs_error),
        "frames": report.frames,
        "engine": model.engine,
        "engine_version": model.engine_version,
        "passed_when_made": opened.manifest.gate_passed,
    }
    if json_output:
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(
            f"{'passed' if passed else 'FAILED'}: {opened.path} on {model.engine} "
            f"{model.engine_version}\n"
            f"  mask IoU {report.mask_iou:.5f}, largest error of a probability "
            f"{report.max_abs_error:.2g}, over {report.frames} recorded frames"
        )
    if not opened.manifest.gate_passed:
        typer.echo("It failed its verification when it was made: do not ship it.", err=True)
    if not passed:
        raise typer.Exit(1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
