"""Set up a process that runs a source."""

import ctypes
import os
import sys
from contextlib import suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h


def prepare_process(keep_memory: bool = False) -> None:
    """Set this process up to run a source: quiet libraries, and as little of the machine as can be.

    It comes before OpenCV is used.

    Args:
        keep_memory: keep what is freed for the next frame: learnt outlines ask for so much of it
            that a frame takes 25 ms longer otherwise.
    """
    _quieten()
    if not keep_memory:
        _return_large_blocks()
    import cv2

    cv2.setNumThreads(1)  # its threads would compete with the engine's


def _quieten() -> None:
    """Leave stderr to our own words: what OpenCV, FFmpeg and Qt meet, the errors here say."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("SVT_LOG", "0")  # the encoder of AV1
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # of fonts that its wheel lacks


def _return_large_blocks() -> None:
    """Have the C library give a frame's memory back when it is freed, and keep one heap.

    glibc keeps it otherwise, for each thread anew: 12 MB more at 480x640.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(_M_MMAP_THRESHOLD, 1 << 18)
            library.mallopt(_M_ARENA_MAX, 1)
