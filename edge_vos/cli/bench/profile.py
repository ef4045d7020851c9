"""`edge-vos bench --profile`: the operators that cost most."""

from collections.abc import Sequence
from pathlib import Path

import typer

from edge_vos.cli.bench.printing import print_facts, print_table, print_warnings, write_all


def bench_profile(
    bundle: Path | None,
    engine: str | None,
    threads: int | None,
    output: Sequence[Path],
    json_output: bool,
) -> None:
    """Profile a bundle with its engine's own profiler, write and print.

    Args:
        bundle: None is the one that ships.
        engine: None is the bundle's own.
        threads: of the engine; None is its own choice.
        output: where to write the report: .json or .md.
        json_output: print one JSON document on stdout and nothing else.

    Raises:
        EngineError: if the engine has no profiler that can be used from here.
    """
    from edge_vos.devices.bench.report_file import write_new
    from edge_vos.devices.cost.profile import (
        group_rows,
        operator_rows,
        profile_bundle,
        summary,
        to_markdown,
    )
    from edge_vos.devices.report_json import to_json

    report = profile_bundle(bundle, engine, threads)
    print_warnings(report.warnings)

    def write(path: Path) -> None:
        write_new(path, (to_markdown(report) if path.suffix == ".md" else to_json(report)).encode())

    refused = write_all(output, write)
    if json_output:
        typer.echo(to_json(report), nl=False)
    else:
        print_table(operator_rows(report), f"the {len(report.operators)} dearest operators", 3)
        print_table(group_rows("part", report.parts))
        print_table(group_rows("kind", report.kinds))
        print_facts(summary(report))
    if refused:
        raise refused[0]
