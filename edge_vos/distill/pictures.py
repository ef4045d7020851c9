"""Write what a measurement saw: masks in DAVIS layout, and a sheet of the worst frames."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.evaluate import Observer, ScoredFrame
from edge_vos.errors import SinkError
from edge_vos.runtime.masks import overlay, write_palette_png

TILE_SIZE = (270, 480)
COLUMNS = 3
MOST_TILES = 12
WHITE = (255, 255, 255)


@contextmanager
def mask_folder(path: Path) -> Iterator[Observer]:
    """Give an observer that writes every mask to ``path/<sequence>/<frame>.png``.

    The folder appears when the measurement is complete, and not at all when it fails.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    refuse_existing(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")

    def write(scored: ScoredFrame) -> None:
        folder = partial / scored.sequence.name
        name = scored.sequence.frames[scored.index].stem
        with _as_sink_error(path):
            folder.mkdir(parents=True, exist_ok=True)
            write_palette_png(folder / f"{name}.png", scored.predicted)

    try:
        with _as_sink_error(path):
            partial.mkdir(parents=True)
        yield write
        with _as_sink_error(path):
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class WorstFrames:
    """Observe a measurement and keep each sequence's frame of lowest J."""

    def __init__(self) -> None:
        self._worst: dict[str, ScoredFrame] = {}

    def __call__(self, scored: ScoredFrame) -> None:
        """Keep the frame if it is its sequence's worst so far."""
        if scored.j is None:
            return
        worst = self._worst.get(scored.sequence.name)
        if worst is None or worst.j is None or scored.j < worst.j:
            self._worst[scored.sequence.name] = scored

    def sheet(self) -> NDArray[np.uint8]:
        """Draw the worst sequences first, twelve at most: masks in colour, the truth in white.

        Returns:
            (H, W, 3) uint8, BGR.
        """
        frames = sorted(self._worst.values(), key=lambda scored: scored.j or 0.0)[:MOST_TILES]
        tiles = [_tile(scored) for scored in frames]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
        return np.vstack(rows)

    def write(self, path: Path) -> None:
        """Write the sheet as PNG, in one step.

        Raises:
            SinkError: if the path exists or cannot be written.
        """
        refuse_existing(path)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with _as_sink_error(path):
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
def _as_sink_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}", "a path that can be written"
        ) from error


def _tile(scored: ScoredFrame) -> NDArray[np.uint8]:
    height, width = scored.frame.shape[:2]
    scale = min(TILE_SIZE[0] / height, TILE_SIZE[1] / width)
    size_wh = round(width * scale), round(height * scale)
    frame = np.asarray(cv2.resize(scored.frame, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    drawn = overlay(frame, _scaled(scored.predicted, size_wh))
    if scored.truth is not None:
        truth = _scaled(scored.truth, size_wh)
        for object_id in np.unique(truth[truth > 0]):
            layer = (truth == object_id).astype(np.uint8)
            outlines, _ = cv2.findContours(layer, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, outlines, -1, WHITE, 1)
    tile = np.zeros((*TILE_SIZE, 3), np.uint8)
    tile[: size_wh[1], : size_wh[0]] = drawn
    name = f"{scored.sequence.name} {scored.sequence.frames[scored.index].stem}"
    text = f"{name}  J {100 * (scored.j or 0.0):.1f}"
    for colour, thickness in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(tile, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness)
    return tile


def _scaled(mask: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
