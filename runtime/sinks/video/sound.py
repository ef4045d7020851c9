"""Copy the sound of a source beside the pictures, as it is, up to where they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import av

from edge_vos.runtime.sources.frame import Original

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_FAILURES = (av.FFmpegError, OSError, ValueError)
_MICROSECONDS = 1_000_000


class SoundCopy:
    """Take packets from a file and give them to another one, at the same times.

    Args:
        original: where it lies.
        output: where it goes; it gets a stream more.

    Attributes:
        problem: why there is no sound; empty where there is some.
    """

    def __init__(self, original: Original, output: "OutputContainer") -> None:
        self.problem = ""
        self._original, self._output = original, output
        self._origin_s = original.start_s
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._next: Packet[AudioStream] | None = None
        self._to: AudioStream | None = None
        try:
            self._input = av.open(original.path, metadata_errors="ignore")
            self._from = self._input.streams.audio[0]
            name = self._from.codec_context.codec.canonical_name
            if name not in output.supported_codecs:
                self.problem = f"this container holds no {name}"
            else:
                self._to = output.add_stream_from_template(self._from)
        except (*_FAILURES, IndexError, AttributeError) as error:
            self.problem = f"it cannot be read: {error}"

    def begin(self, first_s: float) -> None:
        """Begin with the first picture.

        Args:
            first_s: its time, from the source's first frame on.
        """
        self._origin_s = self._original.start_s + first_s
        if self._to is None:
            return
        try:
            if self._origin_s > 1:
                self._input.seek(round((self._origin_s - 1) * _MICROSECONDS), backward=True)
            self._packets = self._input.demux(self._from)
        except _FAILURES:
            self._to = None

    def copy_until(self, time_s: float) -> None:
        """Copy what is heard before a time, in seconds from the first picture on.

        Raises:
            OSError: if the output cannot take it.
        """
        while self._to is not None:
            packet, self._next = self._next or self._read(), None
            if packet is None:
                self._to = None
                return
            base = packet.time_base
            if packet.pts is None or packet.dts is None or not base:
                continue
            heard_s = float(packet.pts * base) - self._origin_s
            if heard_s < 0:
                continue
            if heard_s >= time_s:
                self._next = packet
                return
            shift = round(self._origin_s / base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._to
            self._output.mux(packet)

    def _read(self) -> "Packet[AudioStream] | None":
        try:
            return next(self._packets, None)
        except _FAILURES:  # it is damaged: the pictures go on
            return None

    def close(self) -> None:
        """Close the file that it came from."""
        if hasattr(self, "_input"):
            self._input.close()
