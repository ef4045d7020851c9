"""`edge-vos bench`: its options, and which of its ways to measure they ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.bench.options import (
    read_bundle_path,
    read_davis,
    read_length,
    read_live,
    read_number,
    read_numbers,
)
from edge_vos.cli.options import (
    BoxOption,
    EngineOption,
    JsonOption,
    MaskOption,
    SequencesOption,
    SizeOption,
)
from edge_vos.cli.video.prompts import Prompts
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench.live import LiveRequest


def bench(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BUNDLE]...", help="Folder or zip; the shipped one by default."),
    ] = None,
    engine: EngineOption = None,
    size: SizeOption = None,
    objects: Annotated[str | None, typer.Option(metavar="N", help="Followed: 1 to 10.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="Of the engine.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure for 10 seconds.")] = False,
    sustained: Annotated[
        str | None, typer.Option(metavar="10m", help="Measure for so long: 90s, 10m or 1h.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Measure exactly so many steps.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Measure from a camera, clip or synthetic:// to the screen, as `live` runs.",
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record meanwhile, to a file that is removed.")
    ] = False,
    mask: MaskOption = None,
    box: BoxOption = None,
    davis: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Then measure J and F on DAVIS 2016.")
    ] = None,
    sequences: SequencesOption = None,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Measure every combination: --objects 1,10 --threads 1,2."),
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Name the operators that cost most.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Say what each part adds to a live run's memory.")
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Accuracy, latency and memory over bundles and engines."),
    ] = False,
    json_output: JsonOption = False,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write the report: x.json, x.md or x.png; repeat."),
    ] = None,
) -> None:
    """Measure latency by stage, FPS at the wall clock, memory, and the masks' agreement.

    Takes 1,024 whole steps, or 60 seconds where that is less, after a warm-up of its own. A clip
    is drawn for it and stepped through as fast as can be. With --source the newest frame of a
    camera is taken, segmented and painted, and the time from capture to display and the frames
    dropped are told; a synthetic scene prompts itself, any other source wants a --box or --mask.

    --profile asks the engine's own profiler, --memory takes a live run step by step in a fresh
    process, and --sweep draws J&F against milliseconds.

    Examples:

        edge-vos bench

        edge-vos bench --objects 10 --threads 2 --quick

        edge-vos bench student.bundle --sustained 10m -o report.json -o report.png

        edge-vos bench --source 0 --box 220,140,200,200 --record

        edge-vos bench --quick --davis DAVIS --sequences bus,swing

        edge-vos bench --matrix bundles/ --threads 1,2 --objects 1,10 --quick -o table.md

        edge-vos bench --profile --threads 2

        edge-vos bench --memory

        edge-vos bench --sweep bundles/ --quick --davis DAVIS -o sweep.md -o sweep.png
    """
    from edge_vos.bundle import SHIPPED_SIZES, shipped_bundle_path
    from edge_vos.devices.bench.report_file import refuse_report_paths

    if size in SHIPPED_SIZES and not bundles:
        bundles, size = [shipped_bundle_path(size)], None
    ways = {"--matrix": matrix, "--profile": profile, "--memory": memory, "--sweep": sweep}
    chosen = [name for name, asked in ways.items() if asked]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} together", "one of them", "Leave one out")
    length = read_length(quick, sustained, frames)
    paths = output or []
    refuse_report_paths(paths)
    if profile or memory:
        measured = {
            "--size": size, "--objects": objects, "--source": source, "--mask": mask, "--box": box,
            "--davis": davis, "--sequences": sequences, "--record": record or None,
            "a length": length.options or None,
        }  # fmt: skip
        _refuse_unused(chosen[0], measured, paths)
        from edge_vos.cli.bench.costs import CostRequest, bench_memory, bench_profile

        (bench_profile if profile else bench_memory)(
            CostRequest(
                read_bundle_path(bundles), engine, read_number(threads, "--threads"), paths,
                json_output,
            )
        )  # fmt: skip
        return
    live = read_live(
        source, record, Prompts(() if mask is None else (str(mask),), tuple(box or ()))
    )
    dataset = read_davis(davis, sequences)
    if matrix or sweep:
        from edge_vos.cli.bench.matrix import MatrixRequest, bench_matrix
        from edge_vos.cli.bench.sweep import SweepRequest, bench_sweep
        from edge_vos.converters.recipe import parse_size

        same = {"--source": source, "--mask": mask, "--davis": davis, "--sequences": sequences}
        options = [f"{name}={value}" for name, value in same.items() if value is not None]
        options += [*(f"--box={one}" for one in box or ()), *(["--record"] if record else ())]
        options += length.options
        sizes = [parse_size(part) for part in size.split(",")] if size else []
        if sweep:
            _refuse_unused("--sweep", {"--engine": engine}, [])
            one_objects = read_number(objects, "--objects")
            _check_objects([one_objects], live)
            bench_sweep(
                SweepRequest(
                    bundles or [], sizes, one_objects, read_number(threads, "--threads"), options,
                    dataset is not None, length.timeout_s(dataset), paths, json_output,
                )
            )  # fmt: skip
            return
        counts = read_numbers(objects or (None if live else "1"), "--objects")
        _check_objects(counts, live)
        options += [] if engine is None else [f"--engine={engine}"]
        bench_matrix(
            MatrixRequest(
                bundles or [shipped_bundle_path()], sizes, counts,
                read_numbers(threads, "--threads"), options, length.timeout_s(dataset), paths,
                json_output,
            )
        )  # fmt: skip
        return
    from edge_vos.cli.bench.single import bench_one
    from edge_vos.converters.recipe import parse_size
    from edge_vos.devices.bench.measure import BenchRequest

    request = BenchRequest(
        bundle=read_bundle_path(bundles),
        engine=engine,
        size=None if size is None else parse_size(size),
        objects=read_number(objects, "--objects"),
        threads=read_number(threads, "--threads"),
        steps=length.steps,
        seconds=length.seconds,
        live=live,
    )
    bench_one(request, dataset, paths, json_output)


def _check_objects(counts: list[int | None], live: "LiveRequest | None") -> None:
    """Refuse what no setting could measure, before any of them is measured."""
    from edge_vos.devices.bench.measure import BenchRequest

    for count in counts:
        BenchRequest(objects=count, live=live)


def _refuse_unused(way: str, options: Mapping[str, object], paths: list[Path]) -> None:
    """Refuse options that a way to measure does not look at, and pictures that it has not."""
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        raise UsageError(f"{way} with {unused[0]}", "one or the other", f"Leave {unused[0]} out")
    if any(path.suffix == ".png" for path in paths):
        raise UsageError(f"a picture of {way}", "x.json or x.md", "Rename -o")
