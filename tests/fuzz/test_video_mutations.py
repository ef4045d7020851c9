"""Videos and animations that were changed anywhere: frames, or a named error; no crash, no hang.

Some 5,000 changes, the same ones every time.
"""

import random
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.opening import open_source
from tests.runtime.videos import write_video

VIDEOS, ANIMATIONS = 2400, 2400
LONGEST_S = 10.0  # for one file; it takes some milliseconds
MOST_GROWTH_BYTES = 1 << 30
_MOST_FRAMES, _MOST_BYTES = 60, 1 << 28


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, most of them in the head, cut, double or leave out a part."""
    changed = bytearray(data)
    action = rng.randrange(8)
    reach = len(changed) if rng.random() < 0.5 else min(400, len(changed))
    if action < 5:
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(reach)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif action == 5:
        del changed[rng.randrange(len(changed)) :]
    else:
        start = rng.randrange(len(changed))
        part = changed[start : start + rng.randrange(1, 200)]
        if action == 6:
            changed[start:start] = part
        else:
            del changed[start : start + len(part)]
    return bytes(changed)


def _read(path: Path) -> tuple[bool, int]:
    """Read a file as a run does; return whether it was refused, and how many frames came."""
    count = 0
    try:
        with open_source(str(path)) as source:
            for frame in source:
                assert frame.image.ndim == 3
                assert frame.image.dtype == np.uint8
                assert np.isfinite(frame.timestamp_s)
                count += 1
                if count >= _MOST_FRAMES or count * frame.image.size > _MOST_BYTES:
                    break
    except SourceError:  # a lost source is one, too
        return True, count
    return False, count


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _fuzz(whole: dict[str, bytes], folder: Path, rounds: int, seed: int) -> tuple[int, int]:
    rng, refused, frames = random.Random(seed), 0, 0
    for suffix, content in whole.items():
        (folder / f"whole{suffix}").write_bytes(content)
        assert _read(folder / f"whole{suffix}") == (False, 12)
    before = _peak_bytes()
    for index in range(rounds):
        suffix, content = list(whole.items())[index % len(whole)]
        path = folder / f"a{suffix}"
        path.write_bytes(_mutated(content, rng))
        start_s = time.monotonic()
        bad, count = _read(path)
        assert time.monotonic() - start_s < LONGEST_S, (suffix, index)
        refused += bad
        frames += count
    assert _peak_bytes() - before < MOST_GROWTH_BYTES
    return refused, frames


@pytest.mark.parametrize("library", ["pyav", "opencv"])
def test_videos(tmp_path: Path, library: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("av", reason='needs PyAV: pip install "edge-vos[video]"')
    if library == "opencv":
        request.getfixturevalue("without_pyav")
    times_s = [index / 25 for index in range(12)]
    whole = {
        suffix: write_video(
            tmp_path / f"made{suffix}",
            times_s,
            size=(48, 64),
            codec=codec,
            pixels=pixels,
            sound=sound,
        ).read_bytes()
        for suffix, codec, pixels, sound in (
            (".mp4", "libx264", "yuv420p", "aac"),
            (".mkv", "libx264", "yuv420p", ""),
            (".webm", "libvpx-vp9", "yuv420p", ""),
            (".mov", "mjpeg", "yuvj420p", "pcm_s16le"),
        )
    }
    rounds = VIDEOS if library == "pyav" else 200  # OpenCV's reader is not new
    refused, frames = _fuzz(whole, tmp_path, rounds, seed=5)
    assert refused > rounds / 20
    assert frames > rounds


def test_animations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(12)]
    whole = {}
    for suffix in (".gif", ".webp", ".png"):
        path = tmp_path / f"made{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, loop=0)
        whole[suffix] = path.read_bytes()
    refused, frames = _fuzz(whole, tmp_path, ANIMATIONS, seed=6)
    assert refused > ANIMATIONS / 10
    assert frames > ANIMATIONS
