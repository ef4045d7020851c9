"""`edge-vos bench --memory`: what each part of a live run adds to the memory of its process."""

from collections.abc import Sequence
from pathlib import Path

import typer

from edge_vos.cli.bench.printing import print_facts, print_table, write_all


def bench_memory(
    bundle: Path | None,
    engine: str | None,
    threads: int | None,
    output: Sequence[Path],
    json_output: bool,
) -> None:
    """Measure memory step by step in a fresh process, write and print.

    Args:
        bundle: None is the one that ships.
        engine: None is the bundle's own.
        threads: of the engine; None is its own choice.
        output: where to write the report: .json or .md.
        json_output: print one JSON document on stdout and nothing else.

    Raises:
        EngineError: if the engine is missing, or the process fails.
    """
    from edge_vos.cli import main
    from edge_vos.devices.bench.report_file import write_new
    from edge_vos.devices.cost.memory import budget_rows, measure_memory, summary, to_markdown
    from edge_vos.devices.report_json import to_json

    report = measure_memory(bundle, engine, threads, command_line=main.__module__)

    def write(path: Path) -> None:
        write_new(path, (to_markdown(report) if path.suffix == ".md" else to_json(report)).encode())

    refused = write_all(output, write)
    if json_output:
        typer.echo(to_json(report), nl=False)
    else:
        print_table(budget_rows(report), "resident memory of a live run", figures=2)
        print_facts(summary(report))
    if refused:
        raise refused[0]
