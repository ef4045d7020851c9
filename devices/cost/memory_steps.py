"""Take the steps of a live run one by one, and print what memory each leaves: ``memory`` runs it.

This is the program of a process of its own. Nothing but the standard library is imported at its
top: each library is a step.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_vos.devices.telemetry.memory import peak_rss_bytes, rss_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAME_HW = (480, 640)
STEPS = 30


def main(bundle: str, engine: str, threads: int | None, command_line: str) -> Iterator[str]:
    """Take the steps, and yield the name of each when it is done.

    Args:
        bundle: its path.
        engine: by its backend's name.
        threads: of the engine; None is its own choice.
        command_line: the module that a command of edge-vos imports first; empty for none.
    """
    yield "interpreter"
    if command_line:
        importlib.import_module(command_line)
        yield "command line"
    import numpy as np

    yield "numpy"
    import cv2  # noqa: F401

    yield "OpenCV"
    from edge_vos.engines import find_engine
    from edge_vos.runtime.backends.loaded_pages import release_loaded_pages
    from edge_vos.runtime.model import open_bundle
    from edge_vos.runtime.segmenter import Segmenter

    yield "edge-vos"
    _import_first(find_engine(engine).libraries)
    yield "engine library"
    release_loaded_pages()
    yield "given back"
    model = open_bundle(bundle, engine, threads)
    yield "weights and model"
    inputs = {
        spec.name: np.zeros(spec.shape, np.dtype(spec.dtype)) for spec in model.manifest.inputs
    }
    model.runner.run(inputs)
    del inputs
    yield "arena"
    segmenter = Segmenter(model)
    mask = np.zeros(FRAME_HW, np.uint8)
    mask[160:320, 200:360] = 1
    segmenter.prompt(mask)
    for index in range(STEPS):
        segmenter.step(_frame(index))
        if index == 0:
            release_loaded_pages()  # as the pipeline does
    yield "frames and the rest"
    model.close()


def _frame(index: int) -> "NDArray[np.uint8]":
    """Return (480, 640, 3) uint8 BGR: a bright square that moves over a ramp."""
    import numpy as np

    height, width = FRAME_HW
    ramp = np.linspace(20, 120, width, dtype=np.uint8)
    frame = np.repeat(np.broadcast_to(ramp, (height, width))[:, :, np.newaxis], 3, axis=2)
    left = 200 + 2 * index
    frame[160:320, left : left + 160] = (40, 200, 240)
    return frame


def _import_first(names: tuple[str, ...]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return


if __name__ == "__main__":
    path, name, count, extra = sys.argv[1:5]
    rows: list[tuple[str, int, int]] = []
    for step in main(str(Path(path)), name, int(count) if count else None, extra):
        rows.append((step, rss_bytes(), peak_rss_bytes()))
    print(json.dumps(rows))
