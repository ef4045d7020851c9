"""Carry given masks to the other frames of DAVIS sequences: one mask against two.

Not part of the test suite. With one mask, the first, the object is followed as ``segment`` does it,
and carried as it carries several; with two, the first and the last, it is carried from both sides.
J and F are means over the same frames, all but the first and the last, and are per cent.

Run ``python tests/benchmarks/propagate.py DAVIS --sequences bus,swing``.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from options import make_parser

from edge_vos.errors import EdgeVosError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.metrics import region_and_boundary
from edge_vos.evaluate.sequences import VideoSequence, object_ids
from edge_vos.runtime.model import LoadedModel, open_bundle
from edge_vos.runtime.propagation.follow import follow
from edge_vos.runtime.propagation.job import Job, Keyframe
from edge_vos.runtime.propagation.propagate import propagate


@dataclass(frozen=True)
class Carried:
    """Hold what one sequence gave, in per cent.

    Args:
        name: of the sequence.
        frames: that were scored.
        followed: mean of J and F with the first mask given, frame after frame.
        one: the same, carried: with what that mask teaches of the outlines.
        two: the same with the first and the last.
    """

    name: str
    frames: int
    followed: float
    one: float
    two: float


def carry(model: LoadedModel, sequence: VideoSequence) -> Carried:
    """Carry the masks of one sequence both ways."""
    last = len(sequence) - 1
    frames = last - 1
    followed = score(model, sequence, (0,), learn=False)
    one, two = (score(model, sequence, given) for given in ((0,), (0, last)))
    return Carried(sequence.name, frames, followed, one, two)


def score(
    model: LoadedModel, sequence: VideoSequence, given: Sequence[int], *, learn: bool = True
) -> float:
    """Return the mean of J and F over objects and frames when the masks of some are given."""
    keys = []
    for index in given:
        _, mask = sequence.read(index)
        if mask is None:
            raise EdgeVosError(f"{sequence.name} has no mask of frame {index}")
        keys.append(Keyframe(index, mask))
    objects = sorted(object_ids(keys[0].mask))
    values = []
    job = Job(sequence.frames, keys, 24.0, {}, {})
    behind = range(1, len(sequence))
    for frame, result in propagate(model, job) if learn else follow(model, job, keys, behind):
        _, truth = sequence.read(frame.index)
        if truth is None or frame.index in (0, len(sequence) - 1):
            continue
        for i in objects:
            pair = (result.mask == i, truth == i)
            values.append(region_and_boundary(*pair))
    return 100 * float(np.mean(values))


def main() -> int:
    """Parse the command line and run."""
    parser = make_parser(__doc__)
    parser.add_argument("davis", type=Path, help="the folder of DAVIS")
    parser.add_argument("--sequences", help="only these: A,B")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        names = options.sequences.split(",") if options.sequences else None
        dataset = read_davis(options.davis, "davis2016", names)
        model = open_bundle(options.bundle, threads=options.threads)
        carried = []
        for sequence in dataset.sequences:
            carried.append(carry(model, sequence))
            print(f"{carried[-1]}", file=sys.stderr, flush=True)
        model.runner.close()
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    followed, one, two = (
        float(np.mean([getattr(each, which) for each in carried]))
        for which in ("followed", "one", "two")
    )
    if options.json:
        found = [asdict(each) for each in carried]
        means = {"followed": followed, "one": one, "two": two}
        print(json.dumps({"sequences": found, **means}, indent=2))
        return 0
    print("J&F with          one, followed  one, carried  two, carried")
    for each in carried:
        print(f"{each.name:17} {each.followed:13.1f} {each.one:13.1f} {each.two:13.1f}")
    print(f"{'mean':17} {followed:13.1f} {one:13.1f} {two:13.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
