"""Hide the objects of synthetic scenes for 30 frames, again and again: are they found again?

Not part of the test suite. Each seed is another scene with one object. It is found again when its
mean J over the 30 frames after an occlusion exceeds 0.5; a mask is false when a hidden frame has
one of at least a hundredth of the object's usual area. ``edge-vos eval DAVIS --loop 600`` does the
same to real sequences.

Run ``python tests/benchmarks/occlusion.py --seeds 10``.
"""

import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from options import make_parser

from edge_vos.errors import EdgeVosError
from edge_vos.evaluate.stability import FALSE_AREA, FOUND
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.opening import open_source
from edge_vos.synthetic.occluders import HIDDEN_FRAMES, Schedule
from edge_vos.synthetic.source import CLEAR_FRAMES

CYCLES = 3


@dataclass(frozen=True)
class Found:
    """Hold what one scene gave.

    Args:
        seed: of the scene.
        j: mean J over all frames after the first, hidden ones left out; per cent.
        occlusions: how often the object was hidden.
        regained: after how many of these it was found again.
        hidden: frames in which it was hidden.
        false: how many of these had a mask.
    """

    seed: int
    j: float
    occlusions: int
    regained: int
    hidden: int
    false: int


def follow(model: LoadedModel, seed: int) -> Found:
    """Follow the object of one scene."""
    schedule = Schedule(CLEAR_FRAMES, HIDDEN_FRAMES, CYCLES)
    frames = CLEAR_FRAMES + CYCLES * schedule.cycle_frames
    uri = f"synthetic://?objects=1&frames={frames}&seed={seed}&occlude={HIDDEN_FRAMES}"
    segmenter = Segmenter(model)
    visible_px: list[int] = []
    hidden_px: list[int] = []
    j: list[float] = []
    regain: dict[int, list[float]] = defaultdict(list)
    with open_source(uri) as source:
        for frame in source:
            if frame.truth is None:
                raise EdgeVosError(f"{uri} gave a frame without its mask")
            if frame.index == 0:
                segmenter.prompt(frame.truth)
            mask = segmenter.step(frame.image).mask
            phase, _, cycle = schedule.phase(frame.index)
            if phase == "hidden":
                hidden_px.append(int(np.count_nonzero(mask)))
                continue
            j.append(jaccard(mask > 0, frame.truth > 0))
            if phase == "clear":
                visible_px.append(int(np.count_nonzero(frame.truth)))
            elif phase == "regain":
                regain[cycle].append(j[-1])
    false = np.array(hidden_px) >= FALSE_AREA * np.mean(visible_px)
    return Found(
        seed=seed,
        j=100 * float(np.mean(j[1:])),
        occlusions=len(regain),
        regained=sum(bool(np.mean(values) > FOUND) for values in regain.values()),
        hidden=len(hidden_px),
        false=int(false.sum()),
    )


def main() -> int:
    """Parse the command line and run."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="scenes")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        model = open_bundle(options.bundle, threads=options.threads)
        found = [follow(model, seed) for seed in range(options.seeds)]
        model.runner.close()
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        print(
            f"scene {one.seed}: J {one.j:.1f}; found again after {one.regained} of "
            f"{one.occlusions}; a mask in {one.false} of {one.hidden} hidden frames"
        )
    print(
        f"all: J {np.mean([one.j for one in found]):.1f}; found again after "
        f"{sum(one.regained for one in found)} of {sum(one.occlusions for one in found)}; a mask "
        f"in {sum(one.false for one in found)} of {sum(one.hidden for one in found)} hidden frames"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
