"""Draw what a student makes of a batch, to be looked at while it trains."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from edge_vos.distill.data.clips import Batch
from edge_vos.distill.rollout import rollout
from edge_vos.evaluate.pictures import WHITE
from edge_vos.model.student import Student
from edge_vos.runtime.masks import overlay

Image = NDArray[np.uint8]


def sample_sheet(student: Student, batch: Batch) -> Image:
    """Follow the clips of a batch and draw one a row.

    From left to right: the prompt, what the student makes of each later frame, and what it was to
    make of the last one, where the batch knows.

    Args:
        student: in evaluation mode.
        batch: clips of n frames.

    Returns:
        (clips * H, (n + 1) * W, 3) uint8, BGR; n columns if the batch has no labels.
    """
    with torch.no_grad():
        predictions = rollout(student, batch)
    masks = [
        F.interpolate(prediction.probability, batch.images.shape[2:4], mode="bilinear").argmax(1)
        for prediction in predictions
    ]
    found = torch.stack(masks, 1).to("cpu", torch.uint8).numpy()
    rows = []
    for clip, images in enumerate(batch.images[..., ::-1]):
        tiles = [_tile(images[0], batch.prompt[clip], "prompt")]
        tiles += [
            _tile(image, mask, f"frame {number}")
            for number, (image, mask) in enumerate(zip(images[1:], found[clip], strict=True), 1)
        ]
        if batch.labels is not None:
            tiles.append(_tile(images[-1], batch.labels[clip, -1], "target"))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _tile(image: Image, mask: Image, text: str) -> Image:
    drawn = overlay(np.ascontiguousarray(image), mask)
    for colour, thickness in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(drawn, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness)
    return drawn
