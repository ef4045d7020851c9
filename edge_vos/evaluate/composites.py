"""Sequences with several objects, made of sequences with one: look-alikes, exits and returns.

Over each sequence pass a copy of its own object, smaller and perhaps mirrored, and the object of
another sequence. Both are followed too. They cross the picture, leave it and come back, so that
whoever follows a place, or a look, takes one for the other. Masks stay exact. A seed says what goes
where.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import DatasetError, UsageError
from edge_vos.evaluate.metrics import region_similarity
from edge_vos.evaluate.run import ScoredFrame
from edge_vos.evaluate.sequences import Dataset, EvalFrame, VideoSequence

PROTOCOL = "davis2016"
"""The protocol whose sequences show one object each."""

OWN, COPY, GUEST = 1, 2, 3
"""The ids of a sequence's own object, of its look-alike and of the other sequence's object."""

_TRIES = 40
_LEAST_SEEN = 0.002  # of the frame: what an object shows of itself in the first frame
_LEAST_OVERLAP = 0.3  # J with another object's truth from which a mask lies on that object
_EDGE = np.ones((3, 3), np.uint8)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Passage:
    """Say how an object crosses the picture, in shares of its width and height.

    Args:
        start: where its centre is at first, from left to right.
        speed: the way to and fro that it makes in one frame.
        height: where its centre is, from top to bottom.
        sway: how far it goes up and down.
        scale: how much of its own size it has.
        mirrored: whether it is.
    """

    start: float
    speed: float
    height: float
    sway: float
    scale: float
    mirrored: bool

    def centre(self, index: int) -> tuple[float, float]:
        """Return (x, y) in a frame; x goes to and fro from -0.3 to 1.3, which is outside."""
        way = (self.start + 0.3 + self.speed * index) % 3.2
        x = way if way < 1.6 else 3.2 - way
        return x - 0.3, self.height + self.sway * float(np.sin(index / 9))


@dataclass(frozen=True, kw_only=True)
class ComposedSequence(VideoSequence):
    """A sequence over which a copy of its own object and that of another one pass."""

    guest: VideoSequence
    passages: Mapping[int, Passage]

    @property
    def scored(self) -> tuple[int, ...]:
        """Return the frames that count: all but the first and the last."""
        return tuple(range(1, len(self.frames) - 1))

    def play(self) -> Iterator[EvalFrame]:
        """Play the composed sequence.

        Raises:
            DatasetError: if a picture cannot be read or sizes disagree.
        """
        for index, path in enumerate(self.frames):
            frame, mask = self.compose(index)
            counts = 0 < index < len(self.frames) - 1
            yield EvalFrame(path.stem, frame, None if index else mask, mask, counts)

    def compose(self, index: int) -> tuple[Picture, Picture]:
        """Return a frame (H, W, 3) uint8 BGR and its label map (H, W) uint8.

        Raises:
            DatasetError: if a picture cannot be read or sizes disagree.
        """
        frame, labels = _whole(self, index)
        there_and_back = max(2 * len(self.guest.frames) - 2, 1)
        place = index % there_and_back
        other = _whole(self.guest, min(place, there_and_back - place))
        for number, (picture, mask) in ((COPY, (frame.copy(), labels.copy())), (GUEST, other)):
            if mask.any():
                _draw(frame, labels, picture, mask, self.passages[number], number, index)
        return frame, labels


def composite_dataset(dataset: Dataset, seed: int) -> Dataset:
    """Return the data set with two more objects in each sequence.

    Args:
        dataset: of DAVIS 2016, with two sequences or more and a mask for every frame.
        seed: chooses the guests and the ways; the same seed gives the same pictures.

    Raises:
        UsageError: if the protocol is another one.
        DatasetError: if there is one sequence only, a mask is missing or cannot be read, or no way
            shows all objects at first.
    """
    if dataset.protocol != PROTOCOL:
        raise UsageError(f"composites with the protocol {dataset.protocol}", PROTOCOL)
    if len(dataset.sequences) < 2:
        raise DatasetError("composites of one sequence", "two sequences or more")
    for sequence in dataset.sequences:
        if len(sequence.annotations) < max(len(sequence.frames), 3):
            raise DatasetError(
                f"{sequence.name} cannot be composed", "three frames or more, each with a mask"
            )
    rng = np.random.default_rng(seed)
    composed = []
    for place, sequence in enumerate(dataset.sequences):
        others = [other for other in dataset.sequences if other is not sequence]
        guest = others[(place + int(rng.integers(len(others)))) % len(others)]
        composed.append(_compose(sequence, guest, rng))
    return replace(dataset, sequences=tuple(composed))


def _compose(
    sequence: VideoSequence, guest: VideoSequence, rng: np.random.Generator
) -> ComposedSequence:
    for _ in range(_TRIES):
        passages = {COPY: _passage(sequence, rng), GUEST: _passage(guest, rng)}
        made = ComposedSequence(
            sequence.name, sequence.frames, sequence.annotations, sequence.protocol,
            guest=guest, passages=passages,
        )  # fmt: skip
        _, labels = made.compose(0)
        seen = np.bincount(labels.ravel(), minlength=4)[1:4]
        if seen.min() >= _LEAST_SEEN * labels.size:
            return made
    raise DatasetError(
        f"{sequence.name} leaves no room for two more objects", "a smaller object at first"
    )


def _passage(sequence: VideoSequence, rng: np.random.Generator) -> Passage:
    frame, mask = _whole(sequence, 0)
    _, _, width, height = cv2.boundingRect(mask)
    if not width:
        raise DatasetError(f"the first mask of {sequence.name} is empty", "an object to follow")
    return Passage(
        start=float(rng.uniform(0.05, 0.95)),
        speed=float(rng.uniform(0.012, 0.03)),
        height=float(rng.uniform(0.35, 0.75)),
        sway=float(rng.uniform(0.0, 0.12)),
        scale=min(
            float(rng.uniform(0.25, 0.5)) * frame.shape[0] / height, 0.5 * frame.shape[1] / width
        ),
        mirrored=bool(rng.random() < 0.5),
    )


def _whole(sequence: VideoSequence, index: int) -> tuple[Picture, Picture]:
    frame, mask = sequence.read(index)
    if mask is None or mask.shape != frame.shape[:2]:
        raise DatasetError(f"{sequence.name} has no mask of the size of frame {index}", "one")
    return frame, mask.copy()


def _draw(
    frame: Picture, labels: Picture, picture: Picture, mask: Picture,
    passage: Passage, number: int, index: int,
) -> None:  # fmt: skip
    """Draw an object over a frame and its labels, in place; its edge is soft and its own."""
    left, top, width, height = cv2.boundingRect(mask)
    cut = np.s_[top : top + height, left : left + width]
    solid = cv2.erode(mask[cut] * np.uint8(255), _EDGE, borderValue=0)
    size = max(round(width * passage.scale), 2), max(round(height * passage.scale), 2)
    colours = cv2.resize(picture[cut], size, interpolation=cv2.INTER_AREA)
    opacity = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
    if passage.mirrored:
        colours, opacity = colours[:, ::-1], opacity[:, ::-1]
    x, y = passage.centre(index)
    x0, y0 = round(x * frame.shape[1] - size[0] / 2), round(y * frame.shape[0] - size[1] / 2)
    rows = slice(max(y0, 0), min(y0 + size[1], frame.shape[0]))
    columns = slice(max(x0, 0), min(x0 + size[0], frame.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = np.s_[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
    alpha = opacity[part][..., None].astype(np.float32) / 255
    seen = frame[rows, columns]
    seen[:] = np.rint(colours[part] * alpha + seen * (1 - alpha)).astype(np.uint8)
    labels[rows, columns][opacity[part] >= 128] = number


@dataclass
class SwapMeter:
    """Observe composed sequences and count how often a mask goes over to another object.

    A mask lies on another object where its J with that object's truth is above 0.3 and above that
    with its own. A swap is a frame in which it does so and did not in the frame before.
    """

    swaps: int = 0
    swapped_frames: int = 0
    frames: int = 0

    def __post_init__(self) -> None:
        self._before: set[tuple[str, int]] = set()

    def __call__(self, scored: ScoredFrame) -> None:
        """Take note of a frame."""
        if not isinstance(scored.sequence, ComposedSequence) or scored.j is None:
            return
        assert scored.truth is not None
        for number in (OWN, COPY, GUEST):
            key = scored.sequence.name, number
            self.frames += 1
            if not _lies_on_another(scored.predicted, scored.truth, number):
                self._before.discard(key)
                continue
            self.swapped_frames += 1
            self.swaps += key not in self._before
            self._before.add(key)

    def as_dict(self) -> dict[str, Any] | None:
        """Return the counts; None where nothing composed was seen."""
        if not self.frames:
            return None
        return {
            "swaps": self.swaps, "swapped_frames": self.swapped_frames, "frames": self.frames
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Say it in a line; none where nothing composed was seen."""
        if not self.frames:
            return []
        share = 100 * self.swapped_frames / self.frames
        return [f"identity swaps: {self.swaps}; {share:.1f} % of all masks lie on another object"]


def _lies_on_another(predicted: Picture, truth: Picture, number: int) -> bool:
    found = predicted == number
    if not found.any():
        return False
    own = region_similarity(found, truth == number) if (truth == number).any() else 0.0
    others = (
        region_similarity(found, truth == other)
        for other in (OWN, COPY, GUEST)
        if other != number and (truth == other).any()
    )
    return max(others, default=0.0) > max(own, _LEAST_OVERLAP)
