"""What a file says of one frame: which pixels are which object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import MaskError

LARGEST_ID = np.iinfo(np.int32).max
LISTED = 8


@dataclass(frozen=True)
class FrameName:
    """Say which frame a mask is wanted for.

    Args:
        size: height and width of the frame.
        name: its file's name; empty where it has none, as in a video or from a camera.
        index: frames before it.
    """

    size: tuple[int, int]
    name: str = ""
    index: int = 0


@dataclass(frozen=True)
class Annotation:
    """Hold the objects of one frame, by the ids of the file that they come from.

    Args:
        labels: (H, W) int32 label map of the frame's size; 0 is the background.
        names: of the objects that the file names, by id.
        assumed: what was taken for granted in reading, each as one sentence.
    """

    labels: NDArray[np.int32]
    names: Mapping[int, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return the ids, ascending."""
        return tuple(int(i) for i in np.unique(self.labels) if i)


class Canvas:
    """Paint objects over each other, the last one on top, and count what is hidden.

    Args:
        size: height and width of the frame.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.assumed: list[str] = []
        self._labels = np.zeros(size, np.int32)
        self._names: dict[int, str] = {}
        self._hidden_px = 0

    def paint(self, object_id: int, pixels: NDArray[np.bool_], name: str = "") -> None:
        """Paint an object, or another part of it.

        Args:
            object_id: from 1.
            pixels: (H, W) bool.
            name: what the file calls it.

        Raises:
            MaskError: if the id is no id of an object.
        """
        if not 1 <= object_id <= LARGEST_ID:
            raise MaskError(f"The object id {object_id}", f"an id from 1 to {LARGEST_ID}")
        under = self._labels[pixels]
        self._hidden_px += int(np.count_nonzero((under != 0) & (under != object_id)))
        self._labels[pixels] = object_id
        self._names.setdefault(object_id, name)

    def clear(self, pixels: NDArray[np.bool_], why: str) -> None:
        """Take pixels away from every object, and say why."""
        self._labels[pixels] = 0
        self.assumed.append(f"{np.count_nonzero(pixels)} pixels are nobody's: {why}")

    def finish(self) -> Annotation:
        """Return what was painted.

        Raises:
            MaskError: if an object has no pixel in the frame.
        """
        if not self._names:
            raise MaskError("No object is in it", "at least one", "Mark an object in it")
        shown = set(np.unique(self._labels).tolist())
        for object_id in self._names:
            if object_id not in shown:
                raise MaskError(
                    f"Object {object_id} has no pixel: it is outside the frame, or all of it lies "
                    "under another",
                    "at least one pixel of each object",
                )
        if self._hidden_px:
            self.assumed.append(
                f"objects overlap in {self._hidden_px} pixels: those that come later lie on top"
            )
        names = {object_id: name for object_id, name in self._names.items() if name}
        return Annotation(self._labels, names, tuple(self.assumed))


def check_file_size(wanted: FrameName, height: int, width: int) -> None:
    """Check that a file is about pictures of the frame's size.

    Raises:
        MaskError: if it is not.
    """
    if (height, width) != wanted.size:
        raise MaskError(
            f"The mask is {height}x{width}",
            f"the frame's size, {wanted.size[0]}x{wanted.size[1]} (height x width)",
            "Scale the mask to the frame, with nearest-neighbour interpolation",
        )


def choose_image(names: list[str], wanted: FrameName, assumed: list[str]) -> int:
    """Find the picture that a file calls as the frame is called.

    Args:
        names: of the pictures in the file, at least one.
        wanted: the frame.
        assumed: is told what was taken for granted.

    Returns:
        the picture's place in ``names``.

    Raises:
        MaskError: if there are several, and none of that name.
    """
    stems = [PurePosixPath(name.replace("\\", "/")).stem for name in names]
    stem = PurePosixPath(wanted.name).stem
    if wanted.name and stem in stems:
        return stems.index(stem)
    if wanted.name:  # Label Studio puts a hash before the names of what is uploaded
        ends = [i for i, found in enumerate(stems) if found.endswith(f"-{stem}")]
        if len(ends) == 1:
            return ends[0]
    if len(names) == 1:
        if wanted.name:
            assumed.append(f"its only picture, {names[0]!r}, is the frame {wanted.name}")
        return 0
    if wanted.name:
        listed = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
        raise MaskError(
            f"None of its {len(names)} pictures is called {wanted.name}", f"one of: {listed}"
        )
    first = min(range(len(names)), key=names.__getitem__)
    assumed.append(f"the first of its {len(names)} pictures, {names[first]!r}, is the frame")
    return first


def number_groups(keys: list[tuple[str, int | None]]) -> list[int]:
    """Give ids to shapes: those of one group are one object.

    Args:
        keys: each shape's label and group, if it has one.

    Returns:
        an id for each: the groups' own where every shape has one from 1 on that is of one label,
        and else 1, 2, 3 as the objects come.
    """
    labels: dict[int, set[str]] = {}
    for label, group in keys:
        labels.setdefault(group if group is not None else 0, set()).add(label)
    if all(1 <= group <= LARGEST_ID and len(found) == 1 for group, found in labels.items()):
        return [group for _, group in keys if group is not None]
    ids: dict[tuple[object, ...], int] = {}
    given = []
    for place, (label, group) in enumerate(keys):
        key = (place,) if group is None else (label, group)
        given.append(ids.setdefault(key, len(ids) + 1))
    return given
