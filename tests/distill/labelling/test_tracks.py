"""Tracks there and back: by a scripted tracker, by the tiny model, and from a folder of clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import Footage
from edge_vos.distill.data.unlabelled import load_unlabelled
from edge_vos.distill.labelling.proposals import Proposal
from edge_vos.distill.labelling.tracks import (
    TrackConfig,
    follow,
    propose_tracks,
    track_sheet,
    track_starts,
)
from edge_vos.errors import DatasetError
from edge_vos.model.checkpoint import default_weights_path, load_student
from edge_vos.model.config import PRESETS
from edge_vos.model.student import Student
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import jaccard
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter
from edge_vos.runtime.sources.opening import open_source

Image = NDArray[np.uint8]
Scene = Callable[..., tuple[Image, Image]]
Change = Callable[[Image, int], Image]
CONFIG = TrackConfig(stretch=10, least_frames=4)


@dataclass(frozen=True)
class Seen:
    mask: Image
    objects: Sequence[ObjectState]


class Scripted:
    """Keep the mask that was given, changed as the test says; forward and backward alike."""

    def __init__(self, change: Change, confidence: Callable[[int], float]) -> None:
        self.change, self.confidence = change, confidence
        self.mask: Image | None = None
        self.living: set[int] = set()
        self.index = 0

    def prompt(self, mask: Image) -> None:
        self.living |= {int(i) for i in np.unique(mask) if i}
        self.mask = mask if self.mask is None else np.where(mask > 0, mask, self.mask)

    def step(self, frame: Image) -> Seen:
        assert self.mask is not None
        if self.index:
            self.mask = self.change(self.mask, self.index)
        states = [
            ObjectState(int(i), int((self.mask == i).sum()), (0, 0, 1, 1),
                        self.confidence(self.index), not (self.mask == i).any())
            for i in sorted(self.living)
        ]  # fmt: skip
        self.index += 1
        return Seen(self.mask, states)


def _keep(mask: Image, index: int) -> Image:
    return mask


def _sure(index: int) -> float:
    return 0.95


def _proposals() -> list[Proposal]:
    masks = [np.zeros((60, 100), np.uint8) for _ in range(2)]
    masks[0][10:30, 10:40] = 1
    masks[1][35:50, 60:80] = 1
    return [Proposal(mask, 0.5) for mask in masks]


FRAMES = [np.full((60, 100, 3), index, np.uint8) for index in range(14)]


def _follow(
    change: Change = _keep,
    confidence: Callable[[int], float] = _sure,
    config: TrackConfig = CONFIG,
    start: int = 0,
) -> dict[str, int]:
    videos = follow(
        "clip", FRAMES, start, _proposals(), lambda: Scripted(change, confidence), config
    )
    for video in videos:
        assert len(video.frames) == len(video.masks)
        assert set(np.unique(video.masks[0])) == {0, 1}
        assert (video.frames[0] == FRAMES[start]).all()
    return {video.name: len(video.frames) for video in videos}


def test_what_returns_is_kept_one_track_an_object() -> None:
    assert _follow() == {"clip-00000-1": 10, "clip-00000-2": 10}
    assert _follow(start=8) == {"clip-00008-1": 6, "clip-00008-2": 6}
    assert follow("clip", FRAMES, 0, [], lambda: Scripted(_keep, _sure)) == []


def test_what_drifts_does_not_return() -> None:
    def drift_one(mask: Image, index: int) -> Image:
        moved = np.roll(np.where(mask == 1, mask, 0), 3, axis=1)
        return np.where(mask == 2, mask, moved).astype(np.uint8)

    assert _follow(drift_one) == {"clip-00000-2": 10}


def test_a_track_ends_where_the_tracker_is_unsure() -> None:
    assert set(_follow(confidence=lambda i: 0.9 if i < 6 else 0.5).values()) == {6}
    assert _follow(confidence=lambda i: 0.9 if i < 3 else 0.5) == {}  # too short
    # It is not taken up again: who knows what it follows by then.
    assert set(_follow(confidence=lambda i: 0.5 if i == 5 else 0.9).values()) == {5}


def test_a_track_ends_where_the_area_jumps() -> None:
    class Leaking(Scripted):
        def step(self, frame: Image) -> Seen:
            seen = super().step(frame)
            if int(frame[0, 0, 0]) != 7:
                return seen
            leak = cv2.dilate((seen.mask == 1).astype(np.uint8), np.ones((15, 15), np.uint8))
            mask = np.where(leak > 0, 1, seen.mask).astype(np.uint8)
            states = [replace(s, area_px=int((mask == s.id).sum())) for s in seen.objects]
            return Seen(mask, states)

    videos = follow("clip", FRAMES, 0, _proposals(), lambda: Leaking(_keep, _sure), CONFIG)
    assert {video.name: len(video.frames) for video in videos} == {
        "clip-00000-1": 7,
        "clip-00000-2": 10,
    }


def test_a_rough_proposal_is_mended_in_a_second_round() -> None:
    right = np.zeros((60, 100), np.uint8)
    right[10:30, 10:30] = 1  # the first proposal is half as large again

    def mend(mask: Image, index: int) -> Image:
        return np.where(mask == 1, right, mask).astype(np.uint8)

    strict = replace(CONFIG, rounds=1)
    assert _follow(mend, config=strict) == {"clip-00000-2": 10}
    assert _follow(mend) == {"clip-00000-1": 10, "clip-00000-2": 10}
    videos = follow("clip", FRAMES, 0, _proposals(), lambda: Scripted(mend, _sure), CONFIG)
    assert (videos[0].masks[0] == right).all()


def test_starts_lie_in_the_clip_and_depend_on_the_seed() -> None:
    config = TrackConfig(stretch=20, least_frames=8)
    starts = [track_starts(100, config, seed) for seed in range(5)]
    assert all(b - a == 20 for some in starts for a, b in pairwise(some))
    assert all(0 <= some[0] < 10 and some[-1] <= 92 for some in starts)
    assert len({tuple(some) for some in starts}) > 1
    assert track_starts(100, config, 1) == starts[1]
    assert (track_starts(7, config), track_starts(8, config)) == ([], [0])


def test_the_loop_that_ships_follows_squares(scene: Scene, tiny_model: LoadedModel) -> None:
    pairs = [scene((32 * (i // 4), 0), (96, 64)) for i in range(10)]
    proposals = [Proposal((pairs[0][1] == i).astype(np.uint8), 0.5) for i in (1, 2)]
    videos = follow(
        "squares", [f for f, _ in pairs], 0, proposals, lambda: Segmenter(tiny_model), CONFIG
    )
    assert [video.name for video in videos] == ["squares-00000-1", "squares-00000-2"]
    for number, video in enumerate(videos, start=1):
        assert all(
            (mask == (truth == number)).mean() > 0.97
            for mask, (_, truth) in zip(video.masks, pairs, strict=True)
        )
    assert track_sheet(videos, columns=3).shape == (2 * 136, 3 * 240, 3)
    batch = make_batch(Footage(videos, []), ClipConfig(size=(64, 96), clips=1, frames=2), 0, 0)
    assert batch.labels.any()


def _write_clip(folder: Path, pictures: list[Image]) -> None:
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03d}.png"), picture)


def test_clips_are_found_in_a_folder_and_made_small(tmp_path: Path) -> None:
    large = [np.full((720, 960, 3), 20 * i, np.uint8) for i in range(4)]
    _write_clip(tmp_path / "b", large)
    _write_clip(tmp_path / "a", [picture[:90, :120] for picture in large])
    (tmp_path / "notes.txt").write_text("not a clip")
    clips = list(load_unlabelled(tmp_path, most_frames=3))
    assert [(clip.name, len(clip.frames), clip.frames[0].shape) for clip in clips] == [
        ("a", 3, (90, 120, 3)),
        ("b", 3, (360, 480, 3)),
    ]
    assert int(clips[1].frames[2][0, 0, 0]) == 40
    assert not any(clip.whole for clip in clips)
    assert all(clip.whole for clip in load_unlabelled(tmp_path, most_frames=4))
    assert [clip.name for clip in load_unlabelled(tmp_path / "a")] == ["a"]


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a clip")
    with pytest.raises(DatasetError, match="holds no clip"):
        list(load_unlabelled(tmp_path))
    with pytest.raises(DatasetError, match="is not a folder"):
        list(load_unlabelled(tmp_path / "none"))


def test_the_shipped_student_labels_a_folder(tmp_path: Path) -> None:
    with open_source("synthetic://?size=180x320&objects=2&frames=10&seed=3") as source:
        frames = list(source)
    _write_clip(tmp_path / "scene", [frame.image for frame in frames])
    config = TrackConfig(least_frames=6)
    videos = list(
        propose_tracks(load_student(default_weights_path()), tmp_path, config=config, seed=1)
    )
    start = track_starts(10, config, 1)[0]
    assert videos
    for video in videos:
        truth = [frame.truth for frame in frames[start : start + len(video.masks)]]
        scores = [
            np.mean([jaccard(m > 0, t == i) for m, t in zip(video.masks, truth, strict=True)])
            for i in (1, 2)
        ]
        assert max(scores) > 0.7, (video.name, scores)


def test_a_folder_in_which_nothing_can_be_followed_is_refused(tmp_path: Path) -> None:
    _write_clip(tmp_path / "grey", [np.full((64, 96, 3), 90, np.uint8)] * 9)
    torch.manual_seed(0)
    told: list[str] = []
    with pytest.raises(DatasetError, match="there and back"):
        list(propose_tracks(Student(PRESETS["nano"]).eval(), tmp_path, told.append))
    assert told == ["grey: 0 of 0 proposed objects could be followed"]
