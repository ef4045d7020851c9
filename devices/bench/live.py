"""Measure the whole way from a camera or a clip to the screen, in the pipeline of ``live``.

The newest frame is taken and the others are counted; capture, engine and drawing overlap in
threads as they do there. What a window shows is painted and not put on a display, whose own time
is the one part that is left out. A recording is written to a temporary file.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from edge_vos.devices.bench.measurement import (
    Measurement,
    MeasurementLimit,
    Progress,
    SampleCollector,
)
from edge_vos.devices.bench.report import LiveRun
from edge_vos.errors import PromptError, SourceError
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.pipeline import RunOptions, RunReport, segment
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sinks.recording import Recording
from edge_vos.runtime.sources.frame import Frame, Source
from edge_vos.runtime.sources.opening import open_source
from edge_vos.runtime.sources.stream import without_secrets
from edge_vos.synthetic.source import SCHEME as SYNTHETIC

Prompt = Callable[[Segmenter, tuple[int, int]], object]


@dataclass(frozen=True)
class LiveRequest:
    """Say what to measure on.

    Args:
        source: URI of a camera, a stream, a file, which plays the camera at its own rate, or a
            synthetic scene.
        record: record meanwhile, as ``live --record clip.mkv`` does.
        prompt: prompts the segmenter for the first frame, given its (height, width); None takes
            the exact mask of the source.
    """

    source: str
    record: bool = False
    prompt: Prompt | None = None


class Screen(Sink):
    """Paint what a window would show, and show it to nobody.

    Args:
        painter: draws the overlay; shared with those that record it.
    """

    shows: ClassVar[bool] = True

    def __init__(self, painter: Painter) -> None:
        self.uri = "painted"
        self._painter = painter

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Paint one frame."""
        self._painter.paint(frame, result)

    def close(self) -> None:
        """Do nothing."""


def open_live(request: LiveRequest) -> Source:
    """Open the source of a request; a synthetic scene never ends, a lost camera is not sought.

    Raises:
        SourceError: if there is no such source, or it cannot be read.
        PromptError: if nothing says what to follow in it.
    """
    source = open_source(request.source, loop=request.source.startswith(SYNTHETIC), reconnect_s=0.0)
    if request.prompt is None and not source.has_truth:
        source.close()
        raise PromptError(
            f"Nothing says what to follow in {without_secrets(request.source)}",
            "a box or a mask in its first frame",
            "Add --box X,Y,W,H or --mask FILE",
        )
    return source


def measure_live(
    model: LoadedModel,
    source: Source,
    request: LiveRequest,
    limit: MeasurementLimit,
    on_progress: Progress = lambda _: None,
) -> Measurement:
    """Run the live pipeline on a source: a warm-up until memory is full, then what is asked for.

    Args:
        model: is not closed.
        source: what ``open_live`` gave; it is closed.
        request: what it was opened for.
        limit: of what is measured after the warm-up; it ends earlier where the source ends.
        on_progress: called now and then with the share of it that is done, in [0, 1].

    Raises:
        PromptError: if a prompt does not fit the first frame or the model.
        SourceError: if the source ends, or is lost, before anything is measured.
        EngineError: if the engine fails.
        SinkError: if there is no room for the recording.
    """
    controls = Controls()
    watch = _Watch(model, limit, controls, on_progress)
    painter = Painter()
    with ExitStack() as stack:
        until_run = stack.enter_context(ExitStack())
        until_run.callback(source.close)
        segmenter = Segmenter(model)
        if request.prompt is not None:
            request.prompt(segmenter, source.size)
        sinks: list[Sink] = [Screen(painter)]
        if request.record:
            folder = stack.enter_context(TemporaryDirectory(prefix="edge-vos-bench-"))
            path = Path(folder, "bench.mkv")
            sinks.append(Recording(path, source.fps, source.size, painter.paint))
        until_run.pop_all()  # from here on the run closes the source, in the thread that reads it
        options = RunOptions(live=True, prompt_from_truth=request.prompt is None)
        report = segment(source, segmenter, sinks, options, controls, on_timings=watch)
    return watch.finish(source, request, report)


class _Watch:
    """Leave the warm-up out, then take samples until they are enough."""

    def __init__(
        self,
        model: LoadedModel,
        limit: MeasurementLimit,
        controls: Controls,
        on_progress: Progress,
    ) -> None:
        self._manifest, self._limit = model.manifest, limit
        self._controls, self._on_progress = controls, on_progress
        self._collector: SampleCollector | None = None
        self._warmup, self._dropped = 0, 0
        self._start_s, self._first_infer_ms = 0.0, 0.0

    def __call__(self, timings_ms: Mapping[str, float]) -> None:
        now_s = time.perf_counter()
        if self._collector is not None:
            interval_ms = {"interval": (now_s - self._collector.last_s) * 1e3}
            if self._collector.add({**timings_ms, **interval_ms}, now_s):
                self._controls.stop.set()
            return
        if self._warmup == 0:
            self._start_s, self._first_infer_ms = now_s, timings_ms["infer"]
        self._warmup += 1
        if self._limit.is_warm(self._manifest, self._warmup, now_s - self._start_s):
            self._dropped = self._controls.stats.dropped
            self._collector = SampleCollector(self._limit, self._on_progress)

    def finish(self, source: Source, request: LiveRequest, report: RunReport) -> Measurement:
        """Return what was measured."""
        if self._collector is None or report.frames == self._warmup:
            if report.lost is not None:
                raise report.lost
            raise SourceError(
                f"{request.source} ended in the warm-up, after {report.frames} frames",
                "a source that goes on until memory is full, and longer",
                "Give a longer clip, or a camera",
            )
        live = LiveRun(
            source=request.source,
            source_fps=source.fps,
            recording=request.record,
            dropped=self._controls.stats.dropped - self._dropped,
            ended=report.ended,
        )
        return self._collector.finish(
            objects=len(report.object_ids),
            frame_size=source.size,
            first_infer_ms=self._first_infer_ms,
            warmup=self._warmup,
            live=live,
        )
