"""Show objects by a box and by clicks to MobileSAM, as ``edge-vos eval --prompt`` shows them.

Not part of the test suite. Boxes, clicks and means are those of ``edge_vos.evaluate.prompts``, so
the figures compare with the ones that the command prints for the prompt head.

Run ``python tests/benchmarks/prompt_peer.py DAVIS --packages build/mobile-sam``; README.md beside
this file says what has to be in that folder.
"""

import argparse
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_vos.errors import EdgeVosError, UsageError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.prompts import score_prompts
from edge_vos.runtime.prompts.find_object import ObjectFinder
from edge_vos.runtime.prompts.prompt import Prompt

Mask = NDArray[np.uint8]


class MobileSam(ObjectFinder):
    """Turn prompts into masks as MobileSAM's own predictor does (https://arxiv.org/abs/2306.14289).

    A box and several clicks give one mask. A single click gives three, of which the one with the
    best predicted overlap is taken. Further clicks get the logits of the mask before.

    Args:
        predictor: a ``mobile_sam.SamPredictor``.
    """

    def __init__(self, predictor: Any) -> None:
        super().__init__()
        self._predictor = predictor
        self._frame: Mask | None = None
        self._logits: NDArray[np.float32] | None = None

    def find(self, frame: Mask, prompt: Prompt, current: Mask | None = None) -> Mask:
        """Find the object; see ``ObjectFinder``."""
        if frame is not self._frame:
            self._predictor.set_image(np.ascontiguousarray(frame[..., ::-1]))
            self._frame = frame
        box = None
        if prompt.boxes_xywh:
            x, y, width, height = prompt.boxes_xywh[0]
            box = np.array([x, y, x + width, y + height])
        clicks = len(prompt.points)
        masks, overlaps, logits = self._predictor.predict(
            np.array(prompt.points) if clicks else None,
            np.array(prompt.labels) if clicks else None,
            box=box,
            mask_input=None if current is None else self._logits,
            multimask_output=clicks == 1,
        )
        best = int(overlaps.argmax())
        self._logits = logits[best : best + 1]
        return np.asarray(masks[best], np.uint8)


def load(packages: Path) -> MobileSam:
    """Load the published weights.

    Args:
        packages: the folder into which the packages were installed.

    Raises:
        UsageError: if the weights are not there.
    """
    weights = packages / "ISAT" / "checkpoints" / "mobile_sam.pt"
    if not weights.is_file():
        raise UsageError(f"no {weights}", "MobileSAM", "See tests/benchmarks/README.md")
    sys.path[:0] = [str(packages), str(packages / "ISAT" / "segment_any")]
    # torchvision's wheel brings kernels for CUDA, without which it cannot be imported unless its
    # operators are declared; and the generator of masks for whole pictures is not needed.
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    unused: Any = types.ModuleType("mobile_sam.automatic_mask_generator")
    unused.SamAutomaticMaskGenerator = None
    sys.modules[unused.__name__] = unused
    from mobile_sam import SamPredictor, sam_model_registry

    return MobileSam(SamPredictor(sam_model_registry["vit_t"](checkpoint=str(weights))))


def main() -> int:
    """Measure it and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path, help="the folder of DAVIS, as it is unpacked")
    parser.add_argument("--packages", type=Path, required=True, help="where MobileSAM is")
    parser.add_argument("--sequences", default="", help="only these, separated by commas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted = options.sequences.split(",") if options.sequences else None
    try:
        dataset = read_davis(options.dataset, sequences=wanted)
        scores = score_prompts(dataset, load(options.packages))
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(scores.as_dict()) if options.json else "\n".join(scores.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
