"""Record while somebody wants it: begun and stopped by a key or a button."""

from pathlib import Path

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.interaction import Interaction, next_free
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.matte import Render
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sinks.recording import Recording
from edge_vos.runtime.sources.frame import Frame


class Recorder(Sink):
    """Record to edge-vos-000.mkv and on, a file for each time that recording is switched on.

    A recording that fails is told to the user; the run goes on.

    Attributes:
        failures: what was told.

    Args:
        interaction: says when to record.
        fps: nominal.
        size: height and width of the frames.
        render: makes the pictures.
        folder: for the files.
    """

    def __init__(
        self,
        interaction: Interaction,
        fps: float,
        size: tuple[int, int],
        render: Render,
        folder: Path = Path(),
    ) -> None:
        self.uri = "recorder"
        self.failures: tuple[str, ...] = ()
        self._interaction = interaction
        self._fps, self._size, self._render, self._folder = fps, size, render, folder
        self._recording: Recording | None = None

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Record one frame, where that is wanted."""
        self.pump()
        if not self._interaction.recording.is_set():
            return
        try:
            if self._recording is None:
                path = next_free(self._folder, ".mkv")
                self._recording = Recording(path, self._fps, self._size, self._render)
            self._recording.write(frame, result)
        except SinkError as error:
            self._complete()
            self._fail(error)

    def pump(self) -> None:
        """Complete the recording when nobody wants more of it."""
        if self._recording is not None and not self._interaction.recording.is_set():
            completed = self._complete()
            if completed:
                self._interaction.controls.say(f"recorded {completed[0]}")

    def close(self) -> None:
        """Complete what is being recorded."""
        self._interaction.recording.clear()
        self._complete()

    def _complete(self) -> tuple[str, ...]:
        """Complete what is being recorded, and return its file if there is one."""
        recording, self._recording = self._recording, None
        if recording is None:
            return ()
        try:
            recording.close()
        except SinkError as error:
            self._fail(error)
        self.files = (*self.files, *recording.files)
        return recording.files

    def _fail(self, error: SinkError) -> None:
        self._interaction.recording.clear()
        self._interaction.controls.say(str(error))
        self.failures = (*self.failures, str(error))
