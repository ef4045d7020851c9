"""Run a source through a segmenter into sinks: capture, inference and output overlap in threads.

``segment`` waits for every frame. ``live`` takes the newest one and counts those that it left out;
there, a file or a synthetic scene plays the camera and gives its frames at its own rate. Only a
handful of frames is on its way at a time, so memory does not grow with the length of the run.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from edge_vos.errors import PromptError, SourceLost, SourceTimeout
from edge_vos.runtime.backends.loaded_pages import release_loaded_pages
from edge_vos.runtime.frame_queue import FrameQueue, QueueEnd
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.prompts.prompt_file import PromptsByFrame
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame, Source
from edge_vos.runtime.timing.stage_times import LiveStatsTracker, StageTimes

Ending = Literal["end", "frames", "stopped", "lost", "timeout"]
Observer = Callable[[Frame, FrameResult], None]
TimingObserver = Callable[[Mapping[str, float]], None]

_POLL_S = 0.02  # how often a waiting thread looks whether it shall stop
_JOIN_S = 2.0  # a camera's read cannot be interrupted: after this its thread is left behind


@dataclass(frozen=True)
class RunOptions:
    """Say how to run.

    Args:
        live: take the newest frame, not every frame.
        frames: stop after so many processed frames; ``None`` is to the end.
        prompt_from_truth: prompt with the exact mask of the first frame, where the source has one.
        interactive: prompts may come while it runs; frames before the first one pass unsegmented,
            and a prompt that is refused is told to the user.
        prompts: for frames after the first one, by the frame's ``index``. Frames before the first
            prompt pass unsegmented; prompts that are refused are in the report, and it goes on.
        give_back: before the first two frames, give library pages back that only starting used;
            in a process with large libraries it takes as long as some frames.
    """

    live: bool = False
    frames: int | None = None
    prompt_from_truth: bool = False
    interactive: bool = False
    prompts: PromptsByFrame = field(default_factory=dict)
    give_back: bool = False


@dataclass(frozen=True)
class RunReport:
    """Say what a run did.

    Args:
        frames: frames processed and handed to every sink.
        dropped: frames that came and were left out, because newer ones came.
        fps: processed frames a second at the wall clock, from the first frame to the last output.
        latency_ms: p50, p90, p99 and max in milliseconds of ``capture``, ``pre``, ``infer``,
            ``post``, ``memory``, ``draw`` (all sinks), ``display`` (from capture to the last sink
            that shows) and ``end_to_end`` (from capture to the last sink).
        object_ids: every object that was followed, by its number, ascending.
        ended: at the source's ``end``, after the asked-for number of ``frames``, ``stopped`` by
            the user, because the source was ``lost``, or because it gave nothing for too long:
            ``timeout``.
        lost: what happened to the source in the last two cases.
        refused: why prompts for frames after the first one were refused.
    """

    frames: int
    dropped: int
    fps: float
    latency_ms: dict[str, dict[str, float]]
    object_ids: tuple[int, ...]
    ended: Ending
    lost: SourceLost | None = None
    refused: tuple[str, ...] = ()


def segment(
    source: Source,
    segmenter: Segmenter,
    sinks: Sequence[Sink],
    options: RunOptions | None = None,
    controls: Controls | None = None,
    observe: Observer | None = None,
    on_timings: TimingObserver | None = None,
) -> RunReport:
    """Run to the end of the source, the asked-for number of frames, or until it is told to stop.

    The source and the sinks are closed when it returns or raises. A source that is lost midway is
    told in the report, so that what came before it is not.

    Args:
        source: gives the frames; it was not iterated before.
        segmenter: with its prompts, if they are known beforehand. It belongs to another thread
            until this returns.
        sinks: take the results, in this thread; those that show take them first.
        options: how to run.
        controls: to stop, pause or prompt from elsewhere.
        observe: is called in this thread after the sinks took a frame.
        on_timings: likewise, with the frame's milliseconds by stage, as ``RunReport.latency_ms``
            has them; ``controls.stats`` is up to date by then.

    Raises:
        PromptError: if there is nothing to follow, or a prompt does not fit the first frame.
        EngineError: if the engine fails.
        SinkError: if an output cannot be written or completed.
    """
    options = options if options is not None else RunOptions()
    controls = controls if controls is not None else Controls()
    controls.finder = segmenter.finder
    captured: FrameQueue[Frame] = FrameQueue(1, newest_only=options.live)
    stepped: FrameQueue[tuple[Frame, FrameResult]] = FrameQueue(1)

    def capture() -> None:
        _capture(source, options.live, captured)

    def infer() -> None:
        _infer(segmenter, options, controls, captured, stepped)

    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
        stack.enter_context(
            _thread(capture, gives=captured, join_s=_JOIN_S, interrupt=source.interrupt)
        )
        stack.enter_context(_thread(infer, takes=captured, gives=stepped))
        return _deliver(stepped, captured, sinks, options, controls, observe, on_timings)


@contextmanager
def _thread(
    work: Callable[[], None],
    *,
    gives: FrameQueue[Any],
    takes: FrameQueue[Any] | None = None,
    join_s: float | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Run work in a thread that ends its queue with what it raises, and stops with the block."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            gives.end(error)
        else:
            gives.end()

    thread = threading.Thread(target=guarded, name=f"edge-vos-{work.__name__}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for queue in (gives, takes):
            if queue is not None:
                queue.cancel()
        if interrupt is not None:
            interrupt()
        thread.join(join_s)


def _capture(source: Source, live: bool, captured: FrameQueue[Frame]) -> None:
    """Give frames as they come, or at the source's rate where it plays the camera."""
    period_s = 1 / source.fps if live and not source.is_live else 0.0
    due_s = time.perf_counter()
    # Closed by the thread that reads it: releasing a camera under a read would crash.
    with source:
        frames = iter(source)
        while not captured.cancelled:
            if period_s:
                late_s = time.perf_counter() - due_s
                if late_s < 0:
                    time.sleep(min(-late_s, _POLL_S))
                    continue
                # After a stall go on from now, without a burst.
                due_s += period_s if late_s < period_s else late_s
            frame = next(frames, None)
            if frame is None:
                return
            captured.put(frame)


