"""Tell an object from what was beside it when it was shown, cell by cell.

The network finds an object by what its cells look like, and spreads to things that look alike: a
ball that the dog sniffs at, shorts as black as it. Most of these were to be seen, as background, in
the frame in which the object was shown. A ridge regression on the keys of that frame, the object
against all else, sees differences that attention to the same keys does not: it weighs each
direction by how much it varies. After the target models of Robinson et al., Learning Fast and
Robust Target Models for Video Object Segmentation, 2020, with a closed form in place of their
layers and steps.
"""

from collections.abc import Collection, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Cells = NDArray[np.bool_]

RIDGE = 0.03
"""Of the features' mean square: how little small differences count."""

DOUBT = -0.35
"""A cell is not the object's if its score is lower: 1 was the object, -1 what was beside it."""

DOUBT_PART = -0.2
"""A part of a mask, but the largest, is not the object's if its mean score is lower."""

FILLED = 0.5
"""A cell counts as the object's if more than this part of it is."""

APART = 0.05
"""A cell was beside the object if less than this part of it, and of each cell around it, is the
object's: the mask that a box or click gives is not exact."""

GROUND = 0.95
"""A cell is background, and no more than that, from this part on."""


_AROUND = np.ones((3, 3), np.uint8)


class TargetModel:
    """Hold what tells each object from the rest of the frames in which it was shown."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._weights: dict[int, Field] = {}

    def clear(self) -> None:
        """Forget all objects."""
        self._sums.clear()
        self._weights.clear()

    def forget(self, object_id: int) -> None:
        """Forget an object."""
        self._sums.pop(object_id, None)
        self._weights.pop(object_id, None)

    def learn(self, looks: Sequence[tuple[Field, Field]], object_ids: Collection[int]) -> None:
        """Learn what objects differ in from all else that a frame shows, besides what is known.

        Args:
            looks: key (Ck, h, w) float32 and probability (K, 4 h, 4 w) float32 of each look at
                the frame.
            object_ids: that were shown in it.
        """
        features = np.concatenate([_features(key) for key, _ in looks])
        for object_id in object_ids:
            shares = [_share(p[object_id], key) for key, p in looks]
            share = np.concatenate([part.ravel() for part in shares])
            around = np.concatenate([cv2.dilate(part, _AROUND).ravel() for part in shares])
            inside, beside = share > FILLED, around < APART
            if not inside.any() or not beside.any():
                continue
            weight = np.where(inside, 0.5 / inside.sum(), np.where(beside, 0.5 / beside.sum(), 0))
            weighed = (features * weight[:, np.newaxis]).astype(np.float64)
            gram = features.T.astype(np.float64) @ weighed
            gram[np.diag_indices_from(gram)] += RIDGE * float(np.square(features).mean())
            moment = weighed.T @ (2.0 * share - 1.0)
            if object_id in self._sums:
                known_gram, known_moment = self._sums[object_id]
                gram, moment = gram + known_gram, moment + known_moment
            self._sums[object_id] = gram, moment
            self._weights[object_id] = np.linalg.solve(gram, moment).astype(np.float32)

    def doubted(
        self, key: Field, probability: Field, object_ids: Collection[int]
    ) -> dict[int, Cells]:
        """Return the cells of each object that look like what was beside it.

        Cells are judged with the cells around them, and each part of the mask but the largest as a
        whole.

        Args:
            key: (Ck, h, w) float32, of the frame.
            probability: (K, 4 h, 4 w) float32.
            object_ids: to look at.

        Returns:
            (h, w) bool by object id, of those of which some cell is in doubt.
        """
        found: dict[int, Cells] = {}
        for object_id in object_ids:
            if object_id not in self._weights:
                continue
            share = _share(probability[object_id], key)
            if share.max() <= FILLED:
                continue
            own = np.where(share > FILLED, share, 0).astype(np.float32)
            score = _scores(key, self._weights[object_id]) * own
            cells = (own > 0) & (cv2.blur(score, (3, 3)) < DOUBT * cv2.blur(own, (3, 3)))
            count, labels = cv2.connectedComponents((own > 0).astype(np.uint8))
            parts = [labels == number for number in range(1, count)]
            for part in sorted(parts, key=lambda part: own[part].sum())[:-1]:
                cells |= part & (score[part].sum() < DOUBT_PART * own[part].sum())
            if cells.any():
                found[object_id] = cells
        return found


def take_away(outputs: dict[str, Field], doubted: dict[int, Cells]) -> None:
    """Give cells of objects to the background, in place, in the mask and in what is remembered.

    Args:
        outputs: of a step: ``probability`` (1, K, 4 h, 4 w) and ``value`` (1, Cv, h, w), in which
            each identity has Cv / K channels of its own.
        doubted: (h, w) bool by object id.
    """
    probability, value = outputs["probability"][0], outputs["value"][0]
    channels = len(value) // len(probability)
    height, width = value.shape[1:]
    ground = cv2.resize(probability[0], (width, height), interpolation=cv2.INTER_AREA) >= GROUND
    for object_id, cells in doubted.items():
        part = cv2.resize(cells.astype(np.float32), probability.shape[:0:-1])
        taken = probability[object_id] * part
        probability[object_id] -= taken
        probability[0] += taken
        if ground.any():
            for number in (0, object_id):
                rows = slice(number * channels, (number + 1) * channels)
                value[rows, cells] = value[rows, ground].mean(axis=1, keepdims=True)


def _features(key: Field) -> Field:
    """Return (h * w, 2 Ck + 1) float32: the key of each cell, the mean around it, and 1."""
    around = np.stack([cv2.blur(one, (3, 3), borderType=cv2.BORDER_REPLICATE) for one in key])
    cells = np.concatenate([key, around]).reshape(2 * len(key), -1).T
    return np.pad(cells, ((0, 0), (0, 1)), constant_values=1)


def _scores(key: Field, weights: Field) -> Field:
    """Return (h, w) float32: features times weights, with one blur in place of one a channel."""
    pair = weights[:-1].reshape(2, -1) @ key.reshape(len(key), -1)
    own, around = pair.reshape(2, *key.shape[1:])
    spread = cv2.blur(around, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(own + spread + weights[-1], np.float32)


def _share(probability: Field, key: Field) -> Field:
    """Return (h, w) float32: the part of each cell that is an object's."""
    size_wh = key.shape[2], key.shape[1]
    return np.asarray(cv2.resize(probability, size_wh, interpolation=cv2.INTER_AREA), np.float32)
