"""Pages of library files leave resident memory; nothing that was written does."""

import ctypes
import sys

import numpy as np
import pytest

from edge_vos.devices.telemetry.memory import rss_bytes
from edge_vos.runtime.backends.loaded_pages import release_loaded_pages, unchanged_files

SMAPS = """\
7f0000000000-7f0000003000 r-xp 00000000 fe:00 1 /usr/lib/libcode.so
Rss:                  12 kB
Anonymous:             0 kB
7f0000003000-7f0000004000 r--p 00003000 fe:00 1 /usr/lib/with a space.so
Anonymous:             0 kB
7f0000004000-7f0000005000 r--p 00004000 fe:00 1 /usr/lib/librelocated.so
Anonymous:             4 kB
7f0000005000-7f0000006000 rw-p 00005000 fe:00 1 /usr/lib/libdata.so
Anonymous:             0 kB
7f0000006000-7f0000007000 r--s 00000000 fe:00 2 /dev/shm/shared
Anonymous:             0 kB
7f0000007000-7f0000008000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f0000008000-7f0000009000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
"""


def test_only_unchanged_private_files_are_named() -> None:
    assert list(unchanged_files(SMAPS)) == [
        (0x7F0000000000, 0x7F0000003000),
        (0x7F0000003000, 0x7F0000004000),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells the pages")
def test_resident_memory_falls_and_everything_still_works() -> None:
    data = np.arange(1 << 20)
    held = bytes(range(256)) * 64
    before = rss_bytes()
    release_loaded_pages()
    assert rss_bytes() < before - 2_000_000
    assert int(data.sum()) == (1 << 20) * ((1 << 20) - 1) // 2
    assert held == bytes(range(256)) * 64
    assert ctypes.CDLL(None).getpid() > 0
