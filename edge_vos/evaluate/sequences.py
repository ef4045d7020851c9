"""Annotated sequences of frames, in whatever layout they were found."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, EdgeVosError
from edge_vos.runtime.masks import read_labels

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
VOID = 255
"""Undecided pixels of DAVIS 2017; its semi-supervised protocol counts them as background."""

ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class EvalFrame:
    """Hold one frame with what a tracker is told and what it is measured by.

    Attributes:
        name: the frame's name, without a suffix.
        frame: (H, W, 3) uint8, BGR.
        given: (h, w) uint8 mask of the objects that enter here; None where none does.
        truth: (h, w) uint8 mask; None where there is none.
        scored: whether the frame counts.
    """

    name: str
    frame: NDArray[np.uint8]
    given: NDArray[np.uint8] | None
    truth: NDArray[np.uint8] | None
    scored: bool


@dataclass(frozen=True)
class VideoSequence:
    """Name a sequence's frames and the masks that go with them.

    Attributes:
        name: the folder's name.
        frames: the pictures, in order.
        annotations: the masks by frame index, at least one.
        protocol: says how masks are read.
        has_truth: whether the masks after the first are complete, so that they can be a measure.
        categories: the objects that may enter at any frame, each with its category if that is
            known; empty where all objects stand in the first frame's mask.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: Mapping[int, Path]
    protocol: str
    has_truth: bool = True
    categories: Mapping[int, str | None] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return how many frames are played."""
        return len(self.frames)

    @property
    def scored(self) -> tuple[int, ...]:
        """Return the frames that count: all annotated ones but the first and the last."""
        return tuple(sorted(self.annotations)[1:-1]) if self.has_truth else ()

    def play(self) -> Iterator[EvalFrame]:
        """Play the sequence.

        Raises:
            DatasetError: if a picture cannot be read, sizes disagree, or nothing is given in the
                first frame of a sequence whose objects all stand there.
        """
        scored, known = frozenset(self.scored), set[int]()
        for index, path in enumerate(self.frames):
            frame, mask = self.read(index)
            given = None
            if mask is not None and (self.categories or index == 0):
                entering = object_ids(mask) - known
                if self.categories:
                    entering &= self.categories.keys()
                if entering:
                    given = np.where(np.isin(mask, list(entering)), mask, 0).astype(np.uint8)
                    known |= entering
                elif not self.categories:
                    raise DatasetError(
                        f"the first mask {self.annotations[0]} is empty",
                        "an object to follow",
                        "A mask of 0 and 255 is measured with --protocol davis2016",
                    )
            yield EvalFrame(
                path.stem, frame, given, mask if self.has_truth else None, index in scored
            )

    def read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Read a frame and its mask, None where it has none.

        Raises:
            DatasetError: if a picture cannot be read, or the two differ in shape.
        """
        path = self.frames[index]
        frame = read_frame(path)
        if index not in self.annotations:
            return frame, None
        mask = read_annotation(self.annotations[index], self.protocol)
        (height, width), (mask_height, mask_width) = frame.shape[:2], mask.shape
        if abs(width * mask_height / (height * mask_width) - 1) > ASPECT_TOLERANCE:
            raise DatasetError(
                f"{path} is {height}x{width} and its mask {mask_height}x{mask_width}",
                "a frame and a mask of the same shape",
            )
        return frame, mask


@dataclass(frozen=True)
class Dataset:
    """Hold the sequences to measure and the protocol that says how.

    Attributes:
        root: where they were found.
        protocol: the protocol's name.
        sequences: at least one.
        seen: the categories that training sets hold; None where the protocol knows none.
    """

    root: Path
    protocol: str
    sequences: tuple[VideoSequence, ...]
    seen: frozenset[str] | None = None

    @property
    def unscored(self) -> tuple[str, ...]:
        """Return the sequences that have nothing to be measured by."""
        return tuple(sequence.name for sequence in self.sequences if not sequence.scored)

    def require_truth(self) -> None:
        """Refuse a data set that gives no score.

        Raises:
            DatasetError: if a sequence has nothing to score.
        """
        if self.unscored:
            raise DatasetError(
                f"{self.unscored[0]} in {self.root} has nothing to score",
                "three frames with masks or more: the first and the last do not count",
                "For the masks alone: edge-vos eval … -o MASKS",
            )


def object_ids(mask: NDArray[np.uint8]) -> set[int]:
    """Return the ids in a label map."""
    return {int(object_id) for object_id in np.unique(mask) if object_id}


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Read a frame.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        DatasetError: if the picture cannot be decoded.
    """
    frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if frame is None:
        raise DatasetError(f"{path} cannot be read", "an intact JPEG or PNG picture")
    return np.asarray(frame, np.uint8)


def read_annotation(path: Path, protocol: str) -> NDArray[np.uint8]:
    """Read a ground-truth mask.

    Returns:
        (H, W) uint8, 0 is the background. In DAVIS 2016 whatever is not 0 in the file is object
        1; elsewhere the values are the object ids, and 255 is void: background.

    Raises:
        DatasetError: if the picture cannot be decoded or, other than in DAVIS 2016, holds no ids.
    """
    if protocol == "davis2016":
        mask = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if mask is None:
            raise DatasetError(f"{path} cannot be read", "an intact PNG mask")
        return np.asarray(mask.any(axis=2), np.uint8)
    try:
        ids = read_labels(path)
    except EdgeVosError as error:
        raise DatasetError(
            f"{path}: {error.what}",
            error.expected or "a palette PNG of object ids",
            "A data set of one object is measured with --protocol davis2016",
        ) from error
    ids[ids == VOID] = 0
    return ids


def pair_masks(frames_folder: Path, masks_folder: Path) -> tuple[tuple[Path, ...], dict[int, Path]]:
    """Find the frames of a sequence, and its masks by frame index.

    Raises:
        DatasetError: if there are no frames or no masks, or a mask has no frame.
    """
    for folder, kind in ((frames_folder, "frames"), (masks_folder, "masks")):
        if not folder.is_dir():
            raise DatasetError(f"{frames_folder.name} has no {kind}", f"the folder {folder}")
    frames = sorted(
        path for path in frames_folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES
    )
    masks = {path.stem: path for path in masks_folder.glob("*.png")}
    if stray := masks.keys() - {path.stem for path in frames}:
        raise DatasetError(
            f"{masks[min(stray)]} has no frame", f"a frame {min(stray)}.jpg in {frames_folder}"
        )
    if not masks:
        raise DatasetError(f"{frames_folder.name} has no masks", f"PNG masks in {masks_folder}")
    return tuple(frames), {
        index: masks[path.stem] for index, path in enumerate(frames) if path.stem in masks
    }


def sequence_names(text: str) -> list[str]:
    """Read names from lines: a name, or the paths of a frame and its mask, a line."""
    entries = [PurePosixPath(line.split()[0]) for line in text.splitlines() if line.strip()]
    return list(
        dict.fromkeys(
            path.parent.name if path.suffix.lower() in FRAME_SUFFIXES else path.name
            for path in entries
        )
    )


def require_known(names: Iterable[str], available: Sequence[str], place: Path) -> None:
    """Refuse the name of a sequence that is not there.

    Raises:
        DatasetError: with the names that come closest.
    """
    for name in names:
        if name not in available:
            close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
            raise DatasetError(
                f"no sequence {name!r} in {place}",
                f"one of {', '.join(close or available[:8])}{'' if close else ', …'}",
            )
