"""Follow objects of clips without masks: how much of a mask lies on the object?

Not part of the test suite. A JSON file says, for each clip, the box with which the object is shown
in the first frame, and the box around it in a few later ones, as drawn by hand. The share of the
mask's pixels that lie inside is what is told; a frame without a mask has 0.

Run ``python tests/benchmarks/leaks.py CLIPS``.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from options import make_parser

from edge_vos.errors import EdgeVosError
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.opening import open_source

BOXES = Path(__file__).with_name("leaks.json")
Box = tuple[int, int, int, int]


def follow(model: LoadedModel, clip: Path, first: Box, later: dict[int, Box]) -> dict[int, float]:
    """Return the part of the mask inside the box, in per cent, by frame."""
    segmenter = Segmenter(model)
    segmenter.prompt_box(first)
    inside = {}
    with open_source(str(clip)) as source:
        for frame in source:
            mask = segmenter.step(frame.image).mask > 0
            if frame.index in later:
                x, y, width, height = later[frame.index]
                on_object = np.count_nonzero(mask[y : y + height, x : x + width])
                inside[frame.index] = 100 * on_object / max(np.count_nonzero(mask), 1)
            if len(inside) == len(later):
                break
    return inside


def main() -> int:
    """Parse the command line and run."""
    parser = make_parser(__doc__)
    parser.add_argument("clips", type=Path, help="folder with NAME.mp4 of each clip")
    parser.add_argument("--boxes", type=Path, default=BOXES, help="JSON: NAME, first, later")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = {}
    try:
        model = open_bundle(options.bundle, threads=options.threads)
        for name, boxes in json.loads(options.boxes.read_text()).items():
            later = {int(index): box for index, box in boxes["later"].items()}
            found[name] = follow(model, options.clips / f"{name}.mp4", boxes["first"], later)
        model.runner.close()
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, inside in found.items():
        print(f"{name}: " + ", ".join(f"{share:.0f} in frame {i}" for i, share in inside.items()))
    every = [share for inside in found.values() for share in inside.values()]
    print(f"all: {np.mean(every):.1f} % of the masks inside")
    return 0


if __name__ == "__main__":
    sys.exit(main())
