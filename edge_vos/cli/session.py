"""What `segment` and `live` share: outputs, signals, progress and the report."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from edge_vos.cli.prompts import Prompts
from edge_vos.errors import PromptError, SinkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_vos.runtime.controls import Controls
    from edge_vos.runtime.frame import Frame, Source
    from edge_vos.runtime.pipeline import RunReport
    from edge_vos.runtime.segmenter import FrameResult

SETTLED_FRAMES = 500


@dataclass(frozen=True)
class SessionRequest:
    """Say what to segment, how, and where to.

    Args:
        source: the source's URI.
        prompts: for the first frame; an exact mask of the source serves when there are none.
        outputs: sinks' URIs; ``window`` makes the run interactive.
        model: a bundle; ``None`` is the one that ships.
        engine: an engine's name; ``None`` is the bundle's.
        threads: of the engine; ``None`` is its choice.
        frames: stop after so many.
        overwrite: replace outputs that exist.
        live: take the newest frame, not every frame.
        loop: play a file again at its end.
        json_output: print one JSON document on stdout and nothing else.
    """

    source: str
    prompts: Prompts
    outputs: tuple[str, ...] = ()
    model: Path | None = None
    engine: str | None = None
    threads: int | None = None
    frames: int | None = None
    overwrite: bool = False
    live: bool = False
    loop: bool = False
    json_output: bool = False


def run_session(request: SessionRequest) -> None:
    """Segment a source, print the report, and raise what the source was lost by.

    Raises:
        EdgeVosError: if anything that was asked for is wrong or fails.
    """
    interactive = "window" in request.outputs
    if interactive and (problem := display_problem()):
        raise SinkError(
            f"No window can be opened: {problem}",
            "a desktop session",
            "Add --headless, and record with `--record clip.mkv`"
            if request.live
            else "Leave `-o window` out, and record with `-o clip.mkv`",
        )
    _quieten()
    import cv2

    from edge_vos.runtime.controls import Controls
    from edge_vos.runtime.model import open_bundle
    from edge_vos.runtime.pipeline import RunOptions, run
    from edge_vos.runtime.segmenter import Segmenter
    from edge_vos.runtime.sink import open_sinks
    from edge_vos.runtime.source import open_source

    cv2.setNumThreads(1)  # its threads would compete with the engine's
    with ExitStack() as stack:
        source = open_source(request.source, loop=request.loop)
        until_run = stack.enter_context(ExitStack())
        until_run.callback(source.close)
        _check_prompts(request, source, interactive)
        _check_outputs(request)
        model = open_bundle(request.model, request.engine, request.threads)
        stack.callback(model.runner.close)
        segmenter = Segmenter(model)
        request.prompts.give(segmenter, source.size)
        controls = Controls(model.manifest.channels - 1)
        if interactive and not request.live and not request.prompts and not source.has_truth:
            controls.paused.set()  # at the first frame, until it is prompted in the window
        watch = Watch()
        # Before the sinks: from here on Ctrl-C completes or removes what they began.
        stack.enter_context(stop_on_signals(controls))
        sinks = open_sinks(
            request.outputs,
            source.fps,
            source.size,
            overwrite=request.overwrite,
            controls=controls,
        )
        until_run.pop_all()  # from here on the run closes the source, in the thread that reads it
        total = request.frames if request.frames is not None else source.frames
        with _progress(total) as advance:

            def observe(frame: "Frame", result: "FrameResult") -> None:
                watch(frame, result)
                advance()

            report = run(
                source,
                segmenter,
                sinks,
                RunOptions(
                    live=request.live,
                    frames=request.frames,
                    prompt_from_truth=not request.prompts,
                    interactive=interactive,
                ),
                controls,
                observe,
            )
    outputs = [sink.uri for sink in sinks if sink.uri not in ("window", "none")]
    _print_report(request, report, outputs if report.frames else [], watch)
    if report.lost is not None:
        raise report.lost


class Watch:
    """Look at each result as it comes: memory of the process, and J where the truth is known.

    Attributes:
        rss_bytes: at frame 500, by which everything was used once, and at the last frame.
    """

    def __init__(self) -> None:
        self.rss_bytes: dict[str, int | None] = {str(SETTLED_FRAMES): None, "end": None}
        self._frames = 0
        self._j_sum = 0.0
        self._j_count = 0

    @property
    def j(self) -> float | None:
        """Return the mean J over objects and frames after the first, 0-100."""
        return 100 * self._j_sum / self._j_count if self._j_count else None

    def __call__(self, frame: "Frame", result: "FrameResult") -> None:
        """Look at one frame's result."""
        from edge_vos.devices.telemetry import rss_bytes

        self._frames += 1
        self.rss_bytes["end"] = rss_bytes()
        if self._frames == SETTLED_FRAMES:
            self.rss_bytes[str(SETTLED_FRAMES)] = self.rss_bytes["end"]
        if frame.truth is not None and self._frames > 1:
            self._score(result, frame.truth)

    def _score(self, result: "FrameResult", truth: "NDArray[np.uint8]") -> None:
        from edge_vos.runtime.masks import jaccard

        for state in result.objects:
            self._j_sum += jaccard(result.mask == state.id, truth == state.id)
            self._j_count += 1


