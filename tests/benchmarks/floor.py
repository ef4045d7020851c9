"""Measure what needs no training: the floors that a student must pass.

Not part of the test suite. Two trackers are scored with the project's own J and F:

- ``copy`` repeats the first mask;
- ``features`` propagates labels by frozen EfficientNet-Lite0 ImageNet features at stride 16:
  each cell takes a softmax-weighted vote of its ``top_k`` most similar cells in the first frame
  and in the few frames before, where only a window around it counts.

Run ``python tests/benchmarks/floor.py DAVIS --sequences bus,swing``. ``--tune`` also searches the
settings, one after the other, on the very sequences it reports: that favours the floor, not the
student. Needs the ``train`` extra.
"""

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_vos.converters.recipe import parse_size
from edge_vos.errors import EdgeVosError
from edge_vos.evaluate.davis import PROTOCOLS, read_davis
from edge_vos.evaluate.run import score_trackers
from edge_vos.evaluate.scores import EvalReport
from edge_vos.evaluate.sequences import Dataset
from edge_vos.model.encoder import Encoder, load_imagenet_weights

STRIDE = 16
STRETCH_FROM = 0.05
"""An object whose likeliest cell is below this is lost and not stretched."""

Frame = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Extract = Callable[[Frame], Tensor]

GRID: dict[str, tuple[Any, ...]] = {
    "top_k": (5, 8, 12, 20, 32),
    "temperature": (0.05, 0.1, 0.2, 0.3, 0.5),
    "recent": (0, 1, 2, 4),
    "window": (2, 4, 8, 12),
    "threshold": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
}
"""What ``--tune`` tries."""


@dataclass(frozen=True)
class Floor:
    """Set the label propagation.

    Attributes:
        size: (height, width) of the image in pixels, multiples of 16.
        top_k: how many cells vote.
        temperature: of the softmax over their cosine similarities.
        window: how many cells away a vote of a recent frame may come from.
        recent: how many frames before the present one vote, next to the first.
        threshold: the share of the vote that an object needs against the background.
    """

    top_k: int = 8
    temperature: float = 0.2
    window: int = 4
    recent: int = 1
    threshold: float = 0.4
    size: tuple[int, int] = (240, 432)

    @property
    def grid(self) -> tuple[int, int]:
        return self.size[0] // STRIDE, self.size[1] // STRIDE


TUNED = {
    floor.size: floor
    for floor in (
        Floor(),
        Floor((480, 864), top_k=12, temperature=0.1, window=8, recent=1, threshold=0.3),
    )
}
"""The best settings found on the development split, by size."""


@dataclass(frozen=True)
class FloorResult:
    """Hold a frame's mask."""

    mask: Mask


class CopyTracker:
    """Repeat the first mask."""

    def prompt(self, mask: Mask) -> None:
        self.mask = mask

    def step(self, frame: Frame) -> FloorResult:
        return FloorResult(self.mask)


