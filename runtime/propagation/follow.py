"""Follow objects along frames in any order, and keep what was found."""

from collections.abc import Iterable, Iterator, Sequence
from tempfile import TemporaryFile, gettempdir

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState, label_frame
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.preprocess import NEUTRAL, Letterbox
from edge_vos.runtime.propagation.job import Job, Keyframe, read_frame, read_given
from edge_vos.runtime.segmenter import FrameResult, Segmenter
from edge_vos.runtime.sources.frame import Frame


def follow(
    model: LoadedModel, job: Job, anchors: Sequence[Keyframe], indices: Iterable[int]
) -> Iterator[tuple[Frame, FrameResult]]:
    """Show a fresh segmenter the given masks in turn, then step through frames.

    Args:
        model: the student.
        job: has the frames.
        anchors: the last one is the nearest.
        indices: of the frames, in the order to go.
    """
    segmenter = Segmenter(model)
    for key in anchors:
        frame = read_given(job, key)
        segmenter.prompt(key.mask)
        segmenter.step(frame)
    for index in indices:
        frame = read_frame(job, index)
        yield frame, segmenter.step(frame)


def certain(result: FrameResult, object_ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the probabilities of the background and of objects; a lost object's are background's.

    Returns:
        (1 + N, H/4, W/4) float32.
    """
    found = result.probability[[0, *object_ids]].copy()
    seen = {state.id for state in result.objects if not state.lost}
    for place, object_id in enumerate(object_ids, start=1):
        if object_id not in seen:
            found[0] += found[place]
            found[place] = 0.0
    return found


class Stack:
    """Keep the probabilities of a stretch of frames in a nameless file.

    Args:
        model: gives the shape.
        objects: so many there are.
        first: the first frame's index.
        count: so many frames.

    Raises:
        SinkError: if there is no room for it.
    """

    def __init__(self, model: LoadedModel, objects: int, first: int, count: int) -> None:
        height, width = model.manifest.shape("probability")[2:]
        self._shape = (1 + objects, height, width)
        self._bytes = int(np.prod(self._shape)) * 2
        self._first = first
        try:
            self._file = TemporaryFile(prefix="edge-vos-")  # noqa: SIM115 - it stays open
            self._file.truncate(count * self._bytes)
        except OSError as error:
            raise _no_room(error) from error

    def put(self, index: int, found: NDArray[np.float32]) -> None:
        """Keep a frame's."""
        self._file.seek((index - self._first) * self._bytes)
        try:
            self._file.write(found.astype(np.float16).tobytes())
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error

    def get(self, index: int) -> NDArray[np.float32]:
        """Return a frame's: (1 + N, H/4, W/4) float32."""
        self._file.seek((index - self._first) * self._bytes)
        read = np.frombuffer(self._file.read(self._bytes), np.float16)
        return read.reshape(self._shape).astype(np.float32)

    def close(self) -> None:
        """Forget all."""
        self._file.close()


def _no_room(error: OSError) -> SinkError:
    return SinkError(
        f"A temporary file cannot be written ({error.strerror or error})",
        f"room in {gettempdir()}",
        "Set TMPDIR to a folder that has some",
    )


def to_labels(
    model: LoadedModel, frame: Frame, object_ids: Sequence[int], found: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], tuple[ObjectState, ...], NDArray[np.float32], Letterbox]:
    """Label a frame's pixels by probabilities of background and objects.

    Returns:
        the mask, the objects' states, the probabilities by channel, and how the frame lies in the
        network's image.
    """
    probability = np.zeros(model.manifest.shape("probability")[1:], np.float32)
    probability[[0, *object_ids]] = found
    letterbox = Letterbox.fit(frame.image.shape[:2], model.manifest.size)
    image = np.full(model.manifest.shape("image"), NEUTRAL, np.float32)
    letterbox.image(frame.image, out=image)
    mask, states = label_frame(probability, object_ids, letterbox, image)
    return mask, states, probability, letterbox


def chances(
    probability: NDArray[np.float32], letterbox: Letterbox, object_id: int
) -> NDArray[np.float32]:
    """Return one object's probability at the frame's size: (H, W) float32."""
    cells = letterbox.crop(probability)[object_id]
    return np.asarray(letterbox.enlarge(np.ascontiguousarray(cells)), np.float32)
