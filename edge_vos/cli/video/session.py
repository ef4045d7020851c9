"""What `segment` and `live` share: outputs, signals, progress and the report."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from edge_vos.cli.video.options import VideoOptions
from edge_vos.cli.video.process import prepare_process
from edge_vos.cli.video.prompts import Prompts
from edge_vos.cli.video.run_report import Watch, print_report
from edge_vos.errors import PromptError, SinkError, UsageError

if TYPE_CHECKING:
    from edge_vos.runtime.interactive.controls import Controls
    from edge_vos.runtime.model import LoadedModel
    from edge_vos.runtime.pipeline import RunReport
    from edge_vos.runtime.segmenter import FrameResult
    from edge_vos.runtime.sinks.output import Sink
    from edge_vos.runtime.sources.frame import Frame, Source


@dataclass(frozen=True)
class SessionRequest:
    """Say what to segment, how, and where to.

    Args:
        source: the source's URI.
        options: as they were typed. Without a size, a live source takes the largest that keeps up
            with it, and any other "quality".
        masks: files, each of which shows objects: ``FILE``, or ``FRAME=FILE``.
        outputs: sinks' URIs; a window or a page makes the run interactive.
        start_s: where in a file to begin, in seconds.
        end_s: where in a file to end; ``None`` is at its end.
        live: take the newest frame, not every frame.
        loop: play a file again at its end.
        resume: go on with a run of several masks that was stopped.
        learn_outlines: learn from masks how outlines have to be moved; ``None`` does where a mask
            shows an object.

    Attributes:
        prompts: what is shown, in the first frame and, by a file, in others; an exact mask of the
            source serves when there are none.
    """

    source: str
    options: VideoOptions
    masks: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    start_s: float = 0.0
    end_s: float | None = None
    live: bool = False
    loop: bool = False
    resume: bool = False
    learn_outlines: bool | None = False

    def __post_init__(self) -> None:
        _ = self.prompts  # wrong ones are refused before anything is opened

    @cached_property
    def prompts(self) -> Prompts:
        """Check the prompts as they were typed."""
        return Prompts.of(self.options, self.masks)

    @property
    def learns_outlines(self) -> bool:
        """Return whether outlines are learnt."""
        return self.prompts.shows_masks if self.learn_outlines is None else self.learn_outlines


def run_session(request: SessionRequest) -> None:
    """Segment a source, print the report, and raise what the source was lost by.

    Raises:
        EdgeVosError: if anything that was asked for is wrong or fails.
    """
    if "window" in request.outputs and (problem := display_problem()):
        raise SinkError(
            f"No window can be opened: {problem}",
            "a desktop session",
            "Add --serve for a page in the browser, or --headless and `--record clip.mkv`"
            if request.live
            else "Leave `-o window` out, and record with `-o clip.mkv`",
        )
    prepare_process(keep_memory=request.learns_outlines)
    from edge_vos.cli.video.propagation import frame_files, given_frames, run_propagation
    from edge_vos.runtime.interactive.controls import Controls
    from edge_vos.runtime.pipeline import RunOptions, segment
    from edge_vos.runtime.segmenter import Segmenter
    from edge_vos.runtime.sinks.opening import is_interactive
    from edge_vos.runtime.sources.opening import open_source

    interactive = any(is_interactive(uri) for uri in request.outputs)
    assumed: list[str] = []
    with ExitStack() as stack:
        controls = Controls()
        source = open_source(
            request.source,
            loop=request.loop,
            reconnect_s=request.options.reconnect,
            notice=_notice(controls),
            start_s=request.start_s,
            end_s=request.end_s,
        )
        until_run = stack.enter_context(ExitStack())
        until_run.callback(source.close)
        _check_prompts(request, source, interactive)
        files = frame_files(source)
        if given := given_frames(request, files):
            until_run.pop_all()
            run_propagation(request, source, files, given, stack)
            return
        model, size_reason = open_model(request, source.fps)
        stack.callback(model.runner.close)
        segmenter = Segmenter(model, learn_outlines=request.learns_outlines)
        first = files[0].name if files else ""
        shown = None if request.live else source.frames
        request.prompts.check(source.size, shown, model.manifest.channels - 1)
        request.prompts.give(segmenter, source.size, first, assumed)
        if not interactive:
            later = {p.object_id for prompts in request.prompts.later.values() for p in prompts}
            _check_names(request, len(later.union(segmenter.object_ids)))
        controls.objects = model.manifest.channels - 1
        controls.about = _about(model)
        if interactive and not request.live and not request.prompts and not source.has_truth:
            controls.paused.set()  # at the first frame, until it is prompted in the window
        masks = [mask] if (mask := request.prompts.mask) else []
        watch = Watch()
        # Before the sinks: from here on Ctrl-C completes or removes what they began.
        stack.enter_context(stop_on_signals(controls))
        sinks = open_outputs(request, source, controls, files, masks)
        for sink in sinks:
            if url := getattr(sink, "url", None):
                print(f"Open {url}", file=sys.stderr, flush=True)
        until_run.pop_all()  # from here on the run closes the source, in the thread that reads it
        total = request.options.frames if request.options.frames is not None else source.frames
        with progress(total) as advance:

            def observe(frame: "Frame", result: "FrameResult") -> None:
                watch(frame, result)
                advance()

            report = segment(
                source,
                segmenter,
                sinks,
                RunOptions(
                    live=request.live,
                    frames=request.options.frames,
                    prompt_from_truth=not request.prompts,
                    interactive=interactive,
                    prompts=request.prompts.later,
                    give_back=True,
                ),
                controls,
                observe,
            )
    for sink in sinks:
        for failure in getattr(sink, "failures", ()):
            print(failure, file=sys.stderr, flush=True)
    print_report(request, report, sinks, watch, model, size_reason, assumed)
    if report.lost is not None:
        raise report.lost
    _raise_refused(request, report)


def _raise_refused(request: SessionRequest, report: "RunReport") -> None:
    """Raise what became of prompts that could not be followed."""
    refused = list(report.refused)
    if report.ended == "end" and (left := [i for i in request.prompts.later if i >= report.frames]):
        refused.append(f"There are prompts for frame {left[0]}, and {report.frames} frames came")
    for why in refused[1:]:
        print(why, file=sys.stderr, flush=True)
    if refused:
        raise PromptError(
            refused[0].rstrip(". "),
            "",
            f"The other prompts of {request.prompts.file} were followed; correct it and run again",
        )


def _notice(controls: "Controls") -> Callable[[str], None]:
    """Tell of a lost camera where the user looks: in the window, on the page, on stderr."""

    def notice(message: str) -> None:
        controls.say(message)
        print(message, file=sys.stderr, flush=True)

    return notice


def open_outputs(
    request: SessionRequest,
    source: "Source",
    controls: "Controls",
    files: Sequence[Path],
    masks: Sequence[Path] = (),
    begun: Collection[str] = (),
) -> "list[Sink]":
    """Open what a run writes to and shows on, and say on stderr how it is written.

    Args:
        request: names the outputs.
        source: gives the frames.
        controls: of the run.
        files: of the frames, in order; none where they are no files.
        masks: that are read, so that no output replaces them.
        begun: the outputs that a run began which now goes on: they are replaced.

    Raises:
        SinkError: if one cannot be opened, or would replace what is read or exists.
    """
    from edge_vos.runtime.sinks.labels.label_file import FrameFiles
    from edge_vos.runtime.sinks.opening import open_sinks

    sinks = open_sinks(
        request.outputs,
        source.fps,
        source.size,
        overwrite=request.options.overwrite,
        controls=controls,
        inputs=(*source.files, *masks),
        original=source.original,
        frame_files=FrameFiles(tuple(files)),
        begun=begun,
    )
    for sink in sinks:
        for note in getattr(sink, "notes", ()):
            print(note, file=sys.stderr, flush=True)
    return sinks


def open_model(request: SessionRequest, fps: float) -> "tuple[LoadedModel, str]":
    """Open the bundle that was asked for; without one, choose the size, and say why that."""
    from edge_vos.bundle import SHIPPED_SIZES, shipped_bundle_path
    from edge_vos.runtime.live_size import largest_that_keeps_up
    from edge_vos.runtime.model import open_bundle

    if request.options.model is not None and request.options.size is not None:
        raise UsageError("--model and --size together", "one of them", "A bundle has its own size")

    def open_size(size: str) -> "LoadedModel":
        return open_bundle(
            shipped_bundle_path(size), request.options.engine, request.options.threads
        )

    if request.options.model is not None:
        return open_bundle(
            request.options.model, request.options.engine, request.options.threads
        ), "the bundle's"
    if request.options.size is not None:
        return open_size(request.options.size), "as asked for"
    if not request.live:
        return open_size("quality"), "the default"
    largest_first = sorted(SHIPPED_SIZES, key=SHIPPED_SIZES.__getitem__, reverse=True)
    model, name, reason = largest_that_keeps_up(largest_first, open_size, fps)
    print(f"size {name}: {reason}", file=sys.stderr, flush=True)
    return model, f"{name}: {reason}"


def _about(model: "LoadedModel") -> str:
    height, width = model.manifest.size
    return f"{model.engine} {model.manifest.precision} {height}x{width}"


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


def _check_prompts(request: SessionRequest, source: "Source", interactive: bool) -> None:
    from edge_vos.runtime.sources.stream import without_secrets

    if request.live and request.prompts.later:
        frame = min(request.prompts.later)
        raise UsageError(
            f"{request.prompts.file} has prompts for frame {frame} of a live source",
            "prompts for frame 0 alone: which frames come later is not known beforehand",
            "Use `edge-vos segment` for a file, or correct it in the window or on the page",
        )
    if not request.prompts and not source.has_truth and not interactive:
        raise PromptError(
            f"Nothing says what to follow in {without_secrets(request.source)}",
            "a mask, a box or a point in the first frame",
            "Add --mask FILE, --box X,Y,W,H, --point X,Y or --prompts FILE.json",
        )


def _check_names(request: SessionRequest, prompted: int) -> None:
    """Refuse names that no object would ever have."""
    from edge_vos.synthetic.source import parse_scene

    names = request.prompts.names
    objects = prompted or parse_scene(request.source).objects  # the one source that has truth
    if len(names) > objects:
        raise UsageError(
            f"There are {len(names)} names and {objects} objects",
            "at most one --name for each object",
            f"Leave out `--name {names[objects]}`, or show that object too",
        )


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[], None]]:
    """Show how far a run is, where a person looks on; each call of what it gives is a frame."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
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
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance() -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} frames/s" if speed else "")

        yield advance
