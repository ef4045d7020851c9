"""Animated pictures: every frame, each for as long as it says; in the base install."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sources import animation
from edge_vos.runtime.sources.opening import open_source

SIZE = (48, 64)
SHOWN_MS = [100, 50, 40, 30, 100, 100, 200, 40, 40, 40, 40, 500]
TIMES_S = [sum(SHOWN_MS[:index]) / 1000 for index in range(12)]
SUFFIXES = ["gif", "webp", "png", "apng", "avif"]


def _save(path: Path, count: int = 12, mode: str = "RGB") -> Path:
    frames = []
    for index in range(count):
        image = np.full((*SIZE, 3), (20 * index, 40, 90), np.uint8)
        frames.append(Image.fromarray(image).convert(mode))
    kind = "PNG" if path.suffix == ".apng" else None
    options = {".webp": {"lossless": True}, ".avif": {"quality": 100, "subsampling": "4:4:4"}}
    rest = {"save_all": True, "append_images": frames[1:]} if count > 1 else {}
    shown_ms = SHOWN_MS[:count] if count > 1 else SHOWN_MS[0]
    frames[0].save(
        path, format=kind, duration=shown_ms, loop=0, **rest, **options.get(path.suffix, {})
    )
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_frame_has_its_time(tmp_path: Path, suffix: str) -> None:
    path = _save(tmp_path / f"a.{suffix}")
    with open_source(str(path)) as source:
        frames = list(source)
    assert (source.size, source.frames, source.files) == (SIZE, 12, (path,))
    assert source.fps == pytest.approx(10.0)
    assert [frame.timestamp_s for frame in frames] == pytest.approx(TIMES_S)
    reds = np.array([int(frame.image[5, 5, 2]) for frame in frames])
    exact = 2 if suffix == "avif" else 0
    assert np.abs(reds - 20 * np.arange(12)).max() <= exact
    assert np.abs(frames[0].image[5, 5, :2].astype(int) - (90, 40)).max() <= exact
    assert all(f.image.flags.c_contiguous and f.image.dtype == np.uint8 for f in frames)


def test_a_picture_that_does_not_move_is_one_frame(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with open_source(str(_save(tmp_path / f"a.{suffix}", count=1))) as source:
            assert len(list(source)) == 1


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_part_and_a_loop(tmp_path: Path, suffix: str) -> None:
    path = str(_save(tmp_path / f"a.{suffix}"))
    with open_source(path, start_s=0.15, end_s=0.4) as source:
        frames = list(source)
    assert [int(frame.image[5, 5, 2]) for frame in frames] == [40, 60, 80, 100]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.04, 0.07, 0.17])
    with open_source(path, loop=True, start_s=0.15, end_s=0.2) as source:
        taken = [frame for frame, _ in zip(source, range(5), strict=False)]
    assert [int(frame.image[5, 5, 2]) for frame in taken] == [40, 60, 40, 60, 40]
    times = [frame.timestamp_s for frame in taken]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    with pytest.raises(SourceError, match="no frame from 9 s on"):
        open_source(path, start_s=9.0)


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    rgba = np.zeros((*SIZE, 4), np.uint8)
    rgba[..., :3] = 200
    rgba[:20, :, 3] = 255
    frames = [Image.fromarray(rgba), Image.fromarray(rgba[::-1])]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with open_source(str(tmp_path / "a.webp")) as source:
        image = next(iter(source)).image
    assert (image[5, 5].min(), image[40, 5].max()) == (200, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_that_is_cut_off_is_lost_or_refused(tmp_path: Path, suffix: str) -> None:
    content = _save(tmp_path / f"a.{suffix}").read_bytes()
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises((SourceLost, SourceError), match=r"broke off|cannot be decoded|opened"):
        list(open_source(str(path)))


def test_a_time_of_nothing_is_a_tenth_of_a_second(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((*SIZE, 3), 50 * i, np.uint8)) for i in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=0)
    with open_source(str(tmp_path / "a.png")) as source:
        assert [frame.timestamp_s for frame in source] == pytest.approx([0, 0.1, 0.2])


def test_one_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "a.gif")
    monkeypatch.setattr(animation, "MOST_PX", 1000)
    with pytest.raises(SourceError, match="64x48 pixels"):
        animation.open_animation("a.gif", path)


def test_a_picture_for_those_who_show_no_animation_is_not_in_it(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((*SIZE, 3), 50 * i, np.uint8)) for i in range(4)]
    path = tmp_path / "a.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, default_image=True)
    with open_source(str(path)) as source:
        assert source.frames == 3
        assert [int(frame.image[0, 0, 0]) for frame in source] == [50, 100, 150]
