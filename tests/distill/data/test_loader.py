"""Loaders: the same batches from a thread and from processes, and no copy of the footage."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing

import cv2
import numpy as np
import psutil
import pytest

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data import loader
from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import Batch, make_batch
from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.data.loader import batches
from edge_vos.errors import DatasetError, EngineError, UsageError


def same(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("images", "prompt", "active", "ring", "labels")
    )


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_the_same_batches_from_any_number_of_workers(
    footage: Footage, config: TrainConfig, workers: int
) -> None:
    made = batches(footage, config.batch_clips, 3, start=5, stop=17, workers=workers)
    with closing(made):
        numbers = []
        for number, batch in enumerate(made, start=5):
            assert same(batch, make_batch(footage, config.clips, 3, number)), number
            numbers.append(number)
    assert numbers == list(range(5, 17))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_change_their_shape_by_schedule(footage: Footage, workers: int) -> None:
    config = TrainConfig(
        clips=ClipConfig(size=(64, 96), clips=2, frames=2), steps=4, schedule=((2, 5, 1),)
    )
    with closing(batches(footage, config.batch_clips, 0, 0, 4, workers)) as made:
        shapes = [batch.images.shape[:2] for batch in made]
    assert shapes == [(2, 2), (2, 2), (1, 5), (1, 5)]


@pytest.mark.parametrize("workers", [0, 2])
def test_hands_on_what_went_wrong(footage: Footage, config: TrainConfig, workers: int) -> None:
    def broken() -> Iterator[Batch]:
        def clips_at(step: int) -> ClipConfig:
            if (step == 2 and os.getpid() != parent) or (not workers and step == 2):
                raise DatasetError("frame 7 cannot be decoded", "an image file")
            return config.clips

        parent = os.getpid()
        return batches(footage, clips_at, 0, 0, 4, workers)

    made = broken()
    next(made)
    next(made)
    with pytest.raises(DatasetError, match="frame 7 cannot be decoded"):
        next(made)


def test_a_dead_process_is_an_error_and_not_a_wait(footage: Footage, config: TrainConfig) -> None:
    made = batches(footage, config.batch_clips, 0, 0, 100, workers=2)
    next(made)
    for child in psutil.Process().children():
        child.send_signal(signal.SIGKILL)
    with pytest.raises(EngineError, match="--workers"):
        list(made)


def test_processes_share_the_footage_and_end_with_the_loader() -> None:
    """240 MB of footage: a process that copied it would own as much."""
    frames = [np.full((1000, 1000, 3), level, np.uint8) for level in range(80)]
    masks = [np.ones((1000, 1000), np.uint8)] * len(frames)
    footage = Footage([Video("flat", frames, masks)], [Still(frames[0], masks[0], (1,))])
    config = ClipConfig(size=(64, 96), clips=2, frames=3)
    before = {child.pid for child in psutil.Process().children()}
    made = batches(footage, lambda _: config, 0, 0, 40, workers=2)
    for _ in range(20):
        next(made)
    children = [child for child in psutil.Process().children() if child.pid not in before]
    assert len(children) == 2
    if psutil.LINUX:
        owned = [child.memory_full_info().uss for child in children]
        assert max(owned) < 120e6, owned
    made.close()
    deadline = time.monotonic() + 10
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(child.is_running() for child in children)


class Parent:
    """Stand for the process that started this one, and live until it is told."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def join(self) -> None:
        assert self.ended.wait(30)


class OneProcess:
    """A pool whose worker is this process; it does each job when it is brought."""

    def __init__(
        self, workers: int, context: object, begin: Callable[..., None], given: tuple[object, ...]
    ) -> None:
        begin(*given)
        self.slots: list[int] = []

    def submit(self, do: Callable[..., None], slot: int, step: int) -> "Future[None]":
        self.slots.append(slot)
        future: Future[None] = Future()
        future.set_result(do(slot, step))
        return future

    def shutdown(self, cancel_futures: bool = False) -> None:
        assert len(self.slots) == 12
        assert set(self.slots) == {0, 1, 2}  # two ahead, and the one that is out


def test_a_worker_makes_batches_in_shared_memory_until_its_parent_ends(
    footage: Footage, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, left = Parent(), threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        assert parent.ended.is_set()
        codes.append(code)
        left.set()

    monkeypatch.setattr(loader, "ProcessPoolExecutor", OneProcess)
    monkeypatch.setattr(loader, "_job", [])
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(os, "_exit", leave)
    threads, on_interrupt = cv2.getNumThreads(), signal.getsignal(signal.SIGINT)
    try:
        with closing(batches(footage, config.batch_clips, 3, 5, 17, workers=1)) as made:
            for number, batch in enumerate(made, start=5):
                assert same(batch, make_batch(footage, config.clips, 3, number)), number
        assert number == 16
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert cv2.getNumThreads() == 1
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        cv2.setNumThreads(threads)
        parent.ended.set()
        assert left.wait(30)
    assert codes == [1]


def test_processes_are_refused_where_they_cannot_be_forked(
    footage: Footage, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(UsageError, match=r"--workers 2 on this system.*Leave --workers out"):
        batches(footage, config.batch_clips, 0, 0, 4, workers=2)
    with closing(batches(footage, config.batch_clips, 0, 0, 1, workers=0)) as made:
        assert same(next(made), make_batch(footage, config.clips, 0, 0))
