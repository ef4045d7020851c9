"""Footage: read from the layouts it claims to read, at the height asked for, now or when needed."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import (
    Footage,
    OnDemand,
    count_pictures,
    decoded_bytes,
    fits_in_memory,
    joined,
    load_stills,
    load_videos,
)
from edge_vos.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path, footage: Footage) -> Path:
    """Two videos of two frames in DAVIS layout, and two photographs, of which one has parts."""
    video = footage.videos[0]
    for name in ("a", "b"):
        for index in range(2):
            for kind, ending, picture in (
                ("JPEGImages", "jpg", video.frames[index]),
                ("Annotations", "png", video.masks[index] * 255),
            ):
                (tmp_path / kind / "480p" / name).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tmp_path / kind / "480p" / name / f"{index:05d}.{ending}"), picture)
    for index, ids in enumerate((5, 3)):
        for kind, ending, picture in (
            ("images", "jpg", video.frames[index]),
            ("labels", "png", video.masks[index] * ids),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"{index}.{ending}"), picture)
    return tmp_path


def test_reads_davis_and_stills(folder: Path) -> None:
    videos = load_videos(folder, exclude=("b",))
    assert [video.name for video in videos] == ["a"]
    assert set(np.unique(videos[0].masks[0])) == {0, 1}
    assert [still.parts for still in load_stills(folder)] == [(5,), (3,)]
    assert count_pictures([folder], [folder]) == 6


def test_reads_a_folder_a_clip(folder: Path) -> None:
    clips = folder.parent / "clips"
    (clips / "one").mkdir(parents=True)
    (folder / "JPEGImages" / "480p" / "a").rename(clips / "one" / "images")
    (folder / "Annotations" / "480p" / "a").rename(clips / "one" / "masks")
    (video,) = load_videos(clips)
    assert (video.name, len(video.frames)) == ("one", 2)
    assert video.masks[0].any()


@pytest.mark.parametrize("height", [360, 48])
def test_decoded_now_or_when_needed_gives_the_same_batches(folder: Path, height: int) -> None:
    config = ClipConfig(size=(64, 96), clips=2, frames=2, still_share=0.5)
    kept, needed = (
        Footage(load_videos(folder, height=height, keep=k), load_stills(folder, height, k))
        for k in (True, False)
    )
    assert isinstance(kept.videos[0].frames, list)
    assert isinstance(needed.videos[0].frames, OnDemand)
    assert isinstance(needed.stills, OnDemand)
    assert kept.videos[0].frames[0].shape[0] == min(96, height)
    for step in range(4):
        one, other = (make_batch(footage, config, 0, step) for footage in (kept, needed))
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)


def test_the_height_follows_what_is_trained() -> None:
    assert ClipConfig().decode_height == 360
    assert ClipConfig(size=(480, 864)).decode_height == 480
    assert ClipConfig(source_height=400).decode_height == 400


def test_a_sequence_on_demand_is_a_sequence() -> None:
    squares = OnDemand(lambda index: index**2, 5)
    assert (len(squares), squares[-1], squares[1:4], list(squares)) == (
        5, 16, [1, 4, 9], [0, 1, 4, 9, 16]
    )  # fmt: skip
    with pytest.raises(IndexError):
        squares[5]
    assert list(joined([squares, [7]])) == [0, 1, 4, 9, 16, 7]
    assert joined([[1], [2, 3]]) == [1, 2, 3]


def test_knows_what_fits() -> None:
    assert decoded_bytes(2, 360) == 2 * 360 * 640 * 4
    assert fits_in_memory(1)
    assert not fits_in_memory(1 << 60)


def test_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="JPEGImages"):
        load_videos(tmp_path / "absent")
    with pytest.raises(DatasetError, match="no masks"):
        load_stills(tmp_path / "absent")
    (folder / "JPEGImages" / "480p" / "a" / "00000.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"00000\.jpg is missing or cannot be decoded"):
        load_videos(folder)
    (folder / "Annotations" / "480p" / "b" / "00001.png").unlink()
    with pytest.raises(DatasetError, match=r"00001\.png is missing"):
        load_videos(folder)
