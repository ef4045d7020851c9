"""What one frame costs in the steady loop: engine calls, copies, and memory that is asked for."""

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.backends.runner import CallableRunner, Runner, Tensors
from edge_vos.runtime.memory import PREVIOUS
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.pipeline import RunOptions, segment
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame, RawFrame, Source

Draw = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
SIZE = (480, 640)
FRAME_BYTES = SIZE[0] * SIZE[1] * 3
BIG_BYTES = 64 << 10
# The network's image before it is a tensor; the mask, the best probability, the object's in its
# window and a comparison there; where it is background, in the image and in the frame; and the
# object's pixels of the mask. The guided filter works in the object's window, on less than that.
STEP_ASKS = {
    "Letterbox._shrink": 1,
    "Letterbox.to_window": 2,
    "label_frame": 3,
    "Letterbox.enlarge": 1,
    "_foreground": 1,
    "_state": 1,
    "View.placed": 1,
}


class Engine:
    """Answer as the tiny student did in the first frame, from arrays that are there.

    That frame takes two calls, from afar and from close. What it gets is written down.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._answer: dict[str, NDArray[np.float32]] = {}
        self.calls = 0
        self.inputs: set[tuple[int, ...]] = set()

    def __call__(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        self.calls += 1
        self.inputs.add(tuple(array.ctypes.data for array in inputs.values()))
        if self.calls <= 2:
            self._answer = dict(self._model.runner.run(inputs))
        return self._answer


class Meter(Sink):
    """Paint as a window does, and keep the addresses of what it is given."""

    def __init__(self) -> None:
        self.uri = "meter"
        self.painter = Painter()
        self.frames: list[int] = []
        self.pictures: set[int] = set()

    def write(self, frame: Frame, result: FrameResult) -> None:
        self.frames.append(frame.image.ctypes.data)
        self.pictures.add(self.painter.paint(frame, result).ctypes.data)

    def close(self) -> None:
        pass


@pytest.fixture
def images(scene: Draw) -> list[NDArray[np.uint8]]:
    """Frames that are there before the loop begins, as in a camera's buffers."""
    return [scene((64 + 4 * i, 64), size=SIZE, side=256)[0] for i in range(4)]


@pytest.fixture
def truth(scene: Draw) -> NDArray[np.uint8]:
    return scene((64, 64), size=SIZE, side=256)[1]


def test_a_frame_is_one_engine_call_no_copy_and_one_picture(
    tiny_model: LoadedModel, images: list[NDArray[np.uint8]], truth: NDArray[np.uint8]
) -> None:
    """The arrays that the source gave reach the sinks; buffers are made once and written again."""

    def raw_frames() -> Iterator[RawFrame]:
        for index in range(40):
            yield RawFrame(images[index % 4], 0.0, truth)

    engine, meter = Engine(tiny_model), Meter()
    segmenter = Segmenter(replace(tiny_model, runner=CallableRunner(engine)))
    source = Source("test", raw_frames(), fps=1000.0, size=SIZE, frames=40)
    report = segment(source, segmenter, [meter], RunOptions(prompt_from_truth=True))
    assert report.frames == engine.calls - 1 == 40
    assert meter.frames == [images[index % 4].ctypes.data for index in range(40)]
    assert len(engine.inputs) == 1
    assert len(meter.pictures) == 1


def test_a_frame_asks_for_little_memory_and_keeps_none(
    tiny_model: LoadedModel, images: list[NDArray[np.uint8]], truth: NDArray[np.uint8]
) -> None:
    """Beside its mask a step may hold one probability and what one object needs."""
    segmenter = Segmenter(replace(tiny_model, runner=CallableRunner(Engine(tiny_model))))
    segmenter.prompt(truth)
    painter = Painter()
    stepped, drawn, kept = [], [], []
    tracemalloc.start()
    try:
        for index in range(30):
            frame = Frame(images[index % 4], index, 0.0, 0.0, 0.0)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            result = segmenter.step(frame.image)
            after, peak = tracemalloc.get_traced_memory()
            stepped.append(peak - before)
            tracemalloc.reset_peak()
            painter.paint(frame, result)
            _, peak = tracemalloc.get_traced_memory()
            drawn.append(peak - after)
            del result
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    steady = slice(10, None)
    assert max(stepped[steady]) < 3.5 * FRAME_BYTES
    # A tint, a solid colour and the object in its box, never a second picture of the frame.
    box_bytes = 256 * 256 * 3
    assert max(drawn[steady]) < 2 * box_bytes + box_bytes / 3 + BIG_BYTES < FRAME_BYTES
    assert max(kept[steady]) - min(kept[steady]) < BIG_BYTES


class Asked:
    """Count, by function, the lines of a call that ask for more than 64 KiB, kept or not.

    tracemalloc knows what Python, numpy and OpenCV ask for; an engine's own memory is not in it.
    """

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self._before = 0

    def measure(self, call: Callable[[], FrameResult]) -> FrameResult:
        tracemalloc.start()
        previous = sys.gettrace()
        try:
            self._start()
            sys.settrace(self._trace)
            return call()
        finally:
            sys.settrace(previous)
            tracemalloc.stop()

    def _trace(self, code: FrameType, event: str, _: object) -> Callable[..., Any]:
        ended = code.f_back if event == "call" else code  # whose line it is that ends here
        if ended is not None and tracemalloc.get_traced_memory()[1] - self._before > BIG_BYTES:
            self.lines[ended.f_code.co_qualname] += 1
        self._start()
        return self._trace

    def _start(self) -> None:
        tracemalloc.reset_peak()
        self._before, _ = tracemalloc.get_traced_memory()


class Counted:
    """Run an engine; keep what it returned and the addresses that it was given."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self.answers: list[dict[str, NDArray[np.float32]]] = []
        self.inputs: set[tuple[int, ...]] = set()

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        self.inputs.add(tuple(array.ctypes.data for array in inputs.values()))
        self.answers.append(self.inner.run(inputs))
        return self.answers[-1]

    def close(self) -> None:
        self.inner.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="names lines by co_qualname")
@pytest.mark.parametrize("kind", ["fake", "onnx"])
def test_what_a_steady_step_asks_for_is_counted(
    kind: str,
    tiny_model: LoadedModel,
    request: pytest.FixtureRequest,
    images: list[NDArray[np.uint8]],
    truth: NDArray[np.uint8],
) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        model = open_bundle(request.getfixturevalue("tiny_bundle").path, threads=1)
    else:
        model = replace(tiny_model, runner=CallableRunner(Engine(tiny_model)))
    engine = Counted(model.runner)
    segmenter = Segmenter(replace(model, runner=engine))
    segmenter.prompt(truth)
    for index in range(11):
        segmenter.step(images[index % 4])
    calls, slots = len(engine.answers), segmenter.memory.slots
    asked = Asked()
    result = asked.measure(lambda: segmenter.step(images[3]))
    assert len(engine.answers) - calls == 1
    assert len(engine.inputs) == 1  # no input is copied or made anew
    assert np.shares_memory(result.probability, engine.answers[-1]["probability"])  # nor an output
    written = [slot for slot, index in segmenter.memory.slots.items() if slots.get(slot) != index]
    assert written == [PREVIOUS]  # one copy of key and value
    assert asked.lines == STEP_ASKS
