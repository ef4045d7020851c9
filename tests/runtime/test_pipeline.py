import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import EngineError, PromptError, SinkError, SourceLost
from edge_vos.runtime.channel import Channel, ChannelEnd
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.frame import Frame, Shot, Source
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.output import Sink
from edge_vos.runtime.pipeline import RunOptions, run
from edge_vos.runtime.runner import CallableRunner
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.stage_times import CAPACITY, StageTimes

STAGES = {"capture", "pre", "infer", "post", "memory", "draw", "end_to_end"}
SIZE = (64, 96)
Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class Kept(Sink):
    """Keep what comes."""

    def __init__(self, uri: str = "kept") -> None:
        self.uri = uri
        self.frames: list[Frame] = []
        self.results: list[FrameResult] = []
        self.closed = 0

    def write(self, frame: Frame, result: FrameResult) -> None:
        self.frames.append(frame)
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def make_source(scene: Draw) -> Callable[..., Source]:
    def make(
        count: int,
        *,
        fps: float = 1000.0,
        is_live: bool = False,
        lost: bool = False,
        hang: bool = False,
    ) -> Source:
        def shots() -> Iterator[Shot]:
            for index in range(count):
                image, truth = scene((8 + index % 20, 8), size=SIZE, side=32)
                yield Shot(image, time.perf_counter(), truth)
            if lost:
                raise SourceLost("The camera went away")
            if hang:
                time.sleep(1.0)

        return Source("test", shots(), fps=fps, size=SIZE, frames=count, is_live=is_live)

    return make