def display_problem() -> str | None:
    """Say why no window can be opened, or return ``None``.

    Qt ends the whole process when it cannot reach a display, so another process tries it first.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    trial = subprocess.run(
        [sys.executable, "-c", "import cv2; cv2.namedWindow('edge-vos'); cv2.destroyAllWindows()"],
        capture_output=True,
        check=False,
    )
    return None if trial.returncode == 0 else "OpenCV cannot reach the display, or has no windows"


@contextmanager
def stop_on_signals(controls: "Controls") -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run in good order; the next one acts as usual."""
    previous: dict[int, Any] = {}

    def stop(number: int, _: FrameType | None) -> None:
        controls.stop.set()
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for restored, handler in previous.items():
            signal.signal(restored, handler)


def _quieten() -> None:
    """Leave stderr to our own words: what OpenCV, FFmpeg and Qt meet, the errors here say."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # of fonts that its wheel lacks


def _check_prompts(request: SessionRequest, source: "Source", interactive: bool) -> None:
    if not request.prompts and not source.has_truth and not interactive:
        raise PromptError(
            f"Nothing says what to follow in {request.source}",
            "a mask, a box or a point in the first frame",
            "Add --mask FILE, --box X,Y,W,H or --point X,Y",
        )


def _check_outputs(request: SessionRequest) -> None:
    """Keep an output from replacing what it is made from."""
    for uri in request.outputs:
        if "://" not in request.source and Path(uri).resolve() == Path(request.source).resolve():
            raise SinkError(f"The output {uri} is the source itself", "another path")


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        SpinnerColumn(),
        TextColumn("segmenting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        Elapsed(),
        Remaining(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance() -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} frames/s" if speed else "")

        yield advance


def _print_report(
    request: SessionRequest, report: "RunReport", outputs: list[str], watch: Watch
) -> None:
    from edge_vos.devices.telemetry import peak_rss_bytes

    document: dict[str, Any] = {
        "frames": report.frames,
        "dropped": report.dropped,
        "fps": round(report.fps, 3),
        "objects": len(report.object_ids),
        "object_ids": list(report.object_ids),
        "outputs": outputs,
        "ended": report.ended,
        "j": watch.j,
        "latency_ms": report.latency_ms,
        "peak_rss_bytes": peak_rss_bytes(),
        "rss_bytes": watch.rss_bytes,
    }
    if request.json_output:
        print(json.dumps(document))
        return
    _print_table(request, document)


def _print_table(request: SessionRequest, document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="latency, ms", title_justify="left")
    table.add_column("stage")
    for column in ("p50", "p90", "p99", "max"):
        table.add_column(column, justify="right")
    for stage, values in document["latency_ms"].items():
        table.add_row(stage, *(f"{value:.2f}" for value in values.values()))
    if document["latency_ms"]:
        console.print(table)
    facts = [f"{document['frames']} frames", f"{document['fps']:.1f} frames/s"]
    if request.live:
        facts.append(f"{document['dropped']} dropped")
    facts.append(f"{document['objects']} objects")
    if document["j"] is not None:
        facts.append(f"mean J {document['j']:.1f} %")
    if document["peak_rss_bytes"] is not None:
        facts.append(f"peak memory {document['peak_rss_bytes'] / 1e6:.0f} MB")
    if document["ended"] == "stopped":
        facts.append("stopped")
    console.print(", ".join(facts), highlight=False)
    for uri in document["outputs"]:
        console.print(f"wrote {uri}", highlight=False, soft_wrap=True)
    if not request.outputs:
        print("Nothing was written: add `-o overlay.mkv` or `-o masks/`.", file=sys.stderr)
