"""Learn, from the given masks of one video, how the network's outlines have to be moved.

A few small perceptrons, trained anew for each object, look at colours and at the network's own
probability and keys. The mean of what they say is added to the network's log-odds of a pixel near
the outline. Where they know nothing they add nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.outlines.key_axes import KeyAxes

Array = NDArray[np.float32]

LONGEST_SIDE_PX = 854
"""A larger picture is looked at in this size."""

REACH_PX = 16.0
"""How far from the network's outline a pixel may change."""

MARGIN_PX = 36
"""What lies so far from such a pixel still describes it."""

# Batches are so small that no library divides their products among threads, which would wait for
# each other longer than they work.
_NETWORKS, _STEPS, _BATCH, _HIDDEN = 4, 2000, 256, 32
_RATE, _DECAY = 2e-3, 1e-4
_NOISE, _KEY_NOISE = 0.2, 1.2  # added to features, in their deviations; keys are coarse
_MOST_SAMPLES = 600_000
_SHAKEN = 1 << 14
_SURE = 8.0  # log-odds beyond the reach
_WIDE = 4  # pixels of deviation from which a blur is made in a smaller size
_LOGIT, _FIRST_KEY = 10, 18  # places of the network's log-odds and of keys among the features


@dataclass(frozen=True)
class Clues:
    """Hold what a part of a frame shows of one object.

    Args:
        image: (H, W, 3) uint8, BGR.
        chance: (H, W) float32 in [0, 1], the network's probability of the object.
        mask: (H, W) bool, what it was taken for.
        keys: (A, H, W) float32, the network's keys along the axes.
        scale: it is looked at so much smaller, at most 1.
    """

    image: NDArray[np.uint8]
    chance: Array
    mask: NDArray[np.bool_]
    keys: Array
    scale: float = 1.0


@dataclass(frozen=True)
class Lesson:
    """Hold the pixels near one outline of which the truth is known.

    Args:
        features: (N, F) float16, for there are many.
        truth: (N,) float32: 1 on the object.
    """

    features: NDArray[np.float16]
    truth: Array


class Outline:
    """Know how to mend the outlines of one object.

    Args:
        weights: of the three layers of K perceptrons, (K, inputs, outputs) float32, each followed
            by its offsets, (K, 1, outputs) float32.
        axes: along which keys were described.
    """

    def __init__(self, weights: list[Array], axes: KeyAxes) -> None:
        self._weights, self.axes = weights, axes

    @classmethod
    def learn(cls, lessons: Sequence[Lesson], axes: KeyAxes) -> "Outline":
        """Train on what is known; the same lessons give the same outline.

        Args:
            lessons: at least one, with at least one pixel.
            axes: along which they describe keys.
        """
        random = np.random.default_rng(0)
        truth = np.concatenate([lesson.truth for lesson in lessons])
        features = np.concatenate([lesson.features for lesson in lessons])
        if len(features) > _MOST_SAMPLES:
            kept = random.choice(len(features), _MOST_SAMPLES, replace=False)
            features, truth = features[kept], truth[kept]
        scaled = features.astype(np.float32)
        odds = scaled[:, _LOGIT].copy()
        mean, spread = scaled.mean(axis=0), scaled.std(axis=0) + np.float32(1e-3)
        scaled -= mean
        scaled /= spread
        count = scaled.shape[1]
        sizes = ((count, _HIDDEN, 2 / count), (_HIDDEN, _HIDDEN, 2 / _HIDDEN), (_HIDDEN, 1, 0.01))
        weights: list[Array] = []
        for rows, columns, variance in sizes:
            drawn = random.normal(0, np.sqrt(variance), (_NETWORKS, rows, columns))
            weights += [drawn.astype(np.float32), np.zeros((_NETWORKS, 1, columns), np.float32)]
        _train(weights, scaled, odds, truth, random)
        weights[0] /= spread[:, np.newaxis]  # from here on features come as they are
        weights[1] -= (mean @ weights[0])[:, np.newaxis]
        return cls(weights, axes)

    def mend(self, clues: Clues) -> Array:
        """Return the log-odds of the object in every pixel, (H, W) float32; positive on it."""
        small = _shrink(clues)
        found, near = describe(small)
        odds = np.where(small.mask, np.float32(_SURE), np.float32(-_SURE))
        odds[near] = np.clip(self._change(found) + found[:, _LOGIT], -_SURE, _SURE)
        odds = cv2.GaussianBlur(odds, (0, 0), 1.0)
        size = clues.mask.shape[::-1]
        if odds.shape != clues.mask.shape:
            odds = cv2.resize(odds, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(odds, np.float32)

    def _change(self, pixels: Array) -> Array:
        """Return what is added to the log-odds of (N, F) pixels."""
        change = np.empty(len(pixels), np.float32)
        for start in range(0, len(pixels), _BATCH):
            few = pixels[start : start + _BATCH]
            change[start : start + _BATCH] = _forward(self._weights, few)[2].mean(axis=0)[:, 0]
        return change


def make_lesson(clues: Clues, truth: NDArray[np.bool_]) -> Lesson:
    """Describe pixels whose truth is known, near the outline and where it is wrong.

    Args:
        clues: what is seen of the object.
        truth: (H, W) bool.
    """
    small, right = _shrink(clues), truth
    if right.shape != small.mask.shape:
        size = small.mask.shape[::-1]
        resized = cv2.resize(truth.view(np.uint8), size, interpolation=cv2.INTER_AREA)
        right = resized > 0
    found, near = describe(small, right != small.mask)
    return Lesson(found.astype(np.float16), right[near].astype(np.float32))


def describe(
    clues: Clues, wrong: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """Describe the pixels near an outline, and those that are wrong.

    Where a pixel lies in the object is left out: it would be learnt by heart.

    Returns:
        (N, F) float32, and which pixels these are: (H, W) bool.
    """
    inside, chance = clues.mask.view(np.uint8), clues.chance
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    near = np.abs(depth) < REACH_PX
    if wrong is not None:
        near |= wrong
    lab = cv2.cvtColor(clues.image, cv2.COLOR_BGR2LAB)
    colours = np.asarray(lab.astype(np.float32) / 64 - 2, np.float32)
    light = colours[..., 0]
    variance = _blur(np.square(light), 2) - _blur(light, 2) ** 2
    bounded = np.clip(chance, 0.01, 0.99)
    maps = [
        colours,
        _blur(colours, 2),
        _blur(colours, 6),
        2 * np.sqrt(np.maximum(variance, 0)),
        np.log(bounded / (1 - bounded)),
        _blur(chance, 4) * 4 - 2,
        _blur(chance, 12) * 4 - 2,
        np.clip(depth, -REACH_PX, REACH_PX) / 8,
        np.clip(depth, -4, 4) / 2,
        _likeness(colours, chance),
    ]
    count = np.count_nonzero(near)
    described = [each[near].reshape(count, -1) for each in maps]
    return np.column_stack([*described, clues.keys[:, near].T]).astype(np.float32), near


def _likeness(colours: Array, chance: Array) -> Array:
    """Return how much nearer each colour is to the object's around it than to the background's."""
    weighted = colours * chance[..., np.newaxis]
    on, both, object_both = (_small_blur(each, 12) for each in (chance, colours, weighted))
    object_like = object_both / (on + 1e-3)[..., np.newaxis]
    ground_like = (both - object_both) / (1 - on + 1e-3)[..., np.newaxis]
    size = chance.shape[::-1]
    object_like, ground_like = (
        cv2.resize(each, size, interpolation=cv2.INTER_LINEAR)
        for each in (object_like, ground_like)
    )
    return np.asarray(2 * (np.abs(colours - object_like) - np.abs(colours - ground_like)))


def _blur(values: Array, sigma: float) -> Array:
    """Blur a map, (H, W) or (H, W, C); a wide blur is made in a smaller size, for less work."""
    if sigma < _WIDE:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    small, size = _small_blur(values, sigma), values.shape[1::-1]
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _small_blur(values: Array, sigma: float) -> Array:
    """Blur a map and leave it in the size in which that is little work."""
    shrink = sigma / _WIDE * 2
    height, width = (max(round(side / shrink), 1) for side in values.shape[:2])
    small = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / shrink), np.float32)


