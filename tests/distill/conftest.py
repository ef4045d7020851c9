"""Tiny footage and a tiny run to train on; a DAVIS folder of moving squares to measure on."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data import ClipConfig, Footage, Still, Video
from edge_vos.runtime.masks import write_palette_png

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
MakeDavis = Callable[..., Path]


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


@pytest.fixture
def make_davis(tmp_path: Path, scene: Scene) -> MakeDavis:
    """Write sequences, each of so many frames with so many moving squares, in DAVIS layout."""

    def make(
        sequences: Mapping[str, int],
        *,
        objects: int = 1,
        frames: int = 5,
        resolution: str = "480p",
        val: str | None = None,
    ) -> Path:
        root = tmp_path / "DAVIS"
        for name, step_px in sequences.items():
            pictures = root / "JPEGImages" / resolution / name
            masks = root / "Annotations" / resolution / name
            pictures.mkdir(parents=True)
            masks.mkdir(parents=True)
            for index in range(frames):
                left = 8 + index * step_px
                frame, mask = scene(*[(left, 8 + 60 * i) for i in range(objects)], side=48)
                cv2.imwrite(
                    str(pictures / f"{index:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 98]
                )
                if objects == 1:
                    cv2.imwrite(str(masks / f"{index:05d}.png"), mask * 255)
                else:
                    write_palette_png(masks / f"{index:05d}.png", mask)
        if val is not None:
            listing = root / val
            listing.parent.mkdir(parents=True)
            listing.write_text("\n".join(sequences) + "\n")
        return root

    return make
