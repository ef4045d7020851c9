"""Label footage that nobody labelled: objects are proposed, followed, and followed back.

A tracker follows the proposals of a frame to the end of a stretch, and each from where it was last
sure of it back to that frame. Only what returns to the mask that it left from is kept: the
forward-backward check of tracking (Kalal et al., 2010), here on masks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.footage import Video
from edge_vos.distill.data.unlabelled import load_unlabelled
from edge_vos.distill.labelling.annotate import begin_following
from edge_vos.distill.labelling.proposals import Proposal, ProposalConfig, propose
from edge_vos.errors import DatasetError
from edge_vos.evaluate.pictures import WHITE
from edge_vos.model.encoder import Encoder, load_imagenet_weights
from edge_vos.model.student import Student
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import jaccard, overlay

Image = NDArray[np.uint8]
Progress = Callable[[str], None]

TILE_WH = (240, 136)
LARGEST_SIDE = 432
"""Of the network's image in pixels: each frame is stepped through two to four times."""


class Followed(Protocol):
    """Hold the mask of one frame and how sure the tracker is of each object."""

    @property
    def mask(self) -> Image:
        """Return the (H, W) uint8 label map at frame resolution."""

    @property
    def objects(self) -> Sequence[ObjectState]:
        """Return the state of each object."""


class Follower(Protocol):
    """Follow the objects of masks, as ``Segmenter`` does."""

    def prompt(self, mask: Image) -> object:
        """Take the (H, W) uint8 label map of objects in the next frame, besides those known."""

    def step(self, frame: Image) -> Followed:
        """Segment the next (H, W, 3) uint8 BGR frame."""


@dataclass(frozen=True)
class TrackConfig:
    """Say how far objects are followed and what is kept.

    Args:
        stretch: frames between two frames in which objects are proposed.
        least_frames: shortest track.
        least_confidence: the mean probability of an object below which its track is cut off.
        most_change: largest factor between its areas in neighbouring frames.
        least_return: smallest J of the mask that was followed and the one that came back.
        least_second_chance: J from which what came back is followed instead, in another round: a
            tracker often mends a rough proposal.
        rounds: most rounds.
        proposals: what is followed.
    """

    stretch: int = 48
    least_frames: int = 8
    least_confidence: float = 0.75
    most_change: float = 1.6
    least_return: float = 0.75
    least_second_chance: float = 0.4
    rounds: int = 2
    proposals: ProposalConfig = field(default_factory=ProposalConfig)


def propose_tracks(
    teacher: Student,
    folder: Path,
    progress: Progress = lambda _: None,
    config: TrackConfig | None = None,
    seed: int = 0,
) -> Iterator[Video]:
    """Find objects in the clips of a folder and let a teacher label them.

    Args:
        teacher: in evaluation mode.
        folder: of clips, as ``load_unlabelled`` reads it.
        progress: told what is going on, in words.
        config: how far objects are followed and what is kept.
        seed: of the frames in which objects are proposed.

    Yields:
        One video for each object of each stretch, with binary masks; names are unique.

    Raises:
        DatasetError: if there is no clip, or no object in any that the teacher follows surely.
        SourceError: if a clip cannot be decoded.
    """
    config = config or TrackConfig()
    encoder = Encoder().eval()
    load_imagenet_weights(encoder)
    total = 0
    for clip in load_unlabelled(folder):
        if not clip.whole:
            progress(
                f"{clip.name} is long: only its first {len(clip.frames)} frames are taken. "
                "Cut it into shorter clips to have all of it"
            )
        begin = partial(begin_following, teacher, clip.frames[0].shape, LARGEST_SIDE)
        kept, proposed = 0, 0
        for start in track_starts(len(clip.frames), config, seed):
            found = propose(clip.frames, start, encoder, config.proposals)
            proposed += len(found)
            for video in follow(clip.name, clip.frames, start, found, begin, config):
                kept += 1
                yield video
        total += kept
        progress(f"{clip.name}: {kept} of {proposed} proposed objects could be followed")
    if not total:
        raise DatasetError(
            f"nothing in {folder} could be followed there and back",
            "clips in which objects stand out or move",
        )


