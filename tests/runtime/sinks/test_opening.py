import json
import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import davis_palette, decode_rle, read_mask
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter, caption
from edge_vos.runtime.sinks.matte import GREEN, alpha
from edge_vos.runtime.sinks.opening import open_sink
from edge_vos.runtime.sources.frame import Frame

SIZE = (120, 160)


def _pair(index: int) -> tuple[Frame, FrameResult]:
    """Make a grey frame with one object that moves and one that is lost."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[40:80, 20 + index : 70 + index] = 1
    objects = (
        ObjectState(1, 2000, (20 + index, 40, 50, 40), 0.875, lost=False),
        ObjectState(2, 0, (0, 0, 0, 0), 0.0, lost=True, name="Tässchen", event="lost"),
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


@pytest.mark.usefixtures("without_pyav")
def test_a_killed_recording_holds_every_frame(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mkv"), 25.0, SIZE)
    for index in range(20):
        sink.write(*_pair(index))
    left = tmp_path / "left.mkv"
    left.write_bytes((tmp_path / "a.partial.mkv").read_bytes())
    sink.close()
    assert len(_read(left)) == 20


def _read(path: Path) -> list[tuple[int, np.ndarray]]:
    """Return each picture of a video and when it is shown, in milliseconds."""
    capture = cv2.VideoCapture(str(path))
    shown = []
    while (read := capture.read())[0]:
        shown.append((round(capture.get(cv2.CAP_PROP_POS_MSEC)), read[1]))
    capture.release()
    return shown


@pytest.mark.usefixtures("without_pyav")
def test_frames_that_were_dropped_leave_their_time(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4"):
        with open_sink(str(tmp_path / name), 25.0, SIZE) as sink:
            for index in (5, 6, 7, 15, 16):
                sink.write(*_pair(index))
    assert [time_ms for time_ms, _ in _read(tmp_path / "a.mkv")] == [0, 40, 80, 400, 440]
    repeated = _read(tmp_path / "a.mp4")
    assert [time_ms for time_ms, _ in repeated] == list(range(0, 480, 40))
    assert np.abs(repeated[9][1].astype(int) - repeated[2][1]).max() < 25
    assert np.abs(repeated[10][1].astype(int) - repeated[9][1]).max() > 25


def test_a_camera_that_was_away_for_long_does_not_fill_the_disk(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "a.avi"), 25.0, SIZE) as sink:
        frame, result = _pair(0)
        for time_s in (0.0, 3600.0, 3600.04):
            sink.write(replace(frame, timestamp_s=time_s), result)
    assert len(_read(tmp_path / "a.avi")) == 1 + 5 * 25 + 2


def test_a_frame_of_another_size_is_fitted_in(tmp_path: Path) -> None:
    frame, result = _pair(0)
    tall = replace(frame, image=np.full((160, 120, 3), 200, np.uint8), timestamp_s=0.04)
    nothing = replace(result, mask=np.zeros((160, 120), np.uint8), objects=())
    with open_sink(str(tmp_path / "a.mkv"), 25.0, SIZE) as sink:
        sink.write(frame, result)
        sink.write(tall, nothing)
    second = _read(tmp_path / "a.mkv")[1][1]
    assert second.shape == (*SIZE, 3)
    assert (second[60, 10].max() < 20, second[60, 80].min() > 180) == (True, True)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file grow beyond 60 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_disk", "without_pyav")
@pytest.mark.parametrize("name", ["a.mkv", "a.jsonl"])
def test_a_full_disk_is_named_and_what_was_written_stays(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / name
    sink, written = open_sink(str(path), 25.0, SIZE), 0

    def fill() -> None:
        nonlocal written
        for index in range(400):
            frame, result = _pair(index % 60)
            noise = rng.integers(0, 255, (*SIZE, 3), np.uint8)
            sink.write(replace(frame, image=noise, timestamp_s=index / 25), result)
            written += 1

    with pytest.raises(SinkError, match=r"a\.\w+ cannot be written .*room on its disk"):
        fill()
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.stat().st_size <= 60_000
    if name == "a.mkv":
        assert len(_read(path)) == written > 1
    else:
        lines = path.read_text().splitlines()
        assert len(lines) == written > 1
        assert json.loads(lines[-1])["frame"] == (written - 1) % 60


@pytest.mark.usefixtures("without_pyav")
def test_a_nearly_full_disk_ends_an_mp4_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index needs room, too."""
    sink = open_sink(str(tmp_path / "a.mp4"), 25.0, SIZE)
    for index in range(30):
        sink.write(*_pair(index))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(SinkError, match=r"disk of .* is full"):
        sink.write(*_pair(30))
    sink.close()
    assert len(_read(tmp_path / "a.mp4")) == 30


