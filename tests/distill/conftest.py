"""Tiny footage and a tiny run to train on."""

import numpy as np
import pytest

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.footage import Footage, Still, Video


@pytest.fixture
def footage() -> Footage:
    """One video of a flat square that moves over noise, and one still of it."""
    rng = np.random.default_rng(0)
    frames, masks = [], []
    for index in range(8):
        frame = rng.integers(0, 256, (96, 144, 3), np.uint8)
        mask = np.zeros((96, 144), np.uint8)
        mask[30:66, 30 + 4 * index : 66 + 4 * index] = 1
        frame[mask > 0] = 40, 120, 230
        frames.append(frame)
        masks.append(mask)
    return Footage([Video("square", frames, masks)], [Still(frames[0], masks[0], (1,))])


@pytest.fixture
def config() -> TrainConfig:
    """Six steps on clips of 64x96, with a checkpoint after every second one."""
    clips = ClipConfig(size=(64, 96), clips=2, frames=3)
    return TrainConfig(preset="nano", clips=clips, steps=6, warmup=2, checkpoint_every=2)
