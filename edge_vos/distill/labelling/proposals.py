"""Objects to follow in footage that nobody labelled: proposals from one frame and its neighbours.

Parts of the frame come from cuts of its graph of cells and from motion; the best are cut out along
the edges of the frame by GrabCut, scored again, and kept where they do not overlap. A proposal
need not be right: what cannot be followed there and back is dropped later (``tracks``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.labelling.saliency import (
    CellGraph,
    cell_graphs,
    coherence,
    edge_map,
    edge_support,
    motion_map,
    motion_strength,
    normalised_cuts,
)
from edge_vos.errors import PromptError
from edge_vos.model.encoder import Encoder
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.prompts.grabcut import mask_from_guess

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Region = NDArray[np.bool_]
Graphs = tuple[CellGraph, CellGraph]

CUTS = 6
CLUSTERS = (3, 5, 8)
STRENGTHS = (0.4, 0.8, 1.2, 1.8)  # of motion
LEAST_CELLS = 2
MOST_BORDER = 0.35  # a larger share of the frame's border is scenery
TOUCHING = 0.005
SAME = 0.75  # J above which two regions are one
# Chosen on DAVIS training sequences, by how a region's J with the labelled object goes with these,
# and by looking at other clips: what the frame cuts off is scenery more often than not.
MOTION_WEIGHT, AREA_WEIGHT, EDGE_WEIGHT = 0.2, 0.24, 0.6
BORDER_WEIGHT, BORDER_PENALTY = 1.2, 0.3


@dataclass(frozen=True)
class ProposalConfig:
    """Say what a proposal may be.

    Args:
        count: most proposals of a frame.
        least_area: smallest part of the frame.
        most_area: largest part of the frame.
        least_score: what a proposal must reach.
        refined: regions that are cut out by GrabCut before the best are chosen.
    """

    count: int = 4
    least_area: float = 0.003
    most_area: float = 0.4
    least_score: float = 0.05
    refined: int = 10


@dataclass(frozen=True)
class Proposal:
    """Hold one proposed object.

    Args:
        mask: (H, W) uint8, 1 on the object.
        score: how much it stands out; about 0 is nothing, 0.5 is plain.
    """

    mask: Image
    score: float


def propose(
    frames: Sequence[Image], index: int, encoder: Encoder, config: ProposalConfig | None = None
) -> list[Proposal]:
    """Propose objects in one frame, best first; they do not overlap.

    Args:
        frames: (H, W, 3) uint8, BGR: the frame and its neighbours in time, for motion.
        index: the frame.
        encoder: with ImageNet's weights, in evaluation mode.
        config: what a proposal may be.
    """
    config = config or ProposalConfig()
    frame = frames[index]
    strength = motion_strength(motion_map(frames, index))
    graphs = cell_graphs(encoder, frame, strength)
    edges = edge_map(frame)
    regions = list(_distinct(_regions(graphs, strength, config), graphs, strength))
    found = []
    for region in regions[: config.refined]:
        guess = cv2.resize(region.astype(np.float32), frame.shape[1::-1]) > 0.5
        try:
            whole = mask_from_guess(frame, guess.astype(np.uint8))
        except PromptError:  # nothing there has an outline of its own
            continue
        for mask in _parts(whole):
            if config.least_area <= mask.mean() <= config.most_area:
                score = _score(graphs, strength, mask.astype(np.float32))
                score -= EDGE_WEIGHT * (1 - edge_support(edges, mask))
                found.append(Proposal(mask, score))
    return _choose(found, config)


def _regions(graphs: Graphs, strength: Field, config: ProposalConfig) -> Iterator[Region]:
    """Give connected regions of cells: sides of cuts, clusters of cuts, and what moves."""
    size = graphs[0].size
    cells = cv2.resize(strength, size[::-1], interpolation=cv2.INTER_AREA).ravel()
    layers = [cells > least for least in STRENGTHS]
    for graph in graphs:
        layers += _cut_layers(graph)
    for layer in layers:
        parts, numbers = cv2.connectedComponents(
            layer.reshape(size).astype(np.uint8), connectivity=4
        )
        for number in range(1, parts):
            region = numbers == number
            if LEAST_CELLS <= region.sum() <= 1.25 * config.most_area * layer.size:
                yield region


def _cut_layers(graph: CellGraph) -> list[Region]:
    """Return (h * w,) sides and clusters of the graph's cuts."""
    cuts = normalised_cuts(graph, max(CUTS, *CLUSTERS))
    layers = []
    for cut in cuts.T[:CUTS]:
        layers += [cut > cut.mean(), cut < cut.mean()]
    for count in CLUSTERS:
        space = cuts[:, :count] / (cuts[:, :count].std(0) + 1e-9)
        space /= np.linalg.norm(space, axis=1, keepdims=True) + 1e-9
        cv2.setRNGSeed(0)
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
        start = np.zeros((len(space), 1), np.int32)
        _, cluster, _ = cv2.kmeans(space, count, start, criteria, 3, cv2.KMEANS_PP_CENTERS)
        layers += [cluster.ravel() == number for number in range(count)]
    return layers