def _certain(frame: Frame, result: FrameResult) -> tuple[Frame, FrameResult]:
    """Give the background's probability that fits the mask."""
    probability = np.zeros((5, 32, 40), np.float32)  # of 128x160: a row of cells is padding
    probability[1, 1:31] = result.mask[2::4, 2::4] == 1
    probability[0] = 1 - probability[1]
    return frame, replace(result, probability=probability)


def test_objects_are_cut_out(tmp_path: Path) -> None:
    for scheme in ("matte", "green", "blur"):
        with open_sink(f"{scheme}:{tmp_path}/{scheme}.mkv", 25.0, SIZE) as sink:
            assert sink.files == (f"{tmp_path}/{scheme}.mkv",)
            frame, result = _pair(0)
            frame.image[:, 80:] = 30
            sink.write(*_certain(frame, result))
    inside, outside, edge = (60, 45), (20, 20), (100, 79)
    pictures = {s: _read(tmp_path / f"{s}.mkv")[0][1] for s in ("matte", "green", "blur")}
    assert (pictures["matte"][inside] > 250).all()
    assert (pictures["matte"][outside] < 5).all()
    assert np.abs(pictures["green"][inside].astype(int) - 90).max() < 8
    assert np.abs(pictures["green"][outside].astype(int) - GREEN).max() < 8
    assert np.abs(pictures["blur"][inside].astype(int) - 90).max() < 8
    assert 50 < pictures["blur"][edge][0] < 80


def test_a_matte_is_half_where_the_network_is_in_doubt() -> None:
    frame, result = _pair(0)
    doubtful = replace(result, probability=np.full((5, 32, 40), 0.5, np.float32))
    assert set(np.unique(alpha(frame, doubtful))) <= {127, 128}


def test_an_object_that_is_lost_is_cut_out_of_nothing() -> None:
    """The network may still see it where the runtime has taken its mask away."""
    frame, result = _pair(0)
    probability = np.zeros((5, 32, 40), np.float32)
    probability[1, 11:21, 5:17] = 1.0
    probability[2, 22:28, 5:17] = 1.0
    probability[0] = 1 - probability.sum(axis=0)
    levels = alpha(frame, replace(result, probability=probability))
    assert (levels[60, 45], levels[90:].max()) == (255, 0)
    lost = tuple(replace(state, lost=True) for state in result.objects)
    assert not alpha(frame, replace(result, probability=probability, objects=lost)).any()


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
    assert (one["event"], two["event"]) == (None, "lost")
    assert (one["name"], one["colour"]) == ("", [128, 0, 0])
    assert (two["name"], two["colour"]) == ("Tässchen", [0, 128, 0])
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


def test_none_forgets() -> None:
    with open_sink("none", 25.0, SIZE) as sink:
        sink.write(*_pair(0))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.jsonl"])
