"""Read the DAVIS 2016 and 2017 data sets as they are unpacked from their archives.

Frames are ``JPEGImages/480p/<sequence>/*.jpg`` and masks ``Annotations/480p/<sequence>/*.png``.
``ImageSets`` names the sequences of a split; without it every folder is one.
"""

from collections.abc import Sequence
from pathlib import Path

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.sequences import (
    Dataset,
    VideoSequence,
    pair_masks,
    require_known,
    sequence_names,
)

PROTOCOLS = {
    "davis2016": ("ImageSets/2016", "ImageSets/480p"),
    "davis2017": ("ImageSets/2017",),
}
"""The names of the protocols, each with the folders that may hold its lists of sequences."""

RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
DEFAULT_SPLIT = "val"


def read_davis(
    root: str | Path,
    protocol: str = "davis2016",
    sequences: Sequence[str] | None = None,
    split: str | None = None,
) -> Dataset:
    """Find the sequences of a DAVIS folder; no picture is opened yet.

    Args:
        root: the folder that holds ``JPEGImages`` and ``Annotations``.
        protocol: a key of ``PROTOCOLS``.
        sequences: only these, in this order.
        split: the list in ``ImageSets`` that names them otherwise; None is the validation list
            where there is one, and else every folder.

    Raises:
        UsageError: if the protocol is unknown.
        DatasetError: if a folder, list, sequence or first mask is missing.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}", f"one of {', '.join(PROTOCOLS)}")
    root = Path(root)
    frames_root, masks_root = _resolution_folders(root)
    available = sorted(folder.name for folder in frames_root.iterdir() if folder.is_dir())
    if sequences is None:
        sequences = _listed_sequences(root, protocol, split) or available
    if not sequences:
        raise DatasetError(f"{frames_root} holds no sequence", "one folder of frames a sequence")
    require_known(sequences, available, frames_root)
    return Dataset(
        root,
        protocol,
        tuple(
            _read_sequence(frames_root / name, masks_root / name, protocol) for name in sequences
        ),
    )


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


def _listed_sequences(root: Path, protocol: str, split: str | None) -> list[str]:
    folders = [root / folder for folder in PROTOCOLS[protocol]]
    for folder in folders:
        path = folder / f"{split or DEFAULT_SPLIT}.txt"
        if path.is_file():
            return sequence_names(path.read_text(encoding="utf-8"))
    if split is not None:
        lists = sorted({path.stem for folder in folders for path in folder.glob("*.txt")})
        raise DatasetError(
            f"no list of the split {split!r} for {protocol} in {root}",
            f"one of {', '.join(lists)}" if lists else f"{folders[0] / f'{split}.txt'}",
            "Without --split every folder is a sequence" if not lists else "",
        )
    return []


def _read_sequence(frames_folder: Path, masks_folder: Path, protocol: str) -> VideoSequence:
    frames, annotations = pair_masks(frames_folder, masks_folder)
    if 0 not in annotations:
        raise DatasetError(
            f"the first frame {frames[0]} has no mask",
            f"{masks_folder / frames[0].stem}.png, which says what to follow",
        )
    return VideoSequence(frames_folder.name, frames, annotations, protocol)
