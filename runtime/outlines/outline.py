"""Learn, from the given masks of one video, how the network's outlines have to be moved.

A small perceptron, trained anew for each object, looks at colours and at the network's own
probability and keys. What it says is added to the network's log-odds of a pixel near the outline.
Where it knows nothing it adds nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.runtime.outlines.key_axes import KeyAxes

Array = NDArray[np.float32]

LONGEST_SIDE_PX = 854
"""A larger picture is looked at in this size."""

REACH_PX = 12.0
"""How far from the network's outline a pixel may change."""

MARGIN_PX = 36
"""What lies so far from such a pixel still describes it."""

_STEPS, _HIDDEN = 2000, 64
# Pixels in a group, and groups that are learnt from and mended at once. A group is so small that no
# library divides its products among threads, which would wait for each other longer than they work.
_GROUP, _BATCH, _AT_ONCE = 64, 4, 32
_RATE, _DECAY = 2e-3, 1e-4
_NOISE, _KEY_NOISE = 0.2, 1.2  # added to features, in their deviations; keys are coarse
_MOST_SAMPLES = 600_000
_SHAKEN = 1 << 14
_LOOSE_PX = 0.9  # 0.7 at most where masks are exact, and 1.1 or more where they are 2 too large
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
        depth: (N,) float16, pixels that they lie inside the true outline; negative beside it.
    """

    features: NDArray[np.float16]
    depth: NDArray[np.float16]


class Outline:
    """Know how to mend the outlines of one object.

    Args:
        weights: of the perceptron's three layers, (inputs, outputs) float32, each followed by its
            offsets, (outputs,) float32.
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
        depth = np.concatenate([lesson.depth for lesson in lessons])
        features = np.concatenate([lesson.features for lesson in lessons])
        truth = _tightened(depth, features[:, _LOGIT])
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
            drawn = random.normal(0, np.sqrt(variance), (rows, columns))
            weights += [drawn.astype(np.float32), np.zeros(columns, np.float32)]
        _train(weights, scaled, odds, truth, random)
        weights[0] /= spread[:, np.newaxis]  # from here on features come as they are
        weights[1] -= mean @ weights[0]
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
        count, features = pixels.shape
        groups = np.zeros((-(-count // _GROUP), _GROUP, features), np.float32)
        groups.reshape(-1, features)[:count] = pixels
        change = np.empty(groups.shape[:2], np.float32)
        for start in range(0, len(groups), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            change[some] = _forward(self._weights, groups[some])[2][..., 0]
        return change.reshape(-1)[:count]


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
    return Lesson(found.astype(np.float16), _depth(right)[near].astype(np.float16))


def _depth(mask: NDArray[np.bool_]) -> Array:
    """Return how many pixels each lies inside an outline; what lies beside it is negative."""
    inside = mask.view(np.uint8)
    within, beside = (cv2.distanceTransform(one, cv2.DIST_L2, 3) for one in (inside, 1 - inside))
    return np.asarray(within - beside, np.float32)


def _tightened(depth: NDArray[np.float16], odds: NDArray[np.float16]) -> Array:
    """Return the truth, 1 on the object; of a mask that is drawn loosely what lies inside it.

    A network that is trained on exact masks finds the object within a loose one. So that is told by
    how far it stays inside on the whole.
    """
    on = depth > 0
    outermost = np.count_nonzero(on & (depth < 1.2))
    loose_px = (np.count_nonzero(on) - np.count_nonzero(odds > 0)) / max(outermost, 1)
    if loose_px > _LOOSE_PX:
        on = depth > loose_px + 0.5  # a pixel at the outline has a depth of 1
    return on.astype(np.float32)


def describe(
    clues: Clues, wrong: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """Describe the pixels near an outline, and those that are wrong.

    Where a pixel lies in the object is left out: it would be learnt by heart.

    Returns:
        (N, F) float32, and which pixels these are: (H, W) bool.
    """
    chance, depth = clues.chance, _depth(clues.mask)
    near = np.abs(depth) < REACH_PX
    if wrong is not None:
        near |= wrong
    there = np.flatnonzero(near)

    def at(picture: Array) -> Array:
        return picture.reshape(near.size, -1).take(there, axis=0)

    lab = cv2.cvtColor(clues.image, cv2.COLOR_BGR2LAB)
    colours = np.asarray(lab.astype(np.float32) / 64 - 2, np.float32)
    around = _blur(colours, 2)
    own, average = at(colours), at(around)
    variance = at(_blur(np.square(colours[..., 0]), 2)) - np.square(average[:, :1])
    bounded, deep = np.clip(at(chance), 0.01, 0.99), at(depth)
    object_like, ground_like = (at(like) for like in _likes(colours, chance))
    maps = [
        own,
        average,
        at(_blur(colours, 6)),
        2 * np.sqrt(np.maximum(variance, 0)),
        np.log(bounded / (1 - bounded)),
        at(_blur(chance, 4)) * 4 - 2,
        at(_blur(chance, 12)) * 4 - 2,
        np.clip(deep, -REACH_PX, REACH_PX) / 8,
        np.clip(deep, -4, 4) / 2,
        2 * (np.abs(own - object_like) - np.abs(own - ground_like)),
        clues.keys.reshape(len(clues.keys), -1).take(there, axis=1).T,
    ]
    return np.concatenate(maps, axis=1, dtype=np.float32), near


def _likes(colours: Array, chance: Array) -> Iterator[Array]:
    """Return the object's colour around each pixel, and the background's."""
    weighted = colours * chance[..., np.newaxis]
    on, both, object_both = (_small_blur(each, 12) for each in (chance, colours, weighted))
    object_like = object_both / (on + 1e-3)[..., np.newaxis]
    ground_like = (both - object_both) / (1 - on + 1e-3)[..., np.newaxis]
    size = chance.shape[::-1]
    for each in (object_like, ground_like):
        yield np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_LINEAR), np.float32)


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
    """Return what the three layers give: (..., N, outputs) of (..., N, F) features."""
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
        drawn = random.integers(0, len(features), (_BATCH, _GROUP))
        shaken = int(random.integers(0, _SHAKEN - drawn.size))
        batch = features[drawn]
        batch += noise[shaken : shaken + drawn.size].reshape(batch.shape)
        first, second, change = _forward(weights, batch)
        chance = 1 / (1 + np.exp(-(change + odds[drawn][..., np.newaxis])))
        error = (chance - truth[drawn][..., np.newaxis]) / np.float32(drawn.size)
        to_second = (error @ weights[4].T) * (second > 0)
        to_first = (to_second @ weights[2].T) * (first > 0)
        slopes = []
        for inputs, wanted in ((batch, to_first), (first, to_second), (second, error)):
            slopes += [(inputs.mT @ wanted).sum(axis=0), wanted.sum(axis=(0, 1))]
        rate = _RATE * (1 - step / _STEPS)
        for k, slope in enumerate(slopes):
            mean[k] += 0.1 * (slope - mean[k])
            power[k] += 0.01 * (slope**2 - power[k])
            size = np.sqrt(power[k] / (1 - 0.99**step)) + 1e-8
            weights[k] -= rate * (mean[k] / (1 - 0.9**step) / size + _DECAY * weights[k])
