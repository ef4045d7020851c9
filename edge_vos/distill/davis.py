"""Read the DAVIS 2016 and 2017 data sets as they are unpacked from their archives.

Frames are ``JPEGImages/480p/<sequence>/*.jpg`` and masks ``Annotations/480p/<sequence>/*.png``.
``ImageSets`` names the validation sequences; without it every folder is one.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, EdgeVosError, UsageError
from edge_vos.runtime.masks import read_mask

PROTOCOLS = {
    "davis2016": ("ImageSets/2016/val.txt", "ImageSets/480p/val.txt"),
    "davis2017": ("ImageSets/2017/val.txt",),
}
"""The names of the protocols, each with the lists that may name its validation sequences."""

RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
VOID = 255
"""Pixels that DAVIS 2017 leaves undecided; its semi-supervised protocol counts them background."""


@dataclass(frozen=True)
class VideoSequence:
    """Name a sequence's frames and the masks that go with them.

    Attributes:
        name: the folder's name.
        frames: at least three, in order.
        annotations: the masks by frame index. 0 is always there: it says what to follow.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: Mapping[int, Path]

    @property
    def scored(self) -> tuple[int, ...]:
        """Return the frames that count: all annotated ones but the first and the last."""
        return tuple(sorted(self.annotations)[1:-1])


@dataclass(frozen=True)
class Dataset:
    """Hold the sequences to measure and the protocol that says how."""

    root: Path
    protocol: str
    sequences: tuple[VideoSequence, ...]


def read_davis(
    root: str | Path, protocol: str = "davis2016", sequences: Sequence[str] | None = None
) -> Dataset:
    """Find the sequences of a DAVIS folder; no picture is opened yet.

    Args:
        root: the folder that holds ``JPEGImages`` and ``Annotations``.
        protocol: a key of ``PROTOCOLS``.
        sequences: only these, in this order; the validation list, or every folder, by default.

    Raises:
        UsageError: if the protocol is unknown.
        DatasetError: if a folder, sequence or first mask is missing, or a sequence has nothing
            to score.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}", f"one of {', '.join(PROTOCOLS)}")
    root = Path(root)
    frames_root, masks_root = _resolution_folders(root)
    available = sorted(folder.name for folder in frames_root.iterdir() if folder.is_dir())
    if sequences is None:
        sequences = _listed_sequences(root, protocol) or available
    if not sequences:
        raise DatasetError(f"{frames_root} holds no sequence", "one folder of frames a sequence")
    _require_known(sequences, available, frames_root)
    return Dataset(
        root,
        protocol,
        tuple(_read_sequence(frames_root / name, masks_root / name) for name in sequences),
    )


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
        1; in DAVIS 2017 the values are the object ids.

    Raises:
        DatasetError: if the picture cannot be decoded or, in DAVIS 2017, holds no ids.
    """
    if protocol == "davis2016":
        mask = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if mask is None:
            raise DatasetError(f"{path} cannot be read", "an intact PNG mask")
        return np.asarray(mask.any(axis=2), np.uint8)
    try:
        ids = read_mask(path)
    except EdgeVosError as error:
        raise DatasetError(
            f"{path}: {error.what}",
            error.expected or "a palette PNG of object ids",
            "A data set of one object is measured with --protocol davis2016",
        ) from error
    return np.where(ids == VOID, 0, ids).astype(np.uint8)


def _resolution_folders(root: Path) -> tuple[Path, Path]:
    for resolution in RESOLUTIONS:
        folders = root / "JPEGImages" / resolution, root / "Annotations" / resolution
        if all(folder.is_dir() for folder in folders):
            return folders
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "the folder of a DAVIS data set")
    nested = next((child for child in root.iterdir() if (child / "JPEGImages").is_dir()), None)
    raise DatasetError(
        f"{root} is no DAVIS folder",
        "JPEGImages/480p and Annotations/480p in it (or Full-Resolution)",
        f"{nested} looks like one" if nested else "",
    )


def _listed_sequences(root: Path, protocol: str) -> list[str]:
    for candidate in PROTOCOLS[protocol]:
        if (root / candidate).is_file():
            lines = (root / candidate).read_text(encoding="utf-8").split("\n")
            return list(dict.fromkeys(_sequence_of(line) for line in lines if line.strip()))
    return []


def _sequence_of(line: str) -> str:
    """Return the sequence of a line: its name alone, or the paths of a frame and its mask."""
    entry = PurePosixPath(line.split()[0])
    return entry.parent.name if entry.suffix else entry.name


def _require_known(names: Iterable[str], available: Sequence[str], folder: Path) -> None:
    for name in names:
        if name not in available:
            close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
            raise DatasetError(
                f"no sequence {name!r} in {folder}",
                f"one of {', '.join(close or available[:8])}{'' if close else ', …'}",
            )


def _read_sequence(frames_folder: Path, masks_folder: Path) -> VideoSequence:
    frames = sorted(
        path for path in frames_folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES
    )
    if not masks_folder.is_dir():
        raise DatasetError(f"{frames_folder.name} has no masks", f"the folder {masks_folder}")
    masks = {path.stem: path for path in masks_folder.glob("*.png")}
    if frames and frames[0].stem not in masks:
        raise DatasetError(
            f"the first frame {frames[0]} has no mask",
            f"{masks_folder / frames[0].stem}.png, which says what to follow",
        )
    if stray := masks.keys() - {path.stem for path in frames}:
        raise DatasetError(
            f"{masks[min(stray)]} has no frame", f"a frame {min(stray)}.jpg in {frames_folder}"
        )
    sequence = VideoSequence(
        name=frames_folder.name,
        frames=tuple(frames),
        annotations={
            index: masks[path.stem] for index, path in enumerate(frames) if path.stem in masks
        },
    )
    if not sequence.scored:
        raise DatasetError(
            f"{frames_folder} has nothing to score",
            "at least three frames with masks, since the first and the last do not count",
        )
    return sequence
