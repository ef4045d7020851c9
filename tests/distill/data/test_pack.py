"""The pack: one file, the same batches, and it says what it held back."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.data.clips import make_batch
from edge_vos.distill.data.footage import (
    Footage,
    StillFiles,
    VideoFiles,
    find_videos,
    load_stills,
    load_videos,
    open_stills,
    open_video,
    read_stills,
)
from edge_vos.distill.data.pack import SAVINGS, PackedMaterial, _stored_bytes, read_pack, write_pack
from edge_vos.errors import DatasetError, SinkError

MIB = 2**20


@pytest.fixture
def stills(tmp_path: Path, square_davis: Path) -> Path:
    """The frames of the square as photographs whose square is object 5."""
    folder = tmp_path / "stills"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for path in sorted((square_davis / "JPEGImages" / "480p" / "square").iterdir()):
        (folder / "images" / path.name).write_bytes(path.read_bytes())
        mask = cv2.imread(
            str(square_davis / "Annotations/480p/square" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE
        )
        cv2.imwrite(str(folder / "labels" / f"{path.stem}.png"), np.uint8(mask > 0) * 5)
    return folder


def material(davis: Path, stills: Path) -> tuple[list[VideoFiles], list[StillFiles]]:
    return find_videos(davis), [files for _, files in read_stills(stills)]


def opened(packed: PackedMaterial, height: int = 360) -> Footage:
    return Footage(
        [open_video(video, height) for video in packed.videos], open_stills(packed.stills, height)
    )


def test_a_pack_gives_the_batches_of_its_folders(
    square_davis: Path, stills: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.pack"
    written = write_pack(path, *material(square_davis, stills), 360, MIB)
    assert written.held_back == []
    assert path.stat().st_size == _stored_bytes(written)
    with zipfile.ZipFile(path) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        original = (square_davis / "JPEGImages/480p/square/00003.jpg").read_bytes()
        assert archive.read("videos/square/00003.jpg") == original
    packed = read_pack(path)
    assert (packed.pictures, packed.height, packed.stills[0].parts) == (12, 360, (5,))
    config = ClipConfig(size=(64, 96), clips=2, frames=3, still_share=0.5)
    folders = Footage(load_videos(square_davis), load_stills(stills))
    for step in range(4):
        one, other = (make_batch(f, config, 0, step) for f in (opened(packed), folders))
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)


def test_the_same_material_gives_the_same_file(
    square_davis: Path, stills: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_pack(tmp_path / name, *material(square_davis, stills), 360, MIB)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_scales_down_to_the_height(square_davis: Path, stills: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / "low.pack", *material(square_davis, stills), 36, MIB)
    packed = read_pack(tmp_path / "low.pack")
    footage = opened(packed)
    assert footage.videos[0].frames[0].shape == (36, 64, 3)
    assert footage.stills[0].labels.shape == (36, 64)
    assert set(np.unique(footage.stills[0].labels)) == {0, 5}


def test_holds_back_what_the_limit_forces_and_says_so(
    square_davis: Path, stills: Path, tmp_path: Path
) -> None:
    files = material(square_davis, stills)
    full = write_pack(tmp_path / "full.pack", *files, 360, MIB)
    size_bytes = (tmp_path / "full.pack").stat().st_size
    said: list[str] = []
    limit = size_bytes * 55 // 100
    packed = write_pack(tmp_path / "less.pack", *files, 360, limit, said.append)
    assert (tmp_path / "less.pack").stat().st_size <= limit
    assert packed.held_back
    assert packed.held_back == read_pack(tmp_path / "less.pack").held_back
    assert said[-1] == f"packing with {' and '.join(packed.held_back)}"
    assert packed.held_back[0].startswith("JPEG quality")
    for video, whole in zip(packed.videos, full.videos, strict=True):
        assert len(video.frames) == len(video.masks) <= len(whole.frames)


def test_what_does_not_fit_is_refused_and_nothing_is_left(
    square_davis: Path, stills: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.pack"
    with pytest.raises(SinkError, match="every 6th frame"):
        write_pack(path, *material(square_davis, stills), 360, 2000)
    assert not list(tmp_path.glob("tiny.pack*"))
    path.write_bytes(b"")
    with pytest.raises(SinkError, match="exists"):
        write_pack(path, *material(square_davis, stills), 360, MIB)
    with pytest.raises(DatasetError, match="nothing to pack"):
        write_pack(tmp_path / "none.pack", [], [], 360, MIB)
    twice = find_videos(square_davis) * 2
    with pytest.raises(DatasetError, match="several videos 'square'"):
        write_pack(tmp_path / "twice.pack", twice, [], 360, MIB)


def test_a_damaged_pack_is_refused(square_davis: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.pack"
    write_pack(path, find_videos(square_davis), [], 360, MIB)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match="cannot be read as a pack"):
        read_pack(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("index.json", '{"format": 9}')
    with pytest.raises(DatasetError, match="format 9"):
        read_pack(path)
    with pytest.raises(DatasetError, match="absent"):
        read_pack(tmp_path / "absent.pack")


def test_savings_only_grow() -> None:
    strides = [saving.stride for saving in SAVINGS]
    qualities = [saving.quality or 100 for saving in SAVINGS]
    assert strides == sorted(strides)
    assert qualities == sorted(qualities, reverse=True)
    assert SAVINGS[0].in_words() == []
