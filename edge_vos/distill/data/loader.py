"""Batches made ahead of training: in a thread, or in several processes that share the footage.

A process is a fork: it sees the footage of its parent, of which nothing is copied, and writes its
batches into memory that both share. Who makes a batch does not matter, see ``make_batch``.
"""

import mmap
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import Batch, make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.errors import EngineError, UsageError

AHEAD = 2
"""Batches that each process may be ahead."""

ClipsAt = Callable[[int], ClipConfig]
T = TypeVar("T")


@dataclass(frozen=True)
class _Job:
    """Hold what a worker needs; forked, not pickled."""

    footage: Footage
    clips_at: ClipsAt
    seed: int
    slots: list[mmap.mmap]


_job: list[_Job] = []  # of a worker process, set once when it starts


def batches(
    footage: Footage, clips_at: ClipsAt, seed: int, start: int, stop: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """Yield the batches ``start`` to ``stop - 1``, made ahead; the same from any number of workers.

    A batch is valid until the next one is asked for: its memory is used again.

    Args:
        footage: training material.
        clips_at: the shape of each batch by its number.
        seed: of the run.
        start: number of the first batch.
        stop: number after the last one.
        workers: processes; 0 makes them in a thread of this one.

    Raises:
        UsageError: if processes are asked for where they cannot share memory by forking.
        EngineError: if a process dies.
    """
    if not workers:
        return from_thread(
            lambda step: make_batch(footage, clips_at(step), seed, step), start, stop
        )
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UsageError(
            f"--workers {workers} on this system", "0: it cannot fork", "Leave --workers out"
        )
    return _from_processes(footage, clips_at, seed, start, stop, workers)


def from_thread(make: Callable[[int], T], start: int, stop: int) -> Generator[T, None, None]:
    """Yield what is made of each number from ``start`` to ``stop - 1``, ahead, in a thread."""
    made: queue.Queue[T | BaseException] = queue.Queue(3)
    stopped = threading.Event()

    def put(item: T | BaseException) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                made.put(item, timeout=0.5)
                break

    def work() -> None:
        try:
            for step in range(start, stop):
                if stopped.is_set():
                    return
                put(make(step))
        except Exception as error:
            put(error)

    thread = threading.Thread(target=work, name="clips", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item = made.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _from_processes(
    footage: Footage, clips_at: ClipsAt, seed: int, start: int, stop: int, workers: int
) -> Generator[Batch, None, None]:
    shapes = {clips_at(step) for step in range(start, stop)}
    size_bytes = max(map(_size_bytes, shapes), default=1)
    slots = [mmap.mmap(-1, size_bytes) for _ in range(AHEAD * workers + 1)]
    _ = footage.scenes  # made here once, not in every process
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("fork"),
        _begin_worker,
        (_Job(footage, clips_at, seed, slots),),
    )
    free = list(range(len(slots)))
    waiting: deque[tuple[int, int, Future[None]]] = deque()
    following = start
    try:
        for step in range(start, stop):
            while free and following < stop:
                slot = free.pop()
                waiting.append((following, slot, pool.submit(_make_in_worker, slot, following)))
                following += 1
            number, slot, future = waiting.popleft()
            try:
                future.result()
            except BrokenProcessPool as error:
                raise EngineError(
                    f"a process that makes clips died at batch {number}",
                    "memory for all of them",
                    "Resume with fewer --workers",
                ) from error
            yield _view(slots[slot], clips_at(step))
            free.append(slot)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(job: _Job) -> None:
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops, and then its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job.append(job)


def _end_with_parent() -> None:
    """Leave no process behind when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _make_in_worker(slot: int, step: int) -> None:
    job = _job[0]
    config = job.clips_at(step)
    made, place = make_batch(job.footage, config, job.seed, step), _view(job.slots[slot], config)
    for source, target in zip(_arrays(made), _arrays(place), strict=True):
        target[...] = source


def _shapes(config: ClipConfig) -> tuple[tuple[tuple[int, ...], type], ...]:
    clips, frames, (height, width) = config.clips, config.frames, config.size
    return (
        ((clips, config.objects + 1), np.float32),
        ((clips, frames), np.float32),
        ((clips, frames, height, width, 3), np.uint8),
        ((clips, height, width), np.uint8),
        ((clips, frames, height, width), np.uint8),
    )


def _size_bytes(config: ClipConfig) -> int:
    return sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in _shapes(config))


def _view(memory: mmap.mmap, config: ClipConfig) -> Batch:
    """Return a batch whose arrays lie in shared memory."""
    arrays: list[NDArray[Any]] = []
    offset = 0
    for shape, kind in _shapes(config):
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(memory, kind, count, offset).reshape(shape))
        offset += arrays[-1].nbytes
    active, ring, images, prompt, labels = arrays
    return Batch(images, prompt, active, ring, labels)


def _arrays(batch: Batch) -> tuple[NDArray[np.generic], ...]:
    labels = batch.prompt[:0] if batch.labels is None else batch.labels
    return batch.images, batch.prompt, batch.active, batch.ring, labels