def test_segment_takes_every_frame_in_order(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sinks = [Kept("a"), Kept("b")]
    seen: list[int] = []
    report = run(
        make_source(30),
        Segmenter(tiny_model),
        sinks,
        RunOptions(prompt_from_truth=True),
        observe=lambda frame, result: seen.append(frame.index),
    )
    assert (report.frames, report.dropped, report.ended, report.lost) == (30, 0, "end", None)
    assert report.object_ids == (1,)
    assert report.fps > 0
    assert set(report.latency_ms) == STAGES
    assert all(set(values) == {"p50", "p90", "p99", "max"} for values in report.latency_ms.values())
    assert seen == list(range(30))
    for sink in sinks:
        assert [frame.index for frame in sink.frames] == seen
        assert sink.closed == 1
    found = [
        np.mean((result.mask == 1) == (frame.truth == 1))
        for frame, result in zip(sinks[0].frames, sinks[0].results, strict=True)
    ]
    assert min(found) > 0.95


def test_live_takes_the_newest_frame_and_counts_the_others(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    """The first step waits until the source has come to its end: only the newest frame is left."""
    source = make_source(20)
    at_end = threading.Event()

    def step(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        assert at_end.wait(20)
        return dict(tiny_model.runner.run(inputs))

    source.close = at_end.set  # type: ignore[method-assign]
    model = replace(tiny_model, runner=CallableRunner(step))
    sink = Kept()
    options = RunOptions(live=True, prompt_from_truth=True)
    report = run(source, Segmenter(model), [sink], options)
    assert report.frames == 2
    assert report.dropped == 18
    assert sink.frames[-1].index == 19


def test_live_paces_a_source_that_is_no_camera(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink = Kept()
    options = RunOptions(live=True, prompt_from_truth=True)
    run(make_source(6, fps=50.0), Segmenter(tiny_model), [sink], options)
    moments = {frame.index: frame.captured_s for frame in sink.frames}
    assert (
        moments[max(moments)] - moments[min(moments)] >= 0.02 * (max(moments) - min(moments)) - 0.02
    )


def test_it_ends_after_the_asked_for_frames(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    for live in (False, True):
        sink = Kept()
        options = RunOptions(live=live, frames=4, prompt_from_truth=True)
        report = run(make_source(10_000), Segmenter(tiny_model), [sink], options)
        assert (report.frames, report.ended, len(sink.frames), sink.closed) == (4, "frames", 4, 1)


def test_stop_ends_it_in_good_order(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink, controls = Kept(), Controls()

    def stop_at_seven(frame: Frame, result: FrameResult) -> None:
        if frame.index == 7:
            controls.stop.set()

    options = RunOptions(prompt_from_truth=True)
    report = run(
        make_source(10_000), Segmenter(tiny_model), [sink], options, controls, stop_at_seven
    )
    assert (report.frames, report.ended, sink.closed) == (8, "stopped", 1)
    assert not [t for t in threading.enumerate() if t.name.startswith("edge-vos-")]


def test_a_lost_source_is_told_after_what_came_before(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink = Kept()
    options = RunOptions(prompt_from_truth=True)
    report = run(make_source(5, lost=True), Segmenter(tiny_model), [sink], options)
    assert (report.frames, report.ended, len(sink.frames), sink.closed) == (5, "lost", 5, 1)
    assert isinstance(report.lost, SourceLost)


def test_a_camera_that_gives_nothing_any_more_is_lost(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    options = RunOptions(prompt_from_truth=True, stall_s=0.1)
    source = make_source(3, is_live=True, hang=True)
    report = run(source, Segmenter(tiny_model), [], options)
    assert (report.frames, report.ended) == (3, "lost")
    assert "gave no frame for" in str(report.lost)


def test_an_engine_that_fails_closes_everything(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    calls: list[int] = []

    def fail(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        calls.append(1)
        if len(calls) > 3:
            raise EngineError("The engine is broken")
        return dict(tiny_model.runner.run(inputs))

    sink = Kept()
    model = replace(tiny_model, runner=CallableRunner(fail))
    with pytest.raises(EngineError, match="broken"):
        run(make_source(50), Segmenter(model), [sink], RunOptions(prompt_from_truth=True))
    assert (len(sink.frames), sink.closed) == (3, 1)


def test_a_sink_that_fails_closes_the_others(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    class Full(Kept):
        def write(self, frame: Frame, result: FrameResult) -> None:
            raise SinkError("The disk is full")

    sinks = [Kept(), Full()]
    with pytest.raises(SinkError, match="full"):
        run(make_source(50), Segmenter(tiny_model), sinks, RunOptions(prompt_from_truth=True))
    assert [sink.closed for sink in sinks] == [1, 1]


def test_without_a_prompt_it_refuses(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    with pytest.raises(PromptError):
        run(make_source(5), Segmenter(tiny_model), [])


def test_an_interactive_run_waits_for_its_prompts(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    """Frames pass unsegmented, a refused prompt is told, a good one starts, a reset ends it."""
    sink, controls = Kept(), Controls()

    def act(frame: Frame, result: FrameResult) -> None:
        if frame.index == 3:
            controls.requests.put(lambda s: s.prompt_box((500, 500, 9, 9)))
        elif frame.index == 20:
            assert "box 500" in controls.message
            assert frame.truth is not None
            mask = frame.truth
            controls.requests.put(lambda s: s.prompt(mask))
        elif frame.index == 40:
            controls.requests.put(lambda s: s.prompt_box((1, 1, 9, 9), object_id=77))
        elif frame.index == 60:
            assert "77" in controls.message
            controls.requests.put(Segmenter.reset)

    report = run(
        make_source(90), Segmenter(tiny_model), [sink], RunOptions(interactive=True), controls, act
    )
    assert report.frames == 90
    counts = [len(result.objects) for result in sink.results]
    assert (counts[:20], counts[30:60], counts[70:]) == ([0] * 20, [1] * 30, [0] * 20)
    assert not sink.results[0].mask.any()


def test_a_paused_run_stays_at_its_frame_and_answers_prompts(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink, controls = Kept(), Controls()
    controls.paused.set()

    def act(frame: Frame, result: FrameResult) -> None:
        assert frame.truth is not None
        mask = frame.truth
        if len(sink.frames) == 1:
            controls.requests.put(lambda s: s.prompt(mask))
        else:
            controls.paused.clear()

    options = RunOptions(interactive=True, frames=5)
    run(make_source(100), Segmenter(tiny_model), [sink], options, controls, act)
    assert [frame.index for frame in sink.frames[:2]] == [0, 0]
    assert [len(result.objects) for result in sink.results[:2]] == [0, 1]
    assert sink.frames[-1].index > 0


def test_a_channel_keeps_order_and_ends() -> None:
    channel: Channel[int] = Channel(3)
    for item in range(3):
        channel.put(item)
    channel.end(ValueError("why"))
    assert [channel.get(0), channel.get(0), channel.get(0)] == [0, 1, 2]
    with pytest.raises(ValueError, match="why"):
        channel.get(0)


def test_a_channel_for_the_newest_counts_what_it_forgot() -> None:
    channel: Channel[int] = Channel(1, newest_only=True)
    for item in range(5):
        channel.put(item)
    assert (channel.get(0), channel.dropped) == (4, 4)
    assert channel.get(0.01) is None
    channel.end()
    with pytest.raises(ChannelEnd):
        channel.get(0)


def test_a_cancelled_channel_lets_its_sender_go() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    sender = threading.Thread(target=channel.put, args=(2,))
    sender.start()
    channel.cancel()
    sender.join(10)
    assert not sender.is_alive()
    with pytest.raises(ChannelEnd):
        channel.get(0)


def test_stage_times_are_constant_in_memory_and_fair() -> None:
    times = StageTimes()
    count = 5 * CAPACITY
    for value in range(count):
        times.add({"infer": float(value)})
    summary = times.summary()["infer"]
    assert summary["max"] == count - 1
    assert summary["p50"] == pytest.approx(count / 2, rel=0.1)
    assert len(times._kept["infer"]) == CAPACITY