class FeatureTracker:
    """Propagate labels by the similarity of frozen features."""

    def __init__(self, extract: Extract, floor: Floor) -> None:
        self.extract, self.floor = extract, floor
        self.pending: Mask | None = None
        self.recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=floor.recent)
        self.near = near(floor.grid, floor.window)

    def prompt(self, mask: Mask) -> None:
        self.pending = mask

    @torch.inference_mode()
    def step(self, frame: Frame) -> FloorResult:
        features = self.extract(frame)
        if self.pending is not None:
            mask, self.pending = self.pending, None
            self.classes = int(mask.max()) + 1
            self.mean = features.mean(0)
            self.first = functional.normalize(features - self.mean, dim=1), self._coverage(mask)
            return FloorResult(mask)
        features = functional.normalize(features - self.mean, dim=1)
        labels = stretch(self._vote(features))
        self.recent.append((features, labels))
        return FloorResult(self._mask(labels, frame.shape[:2]))

    def _vote(self, features: Tensor) -> Tensor:
        """Return (cells, classes) label shares for (cells, channels) features."""
        similarities, votes = [], []
        # The best of each frame hold the best of all, and sorting few is quicker than many.
        for key, labels, allowed in (
            (*self.first, None),
            *((*entry, self.near) for entry in self.recent),
        ):
            similarity = features @ key.T
            if allowed is not None:
                similarity.masked_fill_(~allowed, -torch.inf)
            best, index = similarity.topk(self.floor.top_k, dim=1)
            similarities.append(best)
            votes.append(labels[index])
        best, index = torch.cat(similarities, 1).topk(self.floor.top_k, dim=1)
        chosen = torch.cat(votes, 1).gather(1, index[..., None].expand(-1, -1, self.classes))
        return ((best / self.floor.temperature).softmax(1)[..., None] * chosen).sum(1)

    def _coverage(self, mask: Mask) -> Tensor:
        size_wh = self.floor.grid[::-1]
        layers = [
            cv2.resize((mask == i).astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
            for i in range(self.classes)
        ]
        return torch.from_numpy(np.stack(layers, -1).reshape(-1, self.classes)).clamp(0, 1)

    def _mask(self, labels: Tensor, size: tuple[int, ...]) -> Mask:
        layers = labels.reshape(*self.floor.grid, self.classes).numpy().copy()
        layers[..., 0] *= self.floor.threshold / (1 - self.floor.threshold)
        enlarged = cv2.resize(layers, size[::-1], interpolation=cv2.INTER_LINEAR)
        return enlarged.argmax(-1).astype(np.uint8)


def stretch(labels: Tensor) -> Tensor:
    """Scale each object's share to [0, 1] over the frame; averaging would wear it away."""
    objects = labels[:, 1:]
    low, high = objects.amin(0), objects.amax(0)
    scaled = (objects - low) / (high - low).clamp_min(1e-6)
    objects = torch.where(high > STRETCH_FROM, scaled, objects)
    background = (1 - objects.sum(1, keepdim=True)).clamp_min(0)
    return torch.cat([background, objects], 1)


def near(grid: tuple[int, int], window: int) -> Tensor:
    """Return (cells, cells) bool: which cells lie within ``window`` cells of each other."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    position = torch.stack([y, x], -1).reshape(-1, 2)
    return (position[:, None] - position[None]).abs().amax(-1) <= window


def frozen_features(size: tuple[int, int]) -> Extract:
    """Return a function from a frame to its (cells, 112) features; it remembers every frame."""
    encoder = Encoder().eval()
    load_imagenet_weights(encoder)
    cache: dict[int, Tensor] = {}

    @torch.inference_mode()
    def extract(frame: Frame) -> Tensor:
        key = hash(frame.tobytes())
        if key not in cache:
            shrinks = size[0] < frame.shape[0]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(frame, size[::-1], interpolation=how)
            rgb = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).astype(np.float32))
            cache[key] = encoder(rgb[None])[2][0].flatten(1).T.contiguous()
        return cache[key]

    return extract


def measure(
    dataset: Dataset, extract: Extract, floor: Floor, metrics: tuple[str, ...] = ("j", "f")
) -> EvalReport:
    """Score the propagation with these settings."""
    return score_trackers(dataset, lambda: FeatureTracker(extract, floor), metrics=metrics)


def tune(dataset: Dataset, extract: Extract, floor: Floor) -> Iterator[tuple[Floor, float]]:
    """Yield every setting tried with its mean J; twice around the grid, keeping what is better."""
    best = measure(dataset, extract, floor, ("j",)).j_mean
    yield floor, best
    for name, values in (*GRID.items(), *GRID.items()):
        for value in values:
            if value == getattr(floor, name):
                continue
            candidate = replace(floor, **{name: value})
            j = measure(dataset, extract, candidate, ("j",)).j_mean
            yield candidate, j
            if j > best:
                floor, best = candidate, j


def main() -> None:
    """Measure the floors and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path, help="a DAVIS folder")
    parser.add_argument("--protocol", default="davis2016", choices=PROTOCOLS)
    parser.add_argument("--sequences", help="only these, as A,B")
    parser.add_argument("--size", default="240x432", help="image size, HxW")
    parser.add_argument("--tune", action="store_true", help="search the settings first")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    names = options.sequences.split(",") if options.sequences else None
    dataset = read_davis(options.dataset, options.protocol, names)
    size = parse_size(options.size)
    floor = TUNED.get(size, Floor(size=size))
    extract = frozen_features(floor.size)
    if options.tune:
        tried = []
        for candidate, j in tune(dataset, extract, floor):
            tried.append((j, candidate))
            print(f"J {j:.2f} {candidate}", file=sys.stderr, flush=True)
        floor = max(tried, key=lambda entry: entry[0])[1]
    reports = {
        "copy": score_trackers(dataset, CopyTracker),
        "features": measure(dataset, extract, floor),
    }
    if options.json:
        floors = {name: report.as_dict() for name, report in reports.items()}
        print(json.dumps({**floors, "settings": asdict(floor)}, indent=2))
        return
    print(f"{'sequence':16}" + "".join(f"{name + ' J':>12}{'F':>8}" for name in reports))
    for name in (*reports["copy"].sequences, "mean"):
        row = [
            (report.j_mean, report.f_mean)
            if name == "mean"
            else (report.sequences[name].j, report.sequences[name].f)
            for report in reports.values()
        ]
        print(f"{name:16}" + "".join(f"{j:12.1f}{f:8.1f}" for j, f in row))
    print(f"features: {floor}")


if __name__ == "__main__":
    try:
        main()
    except EdgeVosError as error:
        sys.exit(f"error: {error}")
