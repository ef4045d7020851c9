from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime import live_size
from edge_vos.runtime.backends.runner import Tensors
from edge_vos.runtime.live_size import largest_that_keeps_up
from edge_vos.runtime.model import LoadedModel


class Clock:
    """Tell a time that only a call of a model moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class SlowRunner:
    def __init__(self, clock: Clock, call_ms: float) -> None:
        self.clock, self.call_ms = clock, call_ms
        self.calls: list[dict[str, NDArray[np.float32]]] = []
        self.closed = False

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        assert not self.closed
        self.calls.append({name: array.copy() for name, array in inputs.items()})
        self.clock.now_s += self.call_ms / 1e3
        return {}

    def close(self) -> None:
        self.closed = True


Choose = Callable[[dict[str, float], float], tuple[str, str, dict[str, SlowRunner]]]


@pytest.fixture
def choose(load_tiny: Callable[..., LoadedModel], monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Choose among models of so many milliseconds a call for a camera of so many frames/s."""
    clock = Clock()
    monkeypatch.setattr(live_size.time, "perf_counter", clock)

    def run(call_ms: dict[str, float], fps: float) -> tuple[str, str, dict[str, SlowRunner]]:
        runners: dict[str, SlowRunner] = {}

        def open_model(name: str) -> LoadedModel:
            runners[name] = SlowRunner(clock, call_ms[name])
            return replace(load_tiny(), runner=runners[name])

        model, name, reason = largest_that_keeps_up(list(call_ms), open_model, fps)
        assert model.runner is runners[name]
        return name, reason, runners

    return run


def test_the_largest_is_taken_where_it_keeps_up(choose: Choose) -> None:
    name, reason, runners = choose({"quality": 26, "fast": 10}, 30)
    assert (name, reason) == ("quality", "it takes 26 ms of the 33 ms between two frames")
    assert list(runners) == ["quality"]
    assert not runners["quality"].closed


def test_a_smaller_one_is_taken_where_it_does_not(choose: Choose) -> None:
    name, reason, runners = choose({"quality": 28, "fast": 10}, 30)
    assert name == "fast"
    assert reason.endswith("of the 33 ms between two frames; quality takes 28 ms")
    assert [runners[n].closed for n in ("quality", "fast")] == [True, False]


def test_the_smallest_is_taken_where_none_keeps_up(choose: Choose) -> None:
    name, _, runners = choose({"quality": 900, "fast": 300}, 60)
    assert name == "fast"
    assert not runners["fast"].closed
    assert len(runners["quality"].calls) == 3  # two that are not counted, and one


def test_a_camera_of_unknown_rate_counts_as_30_frames_a_second(choose: Choose) -> None:
    assert choose({"quality": 26, "fast": 10}, 0.0)[0] == "quality"


def test_calls_have_every_slot_and_one_object_in_use(choose: Choose) -> None:
    call = choose({"quality": 1}, 30)[2]["quality"].calls[-1]
    assert call["memory_valid"].all()
    assert call["active"].ravel().tolist() == [1, 1] + [0] * (call["active"].size - 2)
