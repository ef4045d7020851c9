import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import EngineError, PromptError, SinkError, SourceLost, SourceTimeout
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.frame_queue import FrameQueue, QueueEnd
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.pipeline import RunOptions, segment
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.opening import open_sink
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame, RawFrame, Source
from edge_vos.runtime.sources.opening import open_source
from edge_vos.runtime.timing.stage_times import CAPACITY, StageTimes

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
        lost: SourceLost | None = None,
    ) -> Source:
        def raw_frames() -> Iterator[RawFrame]:
            for index in range(count):
                image, truth = scene((8 + index % 20, 8), size=SIZE, side=32)
                yield RawFrame(image, time.perf_counter(), truth)
            if lost is not None:
                raise lost

        return Source("test", raw_frames(), fps=fps, size=SIZE, frames=count, is_live=is_live)

    return make


def test_segment_takes_every_frame_in_order(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sinks = [Kept("a"), Kept("b")]
    seen: list[int] = []
    report = segment(
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


def test_times_are_handed_out_frame_by_frame(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    taken: list[tuple[int, dict[str, float]]] = []
    controls = Controls()
    report = segment(
        make_source(6),
        Segmenter(tiny_model),
        [Kept()],
        RunOptions(prompt_from_truth=True),
        controls,
        on_timings=lambda ms: taken.append((controls.stats.frames, dict(ms))),
    )
    assert [frames for frames, _ in taken] == [1, 2, 3, 4, 5, 6]
    assert {frozenset(ms) for _, ms in taken} == {frozenset(STAGES)}
    assert max(ms["end_to_end"] for _, ms in taken) == report.latency_ms["end_to_end"]["max"]


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
    report = segment(source, Segmenter(model), [sink], options)
    assert report.frames == 2
    assert report.dropped == 18
    assert sink.frames[-1].index == 19


def test_live_paces_a_source_that_is_no_camera(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink = Kept()
    options = RunOptions(live=True, prompt_from_truth=True)
    segment(make_source(6, fps=50.0), Segmenter(tiny_model), [sink], options)
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
        report = segment(make_source(10_000), Segmenter(tiny_model), [sink], options)
        assert (report.frames, report.ended, len(sink.frames), sink.closed) == (4, "frames", 4, 1)


def test_stop_ends_it_in_good_order(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink, controls = Kept(), Controls()

    def stop_at_seven(frame: Frame, result: FrameResult) -> None:
        if frame.index == 7:
            controls.stop.set()

    options = RunOptions(prompt_from_truth=True)
    report = segment(
        make_source(10_000), Segmenter(tiny_model), [sink], options, controls, stop_at_seven
    )
    assert (report.frames, report.ended, sink.closed) == (8, "stopped", 1)
    assert not [t for t in threading.enumerate() if t.name.startswith("edge-vos-")]


def test_a_lost_source_is_told_after_what_came_before(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    sink = Kept()
    options = RunOptions(prompt_from_truth=True)
    report = segment(
        make_source(5, lost=SourceLost("The camera went away")),
        Segmenter(tiny_model),
        [sink],
        options,
    )
    assert (report.frames, report.ended, len(sink.frames), sink.closed) == (5, "lost", 5, 1)
    assert isinstance(report.lost, SourceLost)


def test_a_source_that_gives_nothing_any_more_is_told_apart_from_a_lost_one(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    source = make_source(3, is_live=True, lost=SourceTimeout("The camera gives nothing"))
    report = segment(source, Segmenter(tiny_model), [], RunOptions(prompt_from_truth=True))
    assert (report.frames, report.ended) == (3, "timeout")
    assert isinstance(report.lost, SourceTimeout)


def test_what_shows_comes_first_and_its_latency_is_told(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    class Screen(Kept):
        shows = True

    order: list[str] = []
    file, screen = Kept("file"), Screen("screen")
    for sink in (file, screen):
        sink.write = lambda *_, name=sink.uri: order.append(name)  # type: ignore[method-assign]
    controls = Controls()
    report = segment(
        make_source(6),
        Segmenter(tiny_model),
        [file, screen],
        RunOptions(prompt_from_truth=True),
        controls,
    )
    assert order == ["screen", "file"] * 6
    assert set(report.latency_ms) == {*STAGES, "display"}
    for part in ("p50", "max"):
        assert report.latency_ms["display"][part] <= report.latency_ms["end_to_end"][part]
    assert (controls.stats.frames, controls.stats.dropped) == (6, 0)
    assert controls.stats.fps > 0
    assert {"capture", "infer", "draw"} <= set(controls.stats.stages_ms)


def test_a_jump_of_the_wall_clock_changes_nothing(
    tiny_model: LoadedModel, make_source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**9, 0, -(10**5)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    sink = Kept()
    report = segment(
        make_source(20, is_live=True), Segmenter(tiny_model), [sink],
        RunOptions(prompt_from_truth=True),
    )  # fmt: skip
    times = [frame.timestamp_s for frame in sink.frames]
    assert times == sorted(times)
    assert 0 <= times[-1] < 60
    assert report.frames == 20


def test_a_change_of_resolution_in_mid_stream_is_followed(
    tiny_model: LoadedModel, scene: Draw, tmp_path: Path
) -> None:
    """A phone that is turned: what is on screen changes its size, a recording keeps its own."""

    def raw_frames() -> Iterator[RawFrame]:
        for index in range(20):
            size = SIZE if index < 10 else SIZE[::-1]
            image, truth = scene((8, 8), size=size, side=32)
            yield RawFrame(image, time.perf_counter(), truth)

    source = Source("test", raw_frames(), fps=25.0, size=SIZE, frames=20)
    kept, recording = Kept(), open_sink(str(tmp_path / "a.mkv"), 25.0, SIZE)
    report = segment(
        source, Segmenter(tiny_model), [kept, recording], RunOptions(prompt_from_truth=True)
    )
    assert report.frames == 20
    assert [result.mask.shape for result in kept.results] == [SIZE] * 10 + [SIZE[::-1]] * 10
    assert not any(state.lost for result in kept.results for state in result.objects)
    with open_source(str(tmp_path / "a.mkv")) as recorded:
        assert [frame.image.shape[:2] for frame in recorded] == [SIZE] * 20


def test_an_engine_that_fails_closes_everything(
    tiny_model: LoadedModel, make_source: Callable[..., Source], tmp_path: Path
) -> None:
    calls: list[int] = []

    def fail(inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        calls.append(1)
        if len(calls) > 4:  # the first frame takes two
            raise EngineError("The engine is broken")
        return dict(tiny_model.runner.run(inputs))

    sink = Kept()
    model = replace(tiny_model, runner=CallableRunner(fail))
    sinks = [sink, open_sink(str(tmp_path / "a.mkv"), 25.0, SIZE)]
    with pytest.raises(EngineError, match="broken"):
        segment(make_source(50), Segmenter(model), sinks, RunOptions(prompt_from_truth=True))
    assert (len(sink.frames), sink.closed) == (3, 1)
    with open_source(str(tmp_path / "a.mkv")) as recorded:
        assert sum(1 for _ in recorded) == 3


def test_a_sink_that_fails_closes_the_others(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    class Full(Kept):
        def write(self, frame: Frame, result: FrameResult) -> None:
            raise SinkError("The disk is full")

    sinks = [Kept(), Full()]
    with pytest.raises(SinkError, match="full"):
        segment(make_source(50), Segmenter(tiny_model), sinks, RunOptions(prompt_from_truth=True))
    assert [sink.closed for sink in sinks] == [1, 1]


def test_without_a_prompt_it_refuses(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    with pytest.raises(PromptError):
        segment(make_source(5), Segmenter(tiny_model), [])


def test_an_interactive_run_waits_for_its_prompts(
    tiny_model: LoadedModel, make_source: Callable[..., Source]
) -> None:
    """Frames pass unsegmented, a refused prompt is told, a good one starts, a reset ends it."""
    sink, controls = Kept(), Controls()

    def act(frame: Frame, result: FrameResult) -> None:
        if frame.index == 3:
            controls.requests.put(lambda s, _: s.prompt_box((500, 500, 9, 9)))
        elif frame.index == 20:
            assert "box 500" in controls.message
            assert frame.truth is not None
            mask = frame.truth
            controls.requests.put(lambda s, _: s.prompt(mask))
        elif frame.index == 40:
            controls.requests.put(lambda s, _: s.prompt_box((1, 1, 9, 9), object_id=77))
        elif frame.index == 60:
            assert "77" in controls.message
            controls.requests.put(lambda s, _: s.reset())

    report = segment(
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
            controls.requests.put(lambda s, _: s.prompt(mask))
        else:
            controls.paused.clear()

    options = RunOptions(interactive=True, frames=5)
    segment(make_source(100), Segmenter(tiny_model), [sink], options, controls, act)
    assert [frame.index for frame in sink.frames[:2]] == [0, 0]
    assert [len(result.objects) for result in sink.results[:2]] == [0, 1]
    assert sink.frames[-1].index > 0


def test_a_channel_keeps_order_and_ends() -> None:
    queue: FrameQueue[int] = FrameQueue(3)
    for item in range(3):
        queue.put(item)
    queue.end(ValueError("why"))
    assert [queue.get(0), queue.get(0), queue.get(0)] == [0, 1, 2]
    with pytest.raises(ValueError, match="why"):
        queue.get(0)


def test_a_channel_for_the_newest_counts_what_it_forgot() -> None:
    queue: FrameQueue[int] = FrameQueue(1, newest_only=True)
    for item in range(5):
        queue.put(item)
    assert (queue.get(0), queue.dropped) == (4, 4)
    assert queue.get(0.01) is None
    queue.end()
    with pytest.raises(QueueEnd):
        queue.get(0)


def test_a_cancelled_channel_lets_its_sender_go() -> None:
    queue: FrameQueue[int] = FrameQueue(1)
    queue.put(1)
    sender = threading.Thread(target=queue.put, args=(2,))
    sender.start()
    queue.cancel()
    sender.join(10)
    assert not sender.is_alive()
    with pytest.raises(QueueEnd):
        queue.get(0)


def test_stage_times_are_constant_in_memory_and_fair() -> None:
    times = StageTimes()
    count = 5 * CAPACITY
    for value in range(count):
        times.add({"infer": float(value)})
    summary = times.summary()["infer"]
    assert summary["max"] == count - 1
    assert summary["p50"] == pytest.approx(count / 2, rel=0.1)
    assert len(times._kept["infer"]) == CAPACITY
