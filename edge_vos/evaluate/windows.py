"""Cut sequences into short windows, each of which begins with its own mask.

A whole sequence hangs on single events: an object that is lost once stays lost, and moves the mean
of a few sequences by points. Windows of the same frames bound what an event can cost, so they tell
two students apart where whole sequences do not. They say nothing of endurance.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate import davis
from edge_vos.evaluate.sequences import Dataset, VideoSequence, read_annotation

SHORTEST = 3
"""Frames of a window that has one to score: the first and the last do not count."""


def window_dataset(dataset: Dataset, length: int) -> Dataset:
    """Return the data set with its sequences cut into windows, named after their first frame.

    Args:
        dataset: one of DAVIS.
        length: frames of a window; a sequence's last one may be shorter.

    Raises:
        UsageError: if the protocol is another one, or windows are too short to score.
        DatasetError: if a mask cannot be read, or no window begins with an object.
    """
    if dataset.protocol not in davis.PROTOCOLS:
        raise UsageError(
            f"--restart with {dataset.protocol}",
            f"{' or '.join(davis.PROTOCOLS)}, where all objects stand in a window's first mask",
        )
    if length < SHORTEST:
        raise UsageError(f"--restart {length}", f"{SHORTEST} frames or more")
    windows = tuple(one for sequence in dataset.sequences for one in _windows(sequence, length))
    if not windows:
        raise DatasetError(f"{dataset.root} has no window to score", "masks with an object")
    return replace(dataset, sequences=windows)


def _windows(sequence: VideoSequence, length: int) -> Iterator[VideoSequence]:
    """Cut one sequence; windows without an object in the first mask are left out."""
    for start in range(0, len(sequence.frames), length):
        masks = {
            index - start: path
            for index, path in sequence.annotations.items()
            if start <= index < start + length
        }
        if len(masks) < SHORTEST or 0 not in masks:
            continue
        if read_annotation(masks[0], sequence.protocol).any():
            frames = sequence.frames[start : start + length]
            name = f"{sequence.name}@{frames[0].stem}"
            yield replace(sequence, name=name, frames=frames, annotations=masks)
