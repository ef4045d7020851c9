import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.frame import Frame
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import decode_rle, read_mask
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sink import open_sink, open_sinks

SIZE = (120, 160)


def _pair(index: int) -> tuple[Frame, FrameResult]:
    """Make a grey frame with one object that moves and one that is lost."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[40:80, 20 + index : 70 + index] = 1
    objects = (
        ObjectState(1, 2000, (20 + index, 40, 50, 40), 0.875, lost=False),
        ObjectState(2, 0, (0, 0, 0, 0), 0.0, lost=True),
    )
    frame = Frame(image, index, index / 25, 0.0, 0.0)
    return frame, FrameResult(mask, np.zeros((5, 30, 40), np.float32), objects, {}, index)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "A.MP4"])
def test_a_video_opens_again_with_every_frame(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    with open_sink(str(path), 25.0, SIZE) as sink:
        for index in range(9):
            sink.write(*_pair(index))
        assert not path.exists()  # its name says that it is complete
    assert [file.name for file in path.parent.iterdir()] == [name]
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert (len(frames), capture.get(cv2.CAP_PROP_FPS)) == (9, 25.0)
    assert frames[0].shape == (*SIZE, 3)
    blue, green, red = frames[0][60, 45].astype(int)
    assert red > blue + 15
    assert red > green + 15
    assert np.ptp(frames[0][100, 140].astype(int)) < 12
    capture.release()


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_killed_recording_plays_as_far_as_it_was_written(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), 25.0, SIZE)
    noise = np.random.default_rng(0).integers(0, 255, (200, *SIZE, 3), np.uint8)
    for index in range(200):
        _, result = _pair(index % 60)
        sink.write(Frame(noise[index], index, 0.0, 0.0, 0.0), result)
    left = tmp_path / f"left-{name}"
    left.write_bytes((tmp_path / name.replace(".", ".partial.")).read_bytes())
    sink.close()
    capture = cv2.VideoCapture(str(left))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) > 50
    capture.release()


def test_a_folder_holds_masks_by_frame_index(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/one", f"{tmp_path}/two/", f"davis://{tmp_path}/three.x"):
        with open_sink(uri, 25.0, SIZE) as sink:
            for index in (0, 1, 4):
                sink.write(*_pair(index))
    for name in ("one", "two", "three.x"):
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == ["00000.png", "00001.png", "00004.png"]
        assert np.array_equal(read_mask(files[2]), _pair(4)[1].mask)


def test_json_lines_hold_the_masks(tmp_path: Path) -> None:
    path = tmp_path / "masks.jsonl"
    with open_sink(str(path), 25.0, SIZE) as sink:
        for index in range(3):
            sink.write(*_pair(index))
        assert len((tmp_path / "masks.partial.jsonl").read_text().splitlines()) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert [line["timestamp_s"] for line in lines] == [0.0, 0.04, 0.08]
    one, two = lines[2]["objects"]
    assert np.array_equal(decode_rle(one["segmentation"]), _pair(2)[1].mask)
    assert (one["id"], one["box_xywh"], one["confidence"]) == (1, [22, 40, 50, 40], 0.875)
    assert (two["id"], two["lost"], two["area_px"]) == (2, True, 0)
    assert not decode_rle(two["segmentation"]).any()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.jsonl", "masks"])
def test_without_a_frame_there_is_no_file(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), 25.0, SIZE)
    sink.close()
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.jsonl"])
def test_a_file_that_exists_is_left_alone_until_it_may_be_replaced(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(SinkError, match=r"exists.*--overwrite"):
        open_sink(str(path), 25.0, SIZE)
    with open_sink(str(path), 25.0, SIZE, overwrite=True) as sink:
        sink.write(*_pair(0))
        assert path.read_text() == "precious"
    assert path.read_bytes() != b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_overwriting_a_folder_removes_old_masks_and_nothing_else(tmp_path: Path) -> None:
    for name in ("00000.png", "00007.png", "notes.txt"):
        (tmp_path / name).write_text("old")
    with pytest.raises(SinkError, match="not empty"):
        open_sink(str(tmp_path), 25.0, SIZE)
    with open_sink(str(tmp_path), 25.0, SIZE, overwrite=True) as sink:
        sink.write(*_pair(0))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00000.png", "notes.txt"]


@pytest.mark.parametrize("uri", ["a.gif", "ftp://x/a.mp4", "http://x", "a.mp3"])
def test_an_unknown_kind_is_refused(uri: str) -> None:
    with pytest.raises(SinkError, match="unknown kind"):
        open_sink(uri, 25.0, SIZE)


@pytest.mark.parametrize("name", ["a.mp4", "masks", "a.jsonl"])
def test_an_unwritable_place_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match="cannot be written"):
        open_sink(str(tmp_path / "file" / name), 25.0, SIZE)


def test_a_window_without_a_display_is_refused() -> None:
    with pytest.raises(SinkError, match="--headless"):
        open_sink("window", 25.0, SIZE, display=False)


def test_none_forgets() -> None:
    with open_sink("none", 25.0, SIZE) as sink:
        sink.write(*_pair(0))


def test_several_open_together_or_not_at_all(tmp_path: Path) -> None:
    good, twice = str(tmp_path / "a.mkv"), str(tmp_path / "b.jsonl")
    with pytest.raises(SinkError, match="twice"):
        open_sinks([good, twice, twice], 25.0, SIZE)
    with pytest.raises(SinkError, match="unknown kind"):
        open_sinks([good, "a.gif"], 25.0, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_drawn_once_for_all() -> None:
    painter, (frame, result) = Painter(), _pair(0)
    assert painter.paint(frame, result) is painter.paint(frame, result)
    assert painter.paint(*_pair(1)) is not painter.paint(frame, result)
    assert (frame.image == 90).all()
