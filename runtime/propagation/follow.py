"""Follow objects along frames in any order, and keep what was found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState, label_frame
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.outlines.seen import Seen
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox
from edge_vos.runtime.propagation.job import Job, Keyframe, read_frame, read_given
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sinks.output_path import partial_path
from edge_vos.runtime.sources.frame import Frame


@dataclass(frozen=True)
class Found:
    """Hold what was found in a frame.

    Args:
        view: the part of the frame that was looked at.
        probability: (1 + N, H/4, W/4) float32 in [0, 1], of the background and the objects there.
        key: (C, H/16, W/16) float32, what the network matches by.
    """

    view: View
    probability: NDArray[np.float32]
    key: NDArray[np.float32]


def follow(
    model: LoadedModel,
    job: Job,
    anchors: Sequence[Keyframe],
    indices: Iterable[int],
    view_of: Callable[[int], View | None] = lambda _: None,
) -> Iterator[tuple[Frame, FrameResult]]:
    """Show a fresh segmenter the given masks in turn, then step through frames.

    Args:
        model: the student.
        job: has the frames.
        anchors: the last one is the nearest.
        indices: of the frames, in the order to go.
        view_of: gives the part of a frame to look at; ``None`` goes by where the objects are.
    """
    segmenter = show(model, job, anchors)
    for index in indices:
        frame = read_frame(job, index)
        yield frame, segmenter.step(frame, view_of(index))


def show(model: LoadedModel, job: Job, anchors: Sequence[Keyframe]) -> Segmenter:
    """Return a fresh segmenter that has seen the given masks, one after the other."""
    segmenter = Segmenter(model)
    for key in anchors:
        frame = read_given(job, key)
        segmenter.prompt(key.mask)
        segmenter.step(frame)
    return segmenter


def certain(result: FrameResult, object_ids: Sequence[int]) -> Found:
    """Return what was found of the background and of objects; a lost object's is background's."""
    probability = result.probability[[0, *object_ids]].copy()
    seen = {state.id for state in result.objects if not state.lost}
    for place, object_id in enumerate(object_ids, start=1):
        if object_id not in seen:
            probability[0] += probability[place]
            probability[place] = 0.0
    assert result.key is not None, "a segmenter's results have one"
    return Found(result.view or View.whole(result.mask.shape[:2]), probability, result.key)


_VIEW_BYTES = 4 * 4


class Stack:
    """Keep what was found in a stretch of frames in a file.

    Args:
        model: gives the shape.
        objects: so many there are.
        first: the first frame's index.
        count: so many frames.
        path: where a run before may have kept all of them, and this one will; nameless without.

    Attributes:
        is_whole: whether all of them are there.

    Raises:
        SinkError: if there is no room for it.
    """

    def __init__(
        self, model: LoadedModel, objects: int, first: int, count: int, path: Path | None = None
    ) -> None:
        height, width = model.manifest.shape("probability")[2:]
        self._shape, self._key_shape = (1 + objects, height, width), model.manifest.shape("key")[1:]
        self._values = int(np.prod(self._shape))
        self._bytes = _VIEW_BYTES + (self._values + int(np.prod(self._key_shape))) * 2
        self._first, self._path = first, path
        size_bytes = count * self._bytes
        try:
            self.is_whole = path is not None and path.exists() and path.stat().st_size == size_bytes
            self._file = self._open(path)
        except OSError as error:
            raise _no_room(error, path) from error
        try:
            if not self.is_whole:
                self._file.truncate(size_bytes)
        except OSError as error:
            self._file.close()
            raise _no_room(error, path) from error

    def put(self, index: int, found: Found) -> None:
        """Keep a frame's."""
        view = np.array(astuple(found.view), np.int32).tobytes()
        self._file.seek((index - self._first) * self._bytes)
        try:
            self._file.write(view)
            for values in (found.probability, found.key):
                self._file.write(values.astype(np.float16).tobytes())
            self._file.flush()
        except OSError as error:
            raise _no_room(error, self._path) from error

    def complete(self) -> None:
        """Say that all are there, for a run that comes after this one."""
        self.is_whole = True
        if self._path is None:
            return
        try:
            self._file.close()
            partial_path(self._path).replace(self._path)
            self._file = self._open(self._path)
        except OSError as error:
            raise _no_room(error, self._path) from error

    def get(self, index: int) -> Found:
        """Return a frame's."""
        self._file.seek((index - self._first) * self._bytes)
        view = np.frombuffer(self._file.read(_VIEW_BYTES), np.int32)
        read = np.frombuffer(self._file.read(self._bytes - _VIEW_BYTES), np.float16)
        values = read.astype(np.float32)
        probability, key = values[: self._values], values[self._values :]
        return Found(
            View(*view.tolist()), probability.reshape(self._shape), key.reshape(self._key_shape)
        )

    def close(self) -> None:
        """Close the file; what is nameless is forgotten."""
        self._file.close()

    def _open(self, path: Path | None) -> IO[bytes]:
        if path is None:
            return TemporaryFile(prefix="edge-vos-")
        return path.open("rb") if self.is_whole else partial_path(path).open("w+b")


def _no_room(error: OSError, path: Path | None) -> SinkError:
    if path is not None:
        return SinkError(
            f"The file {path} cannot be written ({error.strerror or error})",
            "room on its disk",
            f"df {path.parent}",
        )
    return SinkError(
        f"A temporary file cannot be written ({error.strerror or error})",
        f"room in {gettempdir()}",
        "Set TMPDIR to a folder that has some",
    )


def to_labels(
    model: LoadedModel, frame: Frame, object_ids: Sequence[int], found: Found
) -> tuple[Seen, tuple[ObjectState, ...]]:
    """Label a view's pixels by probabilities of background and objects; say what is there."""
    probability = np.zeros(model.manifest.shape("probability")[1:], np.float32)
    probability[[0, *object_ids]] = found.probability
    letterbox = Letterbox.fit(found.view.size, model.manifest.size)
    image = np.full(model.manifest.shape("image"), NEUTRAL, np.float32)
    letterbox.image(found.view.of(frame.image), out=image)
    mask, states = label_frame(probability, object_ids, letterbox, image)
    return Seen(found.view, letterbox, probability, found.key, mask), states
