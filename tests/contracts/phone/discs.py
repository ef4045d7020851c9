"""Frames of coloured discs, and a network that finds those."""

import cv2
import numpy as np

from edge_vos.graph import OUTPUT_NAMES, GraphSpec
from tests.contracts.phone.program import Mask, Tensors

Disc = tuple[int, int, int]
"""Its centre (x, y) and radius."""


class Discs:
    """Large frames with discs in an object's colour, and a network that finds those.

    Each call's key and value are others, so that memory shows whose they are.
    """

    size = (720, 1280)

    def __init__(self, graph: GraphSpec, background: Mask) -> None:
        self._graph = graph
        self._rng = np.random.default_rng(0)
        grey = cv2.cvtColor(background, cv2.COLOR_BGR2GRAY)
        self._grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)

    def frame(self, discs: dict[int, Disc]) -> Mask:
        """Draw object 1 in red and 2 in green."""
        frame = self._grey.copy()
        for object_id, (x, y, radius) in discs.items():
            colour = [0, 0, 0]
            colour[3 - object_id] = 255
            cv2.circle(frame, (x, y), radius, colour, cv2.FILLED)
        return np.asarray(frame, np.uint8)

    def mask(self, object_id: int, disc: Disc) -> Mask:
        x, y, radius = disc
        mask = np.zeros(self.size, np.uint8)
        return np.asarray(cv2.circle(mask, (x, y), radius, object_id, cv2.FILLED), np.uint8)

    def find(self, inputs: Tensors) -> Tensors:
        outputs = {
            name: self._rng.random(self._graph.shape(name), np.float32) for name in OUTPUT_NAMES
        }
        outputs["probability"][:] = 0
        probability, image = outputs["probability"][0], inputs["image"][0]
        cells = probability.shape[2], probability.shape[1]
        for object_id in (1, 2):
            if inputs["active"].ravel()[object_id]:
                others = np.delete(image, object_id - 1, axis=0).max(axis=0)
                colour = np.maximum(image[object_id - 1] - others, 0) / 255
                cv2.resize(colour, cells, probability[object_id], interpolation=cv2.INTER_AREA)
        probability[0] = 1 - probability.sum(axis=0)
        return outputs
