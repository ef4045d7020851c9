"""``edge-vos doctor``: what this machine can run, and what is missing."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from edge_vos.cli.options import JsonOption

if TYPE_CHECKING:
    from edge_vos.devices.doctor import DoctorReport, Engine, KnownIssue, LabelFormat


def doctor(json_output: JsonOption = False) -> None:
    """Say what this machine can run, and which command brings what is missing.

    Nothing is opened or changed.

    Example: edge-vos doctor --json
    """
    from edge_vos.cli.video.session import display_problem
    from edge_vos.devices.doctor import diagnose
    from edge_vos.devices.report_json import to_json

    report = replace(diagnose(display_problem()), known_bad=known_issues())
    if json_output:
        typer.echo(to_json(report), nl=False)
    else:
        _print(report)


def known_issues() -> tuple["KnownIssue", ...]:
    """Return the rows of the known-bad table that fit what is installed here."""
    from edge_vos.converters.known_bad import KNOWN_BAD, in_range
    from edge_vos.devices.doctor import KnownIssue
    from edge_vos.engines import installed_version

    versions = {row.engine: installed_version(row.engine) for row in KNOWN_BAD}
    return tuple(
        KnownIssue(row.engine, version, row.what, row.consequence, row.remedy, row.thread)
        for row in KNOWN_BAD
        if (version := versions[row.engine]) is not None and in_range(version, row.versions)
    )


def _print(report: "DoctorReport") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for name, value in _facts(report):
        console.print(f"[bold]{name:13}[/] {escape(value)}")
    engines = Table("engine", "version", "runs here", "built with", box=None)
    for engine in report.engines:
        capabilities = ", ".join(engine.capabilities)
        engines.add_row(engine.name, engine.version, escape(_state(engine)), escape(capabilities))
    console.print(engines)
    for each in report.missing:
        console.print(f"[yellow]missing[/] {each.what} ({escape(each.why)}): ", end="")
        console.print(escape(each.command), style="bold")
    for row in report.known_bad:
        console.print(
            f"known of {row.engine} {row.version}: {escape(row.what)}: "
            f"{escape(row.consequence)}; {escape(row.remedy)} ({row.thread})",
            style="dim",
        )
    if not report.ready:
        console.print("[red]No engine runs here:[/] pip install onnxruntime")


def _state(engine: "Engine") -> str:
    if engine.available is None:
        return "installed; whether it has the delegate shows when a bundle is opened"
    if engine.available:
        return "yes"
    return "not on this system" if engine.version else f"no: {engine.install}"


def _formats(formats: "list[LabelFormat]") -> str:
    named = [
        each.name + (f" (needs {', '.join(each.needs)})" if each.needs else "") for each in formats
    ]
    unaided = all(not each.needs for each in formats)
    return ", ".join(named) + (": no other package is needed" if unaided else "")


def _facts(report: "DoctorReport") -> list[tuple[str, str]]:
    from edge_vos.devices.telemetry.cameras import best_modes

    machine = report.machine
    device, opencv = machine.device, report.opencv
    able = ["FFmpeg"] if opencv.ffmpeg else []
    rows: list[tuple[str, Any]] = [
        ("machine", f"{device.name}, {device.machine}, {machine.soc}".rstrip(", ")),
        ("cores, memory", f"{device.cores}, {device.memory_bytes / 1e9:.1f} GB"),
        ("instructions", ", ".join(machine.instructions)),
        ("GPU", ", ".join(machine.gpus)),
        ("system", f"{machine.system or device.system}, Python {device.python}"),
        ("JetPack", machine.jetpack),
        ("power", ", ".join(report.power)),
        ("profile", f"{report.profile}: edge-vos devices show {report.profile}"),
        ("OpenCV", ", ".join([opencv.version, *able, opencv.windows or "no windows"])),
        ("display", report.display or "windows can be opened"),
    ]
    rows += [
        (each.name, f"{each.version or f'not installed: {each.install}'} ({each.purpose})")
        for each in report.libraries
    ]
    rows += [
        ("labels in", _formats([each for each in report.label_formats if each.reads])),
        ("labels out", _formats([each for each in report.label_formats if each.writes])),
    ]
    rows += [(name, path or "") for name, path in report.tools.items()]
    for camera in report.cameras:
        modes = "; ".join(f"{name} {sizes}" for name, sizes in best_modes(camera.modes).items())
        rows.append((camera.path, f"{camera.name}: {modes or 'modes unknown'}"))
    return [(name, str(value)) for name, value in rows if value]
