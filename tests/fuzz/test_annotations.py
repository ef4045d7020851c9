"""Masks from files that were changed anywhere: read or refused by name, soon, in little memory.

Some 2,500 changes a reader, the same ones every time.
"""

import io
import json
import random
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import FrameName
from edge_vos.runtime.annotations.reading import read_annotation
from edge_vos.runtime.masks import write_palette_png
from tests.fuzz.mutation import change_one, copied, places
from tests.runtime.annotation_files import MAKERS, SIZE, content, labels

CHANGES = 2500
SLOWEST_S, LARGEST_BYTES = 5.0, 32 << 20
ODD = (
    None, True, -1, 0, 1.5, 1e300, 2**70, "", "..", "x" * 99, [], {}, [[]], "\ud800", [1e9] * 9,
    "1e400", -0.0, [["a", "b"]], {"counts": "z" * 99}, [None],
)  # fmt: skip
TOKENS = ("0", "-1", "1e308", "99999999999999999999", "", "nan", "<", "&amp;", "]", ",", ";", "é")
WANTED = FrameName(SIZE, "00000.jpg")


class _Guard:
    """Read a file again and again, and see to time and memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.refused, self.read = path, 0, 0
        tracemalloc.start()

    def try_it(self, data: bytes) -> None:
        self.path.write_bytes(data)
        started_s = time.process_time()
        try:
            found = read_annotation(self.path, WANTED)
        except MaskError as error:
            self.refused += str(self.path) in str(error)
        else:
            assert found.labels.shape == SIZE
            assert found.object_ids
            self.read += 1
        assert time.process_time() - started_s < SLOWEST_S, data[:500]

    def finish(self) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LARGEST_BYTES
        assert self.refused + self.read >= CHANGES
        assert self.refused > 50


@pytest.fixture
def guard(tmp_path: Path) -> _Guard:
    return _Guard(tmp_path / "mask")


def _mutated(document: Any, rng: random.Random) -> Any:
    changed = copied(document)
    for _ in range(rng.randrange(1, 3)):
        found = places(changed)
        if not found:
            return changed
        change_one(found, ODD, rng)
    return changed


def _scrambled(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data))
        action = rng.randrange(4)
        if action == 0:
            data[place] = rng.randrange(256)
        elif action == 1:
            data[place:place] = rng.choice(TOKENS).encode()
        elif action == 2:
            del data[place : place + rng.randrange(1, 9)]
        else:
            data[place:place] = data[place : place + rng.randrange(1, 40)]
        data = data or bytearray(b" ")
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


@pytest.mark.parametrize("name", MAKERS)
def test_files_of_annotators(guard: _Guard, name: str) -> None:
    rng, text = random.Random(name), content(name)
    for index in range(CHANGES):
        if name.endswith(".json") and index % 3:
            guard.try_it(json.dumps(_mutated(json.loads(text), rng)).encode())
        else:
            guard.try_it(_scrambled(text, rng))
    guard.finish()


def _pictures(tmp_path: Path) -> list[bytes]:
    found = []
    write_palette_png(tmp_path / "palette.png", labels())
    found.append((tmp_path / "palette.png").read_bytes())
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)[labels()]
    black_and_white = (labels() > 0) * np.uint8(255)
    for pixels, kind in (
        (colours, "PNG"),
        (np.dstack((colours, black_and_white)), "PNG"),
        (labels().astype(np.uint16) * 300, "PNG"),
        (black_and_white, "JPEG"),
        (labels(), "GIF"),
        (labels(), "BMP"),
        (labels(), "TIFF"),
        (colours, "WEBP"),
    ):
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, kind, **({"lossless": True} if kind == "WEBP" else {}))
        found.append(data.getvalue())
    return found


@pytest.mark.filterwarnings("ignore")
def test_pictures(guard: _Guard, tmp_path: Path) -> None:
    rng, files = random.Random(0), _pictures(tmp_path)
    for index in range(CHANGES):
        data = bytearray(files[index % len(files)])
        for _ in range(rng.randrange(1, 4)):
            # The beginning says what it is, and how large.
            reach = 64 if rng.random() < 0.5 else len(data)
            data[rng.randrange(min(reach, len(data)))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        guard.try_it(bytes(data))
    guard.finish()
