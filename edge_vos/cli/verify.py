"""``edge-vos verify``: repeat a bundle's verification on this machine."""

import json

import typer

from edge_vos.cli.options import BundleArgument, JsonOption, ThreadsOption


def verify(
    bundle: BundleArgument = None,
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run a bundle's golden inputs on this machine's engine and compare; needs no torch.

    Where the engine cannot run on this machine, what stands in for it is used, and the bundle is
    reported as NOT EXECUTED.

    Example: edge-vos verify out/student-240x432-cpu-int8.bundle
    """
    from edge_vos.runtime.verification import verify as repeat_golden

    found = repeat_golden(bundle, threads)
    if found.refused:
        typer.echo(f"NOT EXECUTED: {found.refused}", err=True)
    if json_output:
        typer.echo(json.dumps(found.to_json(), indent=2))
    elif not found.refused:
        by = f", agrees by {found.evaluated_by}" if found.evaluated_by and found.agrees else ""
        typer.echo(
            f"{found.verdict}{by}: {found.path} on {found.engine} {found.engine_version}\n"
            f"  mask IoU {found.mask_iou:.5f}, largest error of a probability "
            f"{found.max_abs_error:.2g}, over {found.frames} golden frames"
        )
        if head := found.prompt_head:
            typer.echo(
                f"  prompt head: mask IoU {head.mask_iou:.5f}, largest error "
                f"{head.max_abs_error:.2g}, over {head.prompts} golden prompts"
            )
    if found.failed_when_made and not found.refused:
        typer.echo("It failed its verification when it was made: do not ship it.", err=True)
    if not found.agrees:
        raise typer.Exit(1)
