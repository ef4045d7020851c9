"""`edge-vos bench --profile` and `--memory`: what a call costs, by operator and by part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from edge_vos.cli.bench.printing import print_facts, print_table, print_warnings, write_all


@dataclass(frozen=True)
class CostRequest:
    """Say what to look into.

    Args:
        bundle: None is the one that ships.
        engine: None is the bundle's own.
        threads: of the engine; None is its own choice.
        output: where to write the report: .json or .md.
        json_output: print one JSON document on stdout and nothing else.
    """

    bundle: Path | None
    engine: str | None
    threads: int | None
    output: Sequence[Path] = ()
    json_output: bool = False


def bench_profile(request: CostRequest) -> None:
    """Profile a bundle with its engine's own profiler, write and print.

    Raises:
        EngineError: if the engine has no profiler that can be used from here.
        SinkError: if the report cannot be written; it is printed before.
    """
    from edge_vos.devices.cost.profile import (
        group_rows,
        operator_rows,
        profile_bundle,
        summary,
        to_markdown,
    )

    report = profile_bundle(request.bundle, request.engine, request.threads)
    print_warnings(report.warnings)

    def show() -> None:
        print_table(
            operator_rows(report), f"the {len(report.operators)} most expensive operators", 3
        )
        print_table(group_rows("part", report.parts))
        print_table(group_rows("kind", report.kinds))
        print_facts(summary(report))

    _tell(request, report, to_markdown(report), show)


def bench_memory(request: CostRequest) -> None:
    """Measure memory step by step in a fresh process, write and print.

    Raises:
        EngineError: if the engine is missing, or the process fails.
        SinkError: if the report cannot be written; it is printed before.
    """
    from edge_vos.devices.cost.memory import budget_rows, measure_memory, summary, to_markdown

    report = measure_memory(
        request.bundle, request.engine, request.threads, command_line="edge_vos.cli.video.live"
    )

    def show() -> None:
        print_table(budget_rows(report), "resident memory of a live run", figures=2)
        print_facts(summary(report))

    _tell(request, report, to_markdown(report), show)


def _tell(request: CostRequest, report: Any, page: str, show: Callable[[], None]) -> None:
    from edge_vos.devices.bench.report_file import write_new
    from edge_vos.devices.report_json import to_json

    def write(path: Path) -> None:
        write_new(path, (page if path.suffix == ".md" else to_json(report)).encode())

    refused = write_all(request.output, write)
    if request.json_output:
        typer.echo(to_json(report), nl=False)
    else:
        show()
    if refused:
        raise refused[0]
