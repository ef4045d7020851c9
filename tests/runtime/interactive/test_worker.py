"""Jobs are done in order, offers give way, and a job that fails leaves nothing waiting."""

import threading

import pytest

from edge_vos.runtime.interactive.worker import Worker

WAIT_S = 30.0


class Gate:
    """Hold a worker up until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.open.wait(WAIT_S)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def _held(gate: Gate) -> Worker:
    """Return a worker that is busy until the gate opens."""
    worker = Worker()
    worker.put(gate)
    assert gate.reached.wait(WAIT_S)
    return worker


def test_jobs_are_done_in_order(gate: Gate) -> None:
    done: list[int] = []
    worker = _held(gate)
    for number in range(5):
        worker.put(lambda number=number: done.append(number))
    assert worker.is_busy
    assert not worker.settle(0.01)
    assert done == []
    gate.open.set()
    assert worker.settle(WAIT_S)
    assert done == [0, 1, 2, 3, 4]
    assert not worker.is_busy


def test_the_newest_offer_is_done_when_nothing_else_is_left(gate: Gate) -> None:
    done: list[str] = []
    worker = _held(gate)
    worker.put(lambda: done.append("job"))
    worker.offer(lambda: done.append("old preview"))
    worker.offer(lambda: done.append("preview"))
    gate.open.set()
    assert worker.settle(WAIT_S)
    assert done == ["job", "preview"]


def test_a_job_takes_the_place_of_what_was_offered(gate: Gate) -> None:
    done: list[str] = []
    worker = _held(gate)
    worker.offer(lambda: done.append("preview"))
    worker.put(lambda: done.append("job"))
    gate.open.set()
    assert worker.settle(WAIT_S)
    assert done == ["job"]


def test_an_offer_begins_at_once_where_nothing_is_done() -> None:
    done: list[str] = []
    worker = Worker()
    worker.offer(lambda: done.append("preview"))
    assert worker.settle(WAIT_S)
    assert done == ["preview"]


def test_a_job_that_fails_leaves_nothing_waiting_and_the_next_one_is_done(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(str(failed.exc_value)))
    done: list[str] = []
    worker = _held(gate)
    failing = threading.current_thread()

    def fail() -> None:
        nonlocal failing
        failing = threading.current_thread()
        raise RuntimeError("a broken model")

    worker.put(fail)
    worker.put(lambda: done.append("after it"))
    gate.open.set()
    assert worker.settle(WAIT_S)
    failing.join(WAIT_S)
    assert (told, done, worker.is_busy) == (["a broken model"], [], False)
    worker.put(lambda: done.append("later"))
    assert worker.settle(WAIT_S)
    assert done == ["later"]
