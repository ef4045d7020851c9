"""Write what a measurement saw: masks in DAVIS layout, and a sheet of the worst frames."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.evaluate.run import Observer, ScoredFrame
from edge_vos.runtime.masks import overlay, write_palette_png

TILE_SIZE = (270, 480)
MOST_ROWS = 12
WHITE = (255, 255, 255)


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill beside ``path``, which takes its name at the end.

    It appears complete, and not at all when something fails.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    refuse_existing(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with as_sink_error(path):
            partial.mkdir(parents=True)
        yield partial
        with as_sink_error(path):
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def mask_folder(path: Path) -> Iterator[Observer]:
    """Give an observer that writes every mask to ``path/<sequence>/<frame>.png``.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    with staged_folder(path) as partial:

        def write(scored: ScoredFrame) -> None:
            folder = partial / scored.sequence.name
            with as_sink_error(path):
                folder.mkdir(exist_ok=True)
                write_palette_png(folder / f"{scored.name}.png", scored.predicted)

        yield write


class WorstFrames:
    """Observe a measurement and keep each sequence's frame of lowest J."""

    def __init__(self) -> None:
        self._worst: dict[str, tuple[float, ScoredFrame]] = {}

    def __call__(self, scored: ScoredFrame) -> None:
        """Keep the frame if it is its sequence's worst so far."""
        if scored.j is None:
            return
        worst = self._worst.get(scored.sequence.name)
        if worst is None or scored.j < worst[0]:
            self._worst[scored.sequence.name] = scored.j, scored

    def sheet(self) -> NDArray[np.uint8]:
        """Draw the worst sequences first, twelve at most: frame, truth and prediction in a row.

        Returns:
            (H, W, 3) uint8, BGR; H is 0 when nothing was scored.
        """
        worst = sorted(self._worst.values(), key=lambda entry: entry[0])[:MOST_ROWS]
        empty = np.zeros((0, 3 * TILE_SIZE[1], 3), np.uint8)
        return np.vstack([empty, *(_row(scored) for _, scored in worst)])

    def write(self, path: Path) -> None:
        """Write the sheet as PNG, in one step.

        Raises:
            SinkError: if the path exists, cannot be written, or nothing was scored.
        """
        refuse_existing(path)
        if not self._worst:
            raise SinkError(f"{path} would be empty: no frame was scored", "masks to measure by")
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with as_sink_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(cv2.imencode(".png", self.sheet())[1].tobytes())
            partial.rename(path)


def refuse_existing(path: Path) -> None:
    """Refuse an output that exists.

    Raises:
        SinkError: if there is something at ``path``.
    """
    if path.exists():
        raise SinkError(f"{path} exists", "a new path", "Remove it, or name another")


@contextmanager
def as_sink_error(path: Path) -> Iterator[None]:
    """Raise what the file system says as an error about ``path``.

    Raises:
        SinkError: if it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}", "a path that can be written"
        ) from error


def _row(scored: ScoredFrame) -> NDArray[np.uint8]:
    """Draw the frame, the truth over it and the prediction over it."""
    height, width = scored.frame.shape[:2]
    scale = min(TILE_SIZE[0] / height, TILE_SIZE[1] / width)
    size_wh = round(width * scale), round(height * scale)
    frame = np.asarray(cv2.resize(scored.frame, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    figures = "".join(
        f"  {name} {100 * value:.1f}"
        for name, value in (("J", scored.j), ("F", scored.f))
        if value is not None
    )
    tiles = [_tile(frame, f"{scored.sequence.name} {scored.name}{figures}")]
    for mask, text in ((scored.truth, "truth"), (scored.predicted, "prediction")):
        if mask is not None:
            tiles.append(_tile(overlay(frame, _scaled(mask, size_wh)), text))
    return np.hstack(tiles)


def _tile(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    tile = np.zeros((*TILE_SIZE, 3), np.uint8)
    tile[: picture.shape[0], : picture.shape[1]] = picture
    for colour, thickness in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(tile, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness)
    return tile


def _scaled(mask: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