def test_what_a_killed_run_left_is_kept(tmp_path: Path, name: str) -> None:
    path, left = tmp_path / name, tmp_path / name.replace(".", ".partial.")
    left.write_text("precious")
    with pytest.raises(SinkError, match=r"a\.partial\.\w+ is there.*Rename it.*--overwrite"):
        open_sink(str(path), 25.0, SIZE)
    assert left.read_text() == "precious"
    with open_sink(str(path), 25.0, SIZE, overwrite=True) as sink:
        sink.write(*_pair(0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_taken_meanwhile_is_told(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.mkv", 25.0, SIZE)
    sink.write(*_pair(0))
    (tmp_path / "a.mkv").mkdir()
    with pytest.raises(SinkError, match="cannot be written"):
        sink.close()
    assert sink.files == ()
    assert len(_read(tmp_path / "a.partial.mkv")) == 1
    sink.close()


def test_a_disk_that_is_full_at_the_first_picture_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    sink = open_sink(f"{tmp_path}/a.mp4", 25.0, SIZE)
    with pytest.raises(SinkError, match=r"disk of .* is full"):
        sink.write(*_pair(0))
    sink.close()
    assert (list(tmp_path.iterdir()), sink.files) == ([], ())


@pytest.mark.usefixtures("without_pyav")
def test_what_a_full_disk_broke_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the picture says it; that of completing would hide it."""
    sink = open_sink(f"{tmp_path}/a.mp4", 25.0, SIZE)
    for index in range(30):
        sink.write(*_pair(index))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(SinkError, match=r"disk of .* is full"):
        sink.write(*_pair(30))
    monkeypatch.setattr(cv2.VideoCapture, "isOpened", lambda _: False, raising=False)
    sink.close()
    assert (sink.files, (tmp_path / "a.mp4").exists()) == ((), False)


def test_a_mask_that_does_not_fit_the_disk_leaves_no_half_of_it(
    tmp_path: Path, small_disk: None
) -> None:
    frame, result = _pair(0)
    noise = np.random.default_rng(0).integers(0, 255, (400, 400), np.uint8)
    with open_sink(f"{tmp_path}/m/", 25.0, SIZE) as sink:
        sink.write(frame, result)
        with pytest.raises(SinkError, match=r"00001\.png cannot be written \(File too large\)"):
            sink.write(replace(frame, index=1), replace(result, mask=noise))
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["00000.png"]


def test_a_folder_that_cannot_be_emptied_is_told(tmp_path: Path) -> None:
    (tmp_path / "00000.png").mkdir()
    with pytest.raises(SinkError, match="cannot be written"):
        open_sink(str(tmp_path), 25.0, SIZE, overwrite=True)


def test_a_picture_is_drawn_once_for_all_and_in_place() -> None:
    painter, (frame, result) = Painter(), _pair(0)
    picture = painter.paint(frame, result)
    drawn = picture.copy()
    picture[0, 0] = 7
    assert painter.paint(frame, result)[0, 0, 0] == 7
    assert painter.paint(*_pair(1)) is picture
    assert (painter.paint(frame, result)[0, 0] == drawn[0, 0]).all()
    assert (frame.image == 90).all()


def test_a_name_stands_for_the_id_where_it_can_be_drawn() -> None:
    frame, result = _pair(0)
    cup, other = (replace(state, name="cup") for state in result.objects)
    assert [caption(state) for state in (*result.objects, cup)] == ["1", "2", "cup"]
    plain, named, lost = (
        Painter().paint(frame, replace(result, objects=objects))
        for objects in (result.objects, (cup, result.objects[1]), (result.objects[0], other))
    )
    assert (named[:40] != plain[:40]).any()
    assert (named[40:] == plain[40:]).all()
    assert (lost[100:] != plain[100:]).any()


def test_only_the_object_is_tinted_and_outlined() -> None:
    frame, result = _pair(0)
    picture = Painter().paint(frame, result).astype(int)
    palette = davis_palette()[1, ::-1].astype(int)
    assert np.abs(picture[60, 45] - (0.55 * 90 + 0.45 * palette)).max() <= 1
    assert (picture[60, 20] == palette).all()  # the outline, inside the box
    assert (picture[79, 45] == palette).all()
    plain = np.ones(SIZE, bool)
    plain[20:80, 20:120] = False  # the object and its label
    plain[100:] = False  # the words on lost objects
    assert (picture[plain] == 90).all()