def _infer(
    segmenter: Segmenter,
    options: RunOptions,
    controls: Controls,
    captured: FrameQueue[Frame],
    stepped: FrameQueue[tuple[Frame, FrameResult]],
) -> None:
    """Step through frames; while paused, again through the same one for each new prompt."""
    count = 0
    frame: Frame | None = None
    while not stepped.cancelled and count != options.frames:
        stays = controls.paused.is_set()
        asked = _apply(segmenter, frame if stays else None, options, controls)
        if frame is not None and stays:
            if not asked:
                time.sleep(_POLL_S)
                continue
            frame = replace(frame, captured_s=time.perf_counter())
        else:
            try:
                new = captured.get(_POLL_S)
            except QueueEnd:
                return
            if new is None:
                continue
            frame = new
            if count == 0 and options.prompt_from_truth and frame.truth is not None:
                segmenter.prompt(frame.truth)
            _prompt(frame, segmenter, options, controls)
        if options.give_back and count < 2:
            release_loaded_pages()  # what opening the source used, and what the first step did
        stepped.put((frame, _step(frame, segmenter, options, controls)))
        count += 1


def _apply(
    segmenter: Segmenter, frame: Frame | None, options: RunOptions, controls: Controls
) -> bool:
    try:
        return controls.apply(segmenter, frame)
    except PromptError as error:
        if not options.interactive:
            raise
        controls.say(str(error))
        return False


def _prompt(frame: Frame, segmenter: Segmenter, options: RunOptions, controls: Controls) -> None:
    """Give the prompts that were written for a frame."""
    for prompt in options.prompts.get(frame.index, ()):
        try:
            segmenter.prompt(prompt)
        except PromptError as error:
            controls.refuse(f"Frame {frame.index}: {error}")


def _step(
    frame: Frame, segmenter: Segmenter, options: RunOptions, controls: Controls
) -> FrameResult:
    is_written = frame.index in options.prompts
    if (options.interactive or is_written) and segmenter.object_ids:
        try:
            return segmenter.step(frame.image)
        except PromptError as error:  # it took the prompt with it; the others go on
            if is_written:
                controls.refuse(f"Frame {frame.index}: {error}")
            else:
                controls.say(str(error))
    if (options.interactive or options.prompts) and not segmenter.object_ids:
        return _unsegmented(frame, segmenter)
    return segmenter.step(frame.image)


def _unsegmented(frame: Frame, segmenter: Segmenter) -> FrameResult:
    """Make the result of a frame in which nobody has shown an object yet."""
    probability = np.zeros(segmenter.graph.shape("probability")[1:], np.float32)
    probability[0] = 1.0
    return FrameResult(np.zeros(frame.image.shape[:2], np.uint8), probability, (), {}, 0)


def _deliver(
    stepped: FrameQueue[tuple[Frame, FrameResult]],
    captured: FrameQueue[Frame],
    sinks: Sequence[Sink],
    options: RunOptions,
    controls: Controls,
    observe: Observer | None,
    on_timings: TimingObserver | None,
) -> RunReport:
    """Hand results to the sinks and measure, until there are no more or somebody stops it."""
    times, tracker = StageTimes(), LiveStatsTracker()
    screens = [sink for sink in sinks if sink.shows]
    files = [sink for sink in sinks if not sink.shows]
    object_ids: set[int] = set()
    frames, first_s, last_s = 0, 0.0, 0.0
    ended: Ending = "stopped"
    lost: SourceLost | None = None
    while not controls.stop.is_set():
        try:
            item = stepped.get(_POLL_S)
        except QueueEnd:
            ended = "frames" if frames == options.frames else "end"
            break
        except SourceLost as error:
            ended, lost = "timeout" if isinstance(error, SourceTimeout) else "lost", error
            break
        if item is None:
            for sink in sinks:
                sink.pump()
            continue
        frame, result = item
        start_s = time.perf_counter()
        for sink in screens:
            sink.write(frame, result)
        shown_s = time.perf_counter()
        for sink in files:
            sink.write(frame, result)
        last_s = time.perf_counter()
        first_s = first_s if frames else frame.captured_s
        frames += 1
        object_ids.update(state.number for state in result.objects)
        timings_ms = {
            "capture": frame.capture_ms,
            **result.timings_ms,
            "draw": (last_s - start_s) * 1e3,
            **({"display": (shown_s - frame.captured_s) * 1e3} if screens else {}),
            "end_to_end": (last_s - frame.captured_s) * 1e3,
        }
        times.add(timings_ms)
        tracker.add(last_s, timings_ms)
        controls.stats = tracker.stats(frames, captured.dropped)
        if observe is not None:
            observe(frame, result)
        if on_timings is not None:
            on_timings(timings_ms)
    return RunReport(
        frames=frames,
        dropped=captured.dropped,
        fps=frames / (last_s - first_s) if frames else 0.0,
        latency_ms=times.summary(),
        object_ids=tuple(sorted(object_ids)),
        ended=ended,
        lost=lost,
        refused=tuple(controls.refused),
    )
