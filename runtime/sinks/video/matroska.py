"""Write JPEG pictures into a Matroska file, each with its own time, so that a crash harms nothing.

OpenCV's writer has one frame rate, buffers seconds, and says nothing of a full disk. Here every
picture is in the file when ``write`` returns and is shown at the time it was taken. The format is
RFC 9559: clusters of unknown size, as in live streams, end where the file does; closing adds the
duration and an index for seeking.
"""

import struct
from array import array
from pathlib import Path

from edge_vos.runtime.sinks.append import AppendFile

_CLUSTER_MS = 5000  # a block counts its milliseconds from its cluster's, in 16 bits
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_LATER = struct.pack(">Q", 0)  # stands for a figure that closing fills in

_EBML, _SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = (
    b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x53\xab",
    b"\x53\xac",
)  # fmt: skip
_INFO, _TIMESTAMP_SCALE, _MUXING_APP, _WRITING_APP, _DURATION = (
    b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1", b"\x4d\x80", b"\x57\x41", b"\x44\x89",
)  # fmt: skip
_TRACKS, _TRACK, _TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE, _CODEC = (
    b"\x16\x54\xae\x6b", b"\xae", b"\xd7", b"\x73\xc5", b"\x83", b"\x86",
)  # fmt: skip
_FRAME_DURATION, _VIDEO, _WIDTH, _HEIGHT = b"\x23\xe3\x83", b"\xe0", b"\xb0", b"\xba"
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = b"\x1f\x43\xb6\x75", b"\xe7", b"\xa3"
_CUES, _CUE, _CUE_TIME, _CUE_PLACE, _CUE_TRACK, _CUE_CLUSTER = (
    b"\x1c\x53\xbb\x6b", b"\xbb", b"\xb3", b"\xb7", b"\xf7", b"\xf1",
)  # fmt: skip


class MatroskaWriter:
    """Write a video of JPEG pictures at their own times.

    Args:
        path: the file; one that exists is replaced.
        fps: the nominal rate, a hint for players.
        size: height and width of the pictures.

    Attributes:
        count: pictures that are in the file.

    Raises:
        OSError: if it cannot be written.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self.count = 0
        head = _element(
            _EBML,
            _element(b"\x42\x86", b"\x01"), _element(b"\x42\xf7", b"\x01"),
            _element(b"\x42\xf2", b"\x04"), _element(b"\x42\xf3", b"\x08"),
            _element(b"\x42\x82", b"matroska"), _element(b"\x42\x87", b"\x04"),
            _element(b"\x42\x85", b"\x02"),
        )  # fmt: skip
        seek = _element(_SEEK, _element(_SEEK_ID, _CUES), _element(_SEEK_POSITION, _LATER))
        seek_head = _element(_SEEK_HEAD, seek)
        info = _element(
            _INFO,
            _element(_TIMESTAMP_SCALE, _unsigned(1_000_000)),  # a millisecond
            _element(_MUXING_APP, b"edge-vos"), _element(_WRITING_APP, b"edge-vos"),
            _element(_DURATION, _LATER),
        )  # fmt: skip
        picture = _element(_WIDTH, _unsigned(size[1])), _element(_HEIGHT, _unsigned(size[0]))
        track = _element(
            _TRACK,
            _element(_TRACK_NUMBER, b"\x01"), _element(_TRACK_UID, b"\x01"),
            _element(_TRACK_TYPE, b"\x01"), _element(_CODEC, b"V_MJPEG"),
            _element(_FRAME_DURATION, _unsigned(round(1e9 / fps))), _element(_VIDEO, *picture),
        )  # fmt: skip
        start = head + _SEGMENT + _UNKNOWN_SIZE
        self._origin = len(start)
        self._cues_place = self._origin + len(seek_head) - len(_LATER)
        self._duration_place = self._origin + len(seek_head) + len(info) - len(_LATER)
        self._cluster_ms = array("q")
        self._cluster_offset = array("q")
        self._last_ms = -1
        self._frame_ms = 1000 / fps
        self._file = AppendFile(path)
        try:
            self._file.append(start + seek_head + info + _element(_TRACKS, track))
        except OSError:
            self._file.close()
            raise

    def write(self, jpeg: bytes | memoryview, timestamp_s: float) -> None:
        """Add one picture; it is in the file when this returns.

        Args:
            jpeg: the picture.
            timestamp_s: when it is shown, in seconds from the start. One that is not after the
                picture before is shown a millisecond after it.

        Raises:
            OSError: if it cannot be written; the file ends with the picture before it.
        """
        now_ms = max(round(timestamp_s * 1000), self._last_ms + 1)
        opening = b""
        if not self.count or now_ms - self._cluster_ms[-1] >= _CLUSTER_MS:
            opening = _CLUSTER + _UNKNOWN_SIZE + _element(_TIMESTAMP, _unsigned(now_ms))
        cluster_ms = now_ms if opening else self._cluster_ms[-1]
        block = b"\x81" + struct.pack(">hB", now_ms - cluster_ms, 0x80)  # track 1, a key frame
        offset = self._file.size_bytes - self._origin
        self._file.append(opening + _element(_SIMPLE_BLOCK, block, jpeg))
        if opening:
            self._cluster_ms.append(now_ms)
            self._cluster_offset.append(offset)
        self._last_ms = now_ms
        self.count += 1

    def close(self) -> None:
        """Add what makes seeking quick, where there is room for it; closing twice does nothing."""
        if self._file.closed:
            return
        place = self._file.size_bytes - self._origin
        cues = (
            _element(
                _CUE,
                _element(_CUE_TIME, _unsigned(time_ms)),
                _element(
                    _CUE_PLACE,
                    _element(_CUE_TRACK, b"\x01"),
                    _element(_CUE_CLUSTER, _unsigned(offset)),
                ),
            )
            for time_ms, offset in zip(self._cluster_ms, self._cluster_offset, strict=True)
        )
        try:
            duration_ms = self._last_ms + self._frame_ms
            self._file.patch(self._duration_place, struct.pack(">d", duration_ms))
            self._file.append(_element(_CUES, *cues))
            self._file.patch(self._cues_place, struct.pack(">Q", place))
        except OSError:  # a full disk: players scan the file instead
            pass
        finally:
            self._file.close()


def _element(name: bytes, *content: bytes | memoryview) -> bytes:
    size = sum(len(part) for part in content)
    return b"".join((name, struct.pack(">Q", size | 1 << 56), *content))


def _unsigned(value: int) -> bytes:
    return value.to_bytes(8, "big")