def _shrink(clues: Clues) -> Clues:
    if clues.scale >= 1:
        return clues
    height, width = (max(round(side * clues.scale), 1) for side in clues.mask.shape)

    def small(picture: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))

    mask = small(clues.mask.astype(np.float32)) >= 0.5
    keys = np.stack([small(key) for key in clues.keys])
    return Clues(small(clues.image), small(clues.chance), mask, keys)


def _forward(weights: Sequence[Array], features: Array) -> tuple[Array, Array, Array]:
    """Return what the three layers give: (N, outputs), or (K, N, outputs) of K perceptrons."""
    first = np.maximum(features @ weights[0] + weights[1], 0)
    second = np.maximum(first @ weights[2] + weights[3], 0)
    return first, second, second @ weights[4] + weights[5]


def _train(
    weights: list[Array],
    features: Array,
    odds: Array,
    truth: Array,
    random: np.random.Generator,
) -> None:
    """Minimise the cross entropy of the mended odds by Adam, in place."""
    mean, power = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    noise = random.normal(0, _NOISE, (_SHAKEN, features.shape[1])).astype(np.float32)
    noise[:, _FIRST_KEY:] *= _KEY_NOISE / _NOISE
    for step in range(1, _STEPS + 1):
        drawn = random.integers(0, len(features), (_NETWORKS, _BATCH))
        shaken = int(random.integers(0, _SHAKEN - _BATCH))
        batch = features[drawn] + noise[shaken : shaken + _BATCH]
        first, second, change = _forward(weights, batch)
        chance = 1 / (1 + np.exp(-(change + odds[drawn][..., np.newaxis])))
        error = ((chance - truth[drawn][..., np.newaxis]) / _BATCH).astype(np.float32)
        to_second = (error @ weights[4].mT) * (second > 0)
        to_first = (to_second @ weights[2].mT) * (first > 0)
        slopes = []
        for inputs, wanted in ((batch, to_first), (first, to_second), (second, error)):
            slopes += [inputs.mT @ wanted, wanted.sum(axis=1, keepdims=True)]
        rate = _RATE * (1 - step / _STEPS)
        for k, slope in enumerate(slopes):
            mean[k] += 0.1 * (slope - mean[k])
            power[k] += 0.01 * (slope**2 - power[k])
            size = np.sqrt(power[k] / (1 - 0.99**step)) + 1e-8
            weights[k] -= rate * (mean[k] / (1 - 0.9**step) / size + _DECAY * weights[k])
