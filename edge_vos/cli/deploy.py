"""``edge-vos deploy``: put a bundle on another device, check and measure it there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from edge_vos.devices.deploy.deploy import Deployment


def deploy(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or zip.")],
    to: Annotated[
        str,
        typer.Option(metavar="URI", help="ssh://user@host:port/path, adb://SERIAL or dir://PATH."),
    ],
    python: Annotated[
        str | None, typer.Option(help="The Python there; looked for by default.")
    ] = None,
    runner: Annotated[
        Path | None,
        typer.Option(help="For Android: executor_runner or benchmark_model, built for it."),
    ] = None,
    threads: ThreadsOption = None,
    objects: Annotated[int, typer.Option(help="Objects to follow when measuring.")] = 1,
    sustained: Annotated[
        str, typer.Option(metavar="10m", help="Measure for so long: 90s, 10m or 1h.")
    ] = "10s",
    ssh_config: Annotated[
        Path | None, typer.Option(help="A configuration of ssh in place of your own.")
    ] = None,
    json_output: JsonOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report: x.json.")
    ] = None,
) -> None:
    """Copy a bundle to a device, repeat its golden there, measure there, bring the report home.

    Only what changed is copied. The bundle takes its place there after its masks agreed. Goes
    through the system's ssh, scp and adb, with the keys that they know.

    Examples:

        edge-vos deploy student.bundle --to ssh://pi@raspberrypi.local -o pi.json

        edge-vos deploy student.bundle --to adb://R5CT1 --runner benchmark_model
    """
    from edge_vos.cli.bench.options import parse_duration
    from edge_vos.devices.bench.measure import BenchRequest
    from edge_vos.devices.bench.report_file import refuse_report_path, write_new
    from edge_vos.devices.deploy.deploy import DeployRequest
    from edge_vos.devices.deploy.deploy import deploy as put
    from edge_vos.devices.deploy.remote import open_remote
    from edge_vos.devices.report_json import to_json
    from edge_vos.errors import UsageError

    parse_duration(sustained)
    BenchRequest(objects=objects, threads=threads)  # refused before anything is copied
    if output is not None:
        if output.suffix != ".json":
            raise UsageError(f"{output}", "a name that ends in .json", "Rename -o")
        refuse_report_path(output)
    request = DeployRequest(
        bundle=bundle,
        remote=open_remote(to, ssh_config),
        python=python,
        runner=runner,
        threads=threads,
        bench_options=("--objects", str(objects), "--sustained", sustained),
    )
    found = put(request, lambda what: typer.echo(f"{what} ...", err=True))
    for warning in found.report.warnings:
        typer.secho(f"WARNING: {warning}", fg=typer.colors.RED, bold=True, err=True)
    if output is not None:
        write_new(output, to_json(found.report).encode())
    if json_output:
        typer.echo(to_json(found), nl=False)
    else:
        _print(found)


def _print(found: "Deployment") -> None:
    from edge_vos.devices.bench.report import BenchReport

    report, verify = found.report, found.verify
    lines = [
        f"installed  {found.installed} on {found.device} ({found.system})",
        f"copied     {len(found.copied)} files, {found.copied_bytes / 1e6:.1f} MB; "
        f"{found.unchanged} were there",
        "masks      not checked: the tool cannot"
        if verify is None
        else f"masks      agree, mask IoU {verify.mask_iou:.5f} over {verify.frames} frames",
    ]
    if found.engine:
        lines.append(f"engine     {found.engine}")
    for stage, figures in report.latency_ms.items():
        shown = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        lines.append(f"{stage:<10} {shown} ms")
    if isinstance(report, BenchReport):
        lines.append(f"FPS        {report.fps:.1f} at the wall clock")
    typer.echo("\n".join([*lines, f"next       {found.next_step}"]))
