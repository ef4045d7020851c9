"""Write results as a recording for the viewer of Rerun (https://rerun.io): `session.rrd`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import cv2

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.output import Sink, complete
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame

INSTALL = "pip install rerun-sdk"
_QUALITY = 90


class RerunLog(Sink):
    """Write each frame as a JPEG, its mask, and a plot of each object's confidence.

    In the viewer: ``frame``, ``frame/mask`` with the objects' names and colours,
    ``confidence/OBJECT`` and ``events``, on the timelines ``frame`` and ``time``.

    Args:
        path: the file; it has its name when it is complete, and ``session.partial.rrd`` before,
            which the viewer plays as well.

    Raises:
        SinkError: if rerun-sdk is missing or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self.files = (self.uri,)
        self._path = path
        self._partial = partial_path(path)
        self._shown: list[tuple[int, str, tuple[int, int, int]]] = []
        self._count = 0
        self._rerun = _library(self.uri)
        self._recording: Any | None = self._rerun.RecordingStream("edge-vos")
        try:
            self._recording.save(self._partial)
        except RuntimeError as error:
            raise self._refused(error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write one frame.

        Raises:
            SinkError: if it cannot be written, such as on a full disk; what was written stays.
        """
        if self._recording is None:
            return
        rerun, log = self._rerun, self._recording.log
        self._recording.set_time("frame", sequence=frame.index)
        self._recording.set_time("time", duration=frame.timestamp_s)
        shown = [(state.id, _label(state), state.colour) for state in result.objects]
        if shown != self._shown:
            log("frame", rerun.AnnotationContext([(0, "", (0, 0, 0, 0)), *shown]))
            self._shown = shown
        _, jpeg = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        log("frame", rerun.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))
        log("frame/mask", rerun.SegmentationImage(result.mask))
        for state in result.objects:
            log(
                ["confidence", f"{state.number} {state.name}".strip()],
                rerun.Scalars(state.confidence),
            )
            if state.event is not None:
                log("events", rerun.TextLog(f"{_label(state)} is {state.event}"))
        try:
            self._recording.flush()
        except RuntimeError as error:
            self._recording = None  # what was written keeps the name of what is not complete
            raise self._refused(error) from error
        self._count += 1

    def close(self) -> None:
        """Complete the file; without a frame there is none.

        Raises:
            SinkError: if it cannot be written to its end.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            return
        recording.disconnect()
        self.files = complete(self._partial, self._path, self._count)

    def _refused(self, error: RuntimeError) -> SinkError:
        return SinkError(
            f"The output {self._path} cannot be written ({error})",
            "a folder that may be written to, and room on its disk",
            f"ls -ld {self._path.parent}",
        )


def _label(state: ObjectState) -> str:
    return state.name or f"object {state.number}"


def _library(uri: str) -> Any:
    try:
        return import_module("rerun")
    except ImportError as error:
        raise SinkError(
            f"{uri!r} needs rerun-sdk, which is not installed ({error})", "the package", INSTALL
        ) from error