def track_starts(frames: int, config: TrackConfig, seed: int = 0) -> list[int]:
    """Choose the frames in which objects are proposed: one in each stretch, at random.

    Args:
        frames: of the clip.
        config: length of a stretch.
        seed: of the choice.
    """
    rng = np.random.default_rng((seed, frames))
    last = max(frames - config.least_frames, 0)
    first = int(rng.integers(0, max(min(config.stretch // 2, last), 1)))
    return list(range(first, last + 1, config.stretch)) if frames >= config.least_frames else []


def follow(
    name: str,
    frames: Sequence[Image],
    start: int,
    proposals: Sequence[Proposal],
    begin: Callable[[], Follower],
    config: TrackConfig | None = None,
) -> list[Video]:
    """Follow proposals to the end of their stretch and back, and keep those that return.

    Args:
        name: of the clip.
        frames: (H, W, 3) uint8, BGR, of the whole clip.
        start: the frame of the proposals.
        proposals: that do not overlap.
        begin: makes a tracker that knows no object yet.
        config: how far they are followed and what is kept.
    """
    config = config or TrackConfig()
    if not proposals:
        return []
    stretch = frames[start : start + config.stretch]
    first = np.zeros(stretch[0].shape[:2], np.uint8)
    for number, proposal in enumerate(proposals, start=1):
        first[proposal.mask > 0] = number
    kept: dict[int, list[Image]] = {}
    for _ in range(config.rounds):
        if not first.any():
            break
        masks, lengths = _forward(stretch, first, begin(), config)
        returned = _backward(stretch, masks, lengths, begin())
        for number in lengths:
            agreement = jaccard(returned == number, first == number)
            if agreement >= config.least_return:
                own = [(mask == number).astype(np.uint8) for mask in masks[: lengths[number]]]
                kept[number] = own
            if agreement >= config.least_return or agreement < config.least_second_chance:
                returned[returned == number] = 0
        first = np.where(np.isin(returned, list(lengths)), returned, 0).astype(np.uint8)
    return [
        Video(f"{name}-{start:05d}-{number}", list(stretch[: len(masks)]), masks)
        for number, masks in sorted(kept.items())
    ]


def _forward(
    stretch: Sequence[Image], first: Image, tracker: Follower, config: TrackConfig
) -> tuple[list[Image], dict[int, int]]:
    """Return the masks, and in how many frames each object is sure that is so in enough."""
    tracker.prompt(first)
    areas = {int(n): int((first == n).sum()) for n in np.unique(first) if n}
    lengths = dict.fromkeys(areas, 0)
    masks: list[Image] = []
    for index, frame in enumerate(stretch):
        result = tracker.step(frame)
        masks.append(result.mask)
        for state in result.objects:
            change = max(state.area_px, 1) / areas[state.id]
            sure = state.confidence >= config.least_confidence and not state.lost
            if (
                lengths[state.id] == index
                and sure
                and (1 / config.most_change <= change <= config.most_change)
            ):
                lengths[state.id], areas[state.id] = index + 1, state.area_px
        if max(lengths.values()) <= index:  # nothing is left to follow
            break
    return masks, {n: length for n, length in lengths.items() if length >= config.least_frames}


def _backward(
    stretch: Sequence[Image], masks: Sequence[Image], lengths: dict[int, int], tracker: Follower
) -> Image:
    """Return the mask of the first frame, each object followed back from its last sure one."""
    returned = np.zeros_like(masks[0])
    for index in range(max(lengths.values(), default=0) - 1, -1, -1):
        joining = [number for number, length in lengths.items() if length == index + 1]
        if joining:
            tracker.prompt(np.where(np.isin(masks[index], joining), masks[index], 0))
        returned = tracker.step(stretch[index]).mask
    return returned


def track_sheet(videos: Sequence[Video], columns: int = 5) -> Image:
    """Draw tracks, one a row, at frames from the first to the last.

    Args:
        videos: at least one.
        columns: frames of each.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    rows = []
    for video in videos:
        tiles = []
        for index in np.linspace(0, len(video.frames) - 1, columns).round().astype(int):
            drawn = cv2.resize(overlay(video.frames[index], video.masks[index]), TILE_WH)
            text = f"{video.name} {index}"
            tiles.append(cv2.putText(drawn, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE))
        rows.append(np.hstack(tiles))
    return np.asarray(np.vstack(rows), np.uint8)
