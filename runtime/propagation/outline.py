"""Learn, from the given masks of one video, how the network's outlines have to be moved.

A few small perceptrons, trained anew for each object and stretch, look at colours, at the network's
own probability and at the place in the object. The mean of what they say is added to the network's
log-odds of a pixel near the outline. Where they know nothing they add nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LONGEST_SIDE_PX = 854
"""A larger picture is looked at in this size."""

REACH_PX = 24.0
"""How far from the network's outline a pixel may change."""

# Batches are so small that no library divides their products among threads, which would wait for
# each other longer than they work.
_NETWORKS, _STEPS, _BATCH, _HIDDEN = 4, 2000, 256, 32
_RATE, _DECAY, _NOISE = 2e-3, 1e-4, 0.1
_MOST_SAMPLES = 600_000
_SHAKEN = 1 << 14
_SURE = 8.0  # log-odds beyond the reach
_LOGIT = 10  # the place of the network's log-odds among the features


@dataclass(frozen=True)
class Lesson:
    """Hold the pixels near one outline of which the truth is known.

    Args:
        features: (N, F) float32.
        truth: (N,) float32: 1 on the object.
    """

    features: Array
    truth: Array


class Outline:
    """Know how to mend the outlines of one object.

    Args:
        weights: of the three layers of K perceptrons, (K, inputs, outputs) float32, each followed
            by its offsets, (K, 1, outputs) float32.
        mean: (F,) float32 of the features.
        spread: (F,) float32, likewise.
    """

    def __init__(self, weights: list[Array], mean: Array, spread: Array) -> None:
        self._weights, self._mean, self._spread = weights, mean, spread

    @classmethod
    def learn(cls, lessons: Sequence[Lesson]) -> "Outline":
        """Train on what is known; the same lessons give the same outline.

        Args:
            lessons: at least one, with at least one pixel.
        """
        random = np.random.default_rng(0)
        features = np.concatenate([lesson.features for lesson in lessons])
        truth = np.concatenate([lesson.truth for lesson in lessons])
        if len(features) > _MOST_SAMPLES:
            kept = random.choice(len(features), _MOST_SAMPLES, replace=False)
            features, truth = features[kept], truth[kept]
        odds = features[:, _LOGIT].copy()
        mean, spread = features.mean(axis=0), features.std(axis=0) + np.float32(1e-3)
        scaled = (features - mean) / spread
        count = features.shape[1]
        sizes = ((count, _HIDDEN, 2 / count), (_HIDDEN, _HIDDEN, 2 / _HIDDEN), (_HIDDEN, 1, 0.01))
        weights: list[Array] = []
        for rows, columns, variance in sizes:
            drawn = random.normal(0, np.sqrt(variance), (_NETWORKS, rows, columns))
            weights += [drawn.astype(np.float32), np.zeros((_NETWORKS, 1, columns), np.float32)]
        _train(weights, scaled, odds, truth, random)
        return cls(weights, mean, spread)

    def mend(self, image: NDArray[np.uint8], chance: Array, mask: NDArray[np.bool_]) -> Array:
        """Return the log-odds of the object in every pixel of a frame.

        Args:
            image: (H, W, 3) uint8, BGR.
            chance: (H, W) float32 in [0, 1], the network's probability of the object.
            mask: (H, W) bool, what it was taken for.

        Returns:
            (H, W) float32; positive on the object.
        """
        small, likely, taken = _shrink(image, chance, mask)
        found, near = describe(small, likely, taken)
        odds = np.where(taken, np.float32(_SURE), np.float32(-_SURE))
        pixels = found[near]
        scaled = (pixels - self._mean) / self._spread
        # One after the other: all at once would need several times the memory.
        networks = zip(*self._weights, strict=True)
        changes = [_forward(network, scaled)[2][:, 0] for network in networks]
        change = np.mean(changes, axis=0, dtype=np.float32)
        odds[near] = np.clip(change + pixels[:, _LOGIT], -_SURE, _SURE)
        odds = cv2.GaussianBlur(odds, (0, 0), 1.0)
        if odds.shape != mask.shape:
            odds = cv2.resize(odds, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(odds, np.float32)


def make_lesson(
    image: NDArray[np.uint8],
    chance: Array,
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
) -> Lesson:
    """Describe the pixels of a frame whose truth is known, near the outline and where it is wrong.

    Args:
        image: (H, W, 3) uint8, BGR.
        chance: (H, W) float32 in [0, 1], the network's probability of the object.
        mask: (H, W) bool, what it was taken for.
        truth: (H, W) bool.
    """
    small, likely, taken = _shrink(image, chance, mask)
    right = truth
    if right.shape != taken.shape:
        resized = cv2.resize(truth.view(np.uint8), taken.shape[::-1], interpolation=cv2.INTER_AREA)
        right = resized > 0
    found, near = describe(small, likely, taken)
    near |= right != taken
    return Lesson(found[near], right[near].astype(np.float32))


def describe(
    image: NDArray[np.uint8], chance: Array, mask: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_]]:
    """Describe every pixel, and say which are near the outline.

    Returns:
        (H, W, F) float32, and (H, W) bool.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(np.float32)
    colours: Array = np.asarray(lab / 64 - 2, np.float32)
    channels: list[NDArray[Any]] = [colours[..., k] for k in range(3)]
    for sigma in (2, 6):
        blurred = cv2.GaussianBlur(colours, (0, 0), sigma)
        channels += [blurred[..., k] for k in range(3)]
    light = colours[..., 0]
    variance = cv2.GaussianBlur(light**2, (0, 0), 2) - cv2.GaussianBlur(light, (0, 0), 2) ** 2
    channels.append(2 * np.sqrt(np.maximum(variance, 0)))
    bounded = np.clip(chance, 0.01, 0.99)
    channels.append(np.log(bounded / (1 - bounded)))
    channels += [cv2.GaussianBlur(chance, (0, 0), sigma) * 4 - 2 for sigma in (4, 12)]
    inside = mask.view(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    channels += [np.clip(depth, -REACH_PX, REACH_PX) / 8, np.clip(depth, -4, 4) / 2]
    left, top, width, height = cv2.boundingRect(inside)
    rows, columns = np.indices(mask.shape, np.float32)
    channels += [2 * (columns - left) / max(width, 1) - 1, 2 * (rows - top) / max(height, 1) - 1]
    channels += _likeness(colours, chance)
    found = np.stack([np.asarray(channel, np.float32) for channel in channels], axis=-1)
    return found, np.abs(depth) < REACH_PX


def _likeness(colours: Array, chance: Array) -> list[Array]:
    """Return how much nearer each colour is to the object's around it than to the background's."""
    on = cv2.GaussianBlur(chance, (0, 0), 12) + 1e-3
    off = cv2.GaussianBlur(1 - chance, (0, 0), 12) + 1e-3
    found = []
    for k in range(3):
        one = colours[..., k]
        object_like = cv2.GaussianBlur(one * chance, (0, 0), 12) / on
        ground_like = cv2.GaussianBlur(one * (1 - chance), (0, 0), 12) / off
        found.append(2 * (np.abs(one - object_like) - np.abs(one - ground_like)))
    return found


def _shrink(
    image: NDArray[np.uint8], chance: Array, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], Array, NDArray[np.bool_]]:
    height, width = mask.shape
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return image, chance, mask
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    area = cv2.INTER_AREA
    small = np.asarray(cv2.resize(image, size, interpolation=area), np.uint8)
    likely = np.asarray(cv2.resize(chance, size, interpolation=area), np.float32)
    taken = cv2.resize(mask.astype(np.float32), size, interpolation=area) >= 0.5
    return small, likely, taken


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
