"""Loaders: the same batches from a thread and from processes, and no copy of the footage."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psutil
import pytest

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import Batch, make_batch
from edge_vos.distill.data.footage import Footage, Still, Video
from edge_vos.distill.data.loader import batches
from edge_vos.errors import DatasetError, EngineError


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