def _distinct(regions: Iterator[Region], graphs: Graphs, strength: Field) -> Iterator[Region]:
    """Give the regions that stand out, best first, and of any that are nearly one only the best."""
    scored = [(_score(graphs, strength, region.astype(np.float32)), region) for region in regions]
    kept: list[Region] = []
    for _, region in sorted(scored, key=lambda pair: -pair[0]):
        if all(jaccard(region, other) < SAME for other in kept):
            kept.append(region)
            yield region


def _score(graphs: Graphs, strength: Field, share: Field) -> float:
    """Say how much a part stands out, (h, w) float32 in [0, 1] at any resolution."""
    border = np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]]).mean()
    if border > MOST_BORDER:
        return -1.0
    cells = np.asarray(
        cv2.resize(share, graphs[0].size[::-1], interpolation=cv2.INTER_AREA), np.float32
    )
    fine = cv2.resize(share, strength.shape[::-1], interpolation=cv2.INTER_AREA)
    radius = max(2, round(0.35 * float(fine.sum()) ** 0.5))
    ring = cv2.dilate(fine, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) - fine
    contrast = (strength * fine).sum() / fine.sum() - (strength * ring).sum() / (ring.sum() + 1e-6)
    return float(
        coherence(graphs[0], cells)
        + MOTION_WEIGHT * min(contrast, 1.5)
        + AREA_WEIGHT * share.mean()
        - (BORDER_WEIGHT * border + BORDER_PENALTY if border > TOUCHING else 0)
    )


def _parts(mask: Image) -> list[Image]:
    """Return the mask without parts that are small beside the largest, and each large part."""
    count, numbers, measures, _ = cv2.connectedComponentsWithStats(mask)
    areas = measures[1:, cv2.CC_STAT_AREA]
    large = [number for number in range(1, count) if areas[number - 1] >= 0.2 * areas.max()]
    groups = [large, *([number] for number in large if len(large) > 1)]
    return [np.isin(numbers, group).astype(np.uint8) for group in groups]


def _choose(found: list[Proposal], config: ProposalConfig) -> list[Proposal]:
    """Take the best first; one that overlaps a better one is left out, or loses the overlap."""
    if not found:
        return []
    taken = np.zeros(found[0].mask.shape, np.bool_)
    chosen: list[Proposal] = []
    for proposal in sorted(found, key=lambda proposal: -proposal.score):
        if len(chosen) == config.count or proposal.score < config.least_score:
            break
        free = (proposal.mask > 0) & ~taken
        if free.sum() < 0.8 * proposal.mask.sum() or free.mean() < config.least_area:
            continue
        taken |= free
        chosen.append(Proposal(free.astype(np.uint8), proposal.score))
    return chosen
