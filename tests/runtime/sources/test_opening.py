import math
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.sinks.video.matroska import MatroskaWriter
from edge_vos.runtime.sources import camera
from edge_vos.runtime.sources.opening import Frame, open_source
from edge_vos.runtime.sources.video_file import Clock

SIZE = (48, 64)
CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"


def _picture(value: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def _write_video(path: Path, frames: int, codec: str, fps: float = 20.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, SIZE[::-1])
    for index in range(frames):
        writer.write(_picture(20 + 10 * (index % 20)))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), _picture(number))
    (tmp_path / "notes.txt").write_text("not a frame")
    return tmp_path


def _levels(frames: list[Frame]) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in frames]


def test_a_folder_gives_its_images_in_numerical_order(folder: Path) -> None:
    with open_source(str(folder)) as source:
        frames = list(source)
    assert (source.size, source.frames, source.is_live) == (SIZE, 3, False)
    assert _levels(frames) == [1, 2, 10]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.timestamp_s for frame in frames] == [0, 1 / 30, 2 / 30]
    assert all(frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous for frame in frames)
    assert all(frame.truth is None and frame.capture_ms >= 0 for frame in frames)


def test_a_glob_or_one_image_is_a_source(folder: Path) -> None:
    assert _levels(list(open_source(str(folder / "1*.png")))) == [1, 10]
    assert _levels(list(open_source(str(folder / "2.png")))) == [2]


def test_a_folder_can_be_looped(folder: Path) -> None:
    frames = iter(open_source(str(folder), loop=True))
    assert [next(frames).index for _ in range(7)] == list(range(7))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")]
)
def test_a_video_gives_every_frame(tmp_path: Path, name: str, codec: str) -> None:
    path = _write_video(tmp_path / name, 12, codec)
    with open_source(str(path)) as source:
        frames = list(source)
    assert (len(frames), source.frames, source.fps, source.size) == (12, 12, 20.0, SIZE)
    assert np.allclose(_levels(frames), 20 + 10 * np.arange(12), atol=8)
    assert frames[-1].timestamp_s == pytest.approx(11 / 20)


def test_a_video_can_be_looped(tmp_path: Path) -> None:
    path = _write_video(tmp_path / "a.avi", 5, "MJPG")
    with open_source(str(path), loop=True) as source:
        frames = [frame for frame, _ in zip(source, range(12), strict=False)]
    assert source.frames is None
    assert np.allclose(_levels(frames), 20 + 10 * (np.arange(12) % 5), atol=8)


def test_a_truncated_video_is_lost_and_not_at_its_end(tmp_path: Path) -> None:
    whole = _write_video(tmp_path / "a.avi", 60, "MJPG").read_bytes()
    (tmp_path / "b.avi").write_bytes(whole[: len(whole) // 2])
    taken = []
    with (
        open_source(str(tmp_path / "b.avi")) as source,
        pytest.raises(SourceLost, match=r"after \d+ of 60 frames.*truncated"),
    ):
        taken.extend(source)
    assert 10 < len(taken) < 40


def test_a_broken_image_in_mid_folder_is_lost(folder: Path) -> None:
    (folder / "2.png").write_bytes(b"\x89PNG\r\n")
    frames = iter(open_source(str(folder)))
    next(frames)
    with pytest.raises(SourceLost, match=r"2\.png cannot be decoded, after 1 of 3"):
        next(frames)


def test_images_may_change_their_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "2.png"), _picture(2, (48, 66)))
    shapes = [frame.image.shape[:2] for frame in open_source(str(folder))]
    assert shapes == [SIZE, (48, 66), SIZE]


def test_a_source_knows_its_files(folder: Path) -> None:
    assert open_source(str(folder)).files == tuple(folder / f"{n}.png" for n in (1, 2, 10))
    path = _write_video(folder / "a.avi", 3, "MJPG")
    assert open_source(str(path)).files == (path,)
    assert open_source("synthetic://").files == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "There is no source"),
        ("text.mp4", b"hello " * 1000, "cannot be opened as a video"),
        ("empty.mp4", b"", "cannot be opened as a video"),
        ("broken.png", b"\x89PNG\r\n", "cannot be decoded"),
        ("*.jpg", None, "Nothing matches"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(str(tmp_path / name))
    assert not isinstance(caught.value, SourceLost)
    assert str(tmp_path / name) in str(caught.value)
    assert "Expected: " in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match="holds no images"):
        open_source(str(tmp_path))


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(SourceError, match="unknown kind"):
        open_source("gopher://camera")
    with pytest.raises(SourceError, match="'ftp://camera'"):
        open_source("ftp://me:p@ss@camera")


@pytest.mark.skipif(not camera.sys.platform.startswith("linux"), reason="looks at /dev/video*")
def test_a_missing_camera_is_refused_and_synthetic_is_offered() -> None:
    for uri in ("97", "/dev/video97"):
        with pytest.raises(SourceError, match=r"no camera 97 .*synthetic://"):
            open_source(uri)


class FileCamera:
    """Play a camera from a file, through the code that opens a camera."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self.settings: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._capture, name)

    def set(self, name: int, value: float) -> bool:
        self.settings.append((name, value))
        return True


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[FileCamera]:
    """Plug in a camera that gives twelve frames and is gone then; every opening is noted."""
    path, opened = _write_video(tmp_path / "camera.avi", 12, "MJPG"), []
    real = cv2.VideoCapture

    def play(*arguments: object) -> object:
        if arguments and isinstance(arguments[0], str):
            return real(*arguments)
        monkeypatch.setattr(camera.cv2, "VideoCapture", real)
        opened.append(FileCamera(path))
        monkeypatch.setattr(camera.cv2, "VideoCapture", play)
        return opened[-1]

    def unplugged_after_the_first(index: int) -> None:
        if opened:
            raise SourceError(f"There is no camera {index}")

    monkeypatch.setattr(camera, "_check_device", unplugged_after_the_first)
    monkeypatch.setattr(camera.cv2, "VideoCapture", play)
    return opened


def test_a_camera_that_is_unplugged_is_lost(plug: list[FileCamera]) -> None:
    taken, notices = [], []
    with open_source("0", reconnect_s=0.6, notice=notices.append) as source:
        assert (source.is_live, source.frames, source.size) == (True, None, SIZE)
        with pytest.raises(SourceLost, match="Camera 0 stopped giving frames"):
            taken.extend(source)
    assert len(taken) == 11  # one went to finding out its size
    times = [frame.timestamp_s for frame in taken]
    assert times == sorted(times)
    assert times[0] == 0
    assert notices == ["Camera 0 stopped giving frames; trying again"]
    source.close()


def test_a_camera_is_asked_for_its_mode(plug: list[FileCamera]) -> None:
    with open_source("/dev/video0?width=64&height=48&fps=20&format=MJPG", reconnect_s=0):
        pass
    asked = dict(plug[0].settings)
    assert asked[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (64, 48)
    assert asked[cv2.CAP_PROP_FPS] == 20


def test_a_mode_that_the_camera_has_not_is_refused(plug: list[FileCamera]) -> None:
    with pytest.raises(SourceError, match=r"width=64 instead of 1920.*fps=20\.0 .*v4l2-ctl"):
        open_source("/dev/video0?width=1920&height=48&fps=25")


@pytest.mark.parametrize(
    "query", ["width=wide", "width=0", "zoom=2", "format=MJPEG", "fps=-1", "fps=nan"]
)
def test_a_mode_that_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(SourceError, match="Expected"):
        open_source(f"/dev/video0?{query}")


def test_a_camera_without_frames_is_refused(
    monkeypatch: pytest.MonkeyPatch, plug: list[FileCamera]
) -> None:
    monkeypatch.setattr(FileCamera, "read", lambda self: (False, None), raising=False)
    with pytest.raises(SourceError, match="gives no frame"):
        open_source("0")


def test_a_phone_held_upright_gives_upright_frames(tmp_path: Path) -> None:
    """The matrix in an MP4's track header turns the picture by 90 degrees."""
    path = _write_video(tmp_path / "a.mp4", 5, "mp4v")
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    turned = (0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[0] << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *turned)
    path.write_bytes(content)
    with open_source(str(path)) as source:
        assert source.size == SIZE[::-1]
        assert [frame.image.shape for frame in source] == [(*SIZE[::-1], 3)] * 5


def test_a_recording_with_pauses_is_whole(tmp_path: Path) -> None:
    """A duration at the nominal rate announces more frames than such a file has."""
    writer = MatroskaWriter(tmp_path / "a.mkv", 30.0, SIZE)
    for time_s in (0.0, 0.1, 5.0, 9.0):
        writer.write(cv2.imencode(".jpg", _picture(90))[1].tobytes(), time_s)
    writer.close()
    with open_source(str(tmp_path / "a.mkv")) as source:
        assert [frame.timestamp_s for frame in source] == pytest.approx([0.0, 0.1, 5.0, 9.0])
    with open_source(str(tmp_path / "a.mkv"), loop=True) as source:
        times = [frame.timestamp_s for frame, _ in zip(source, range(6), strict=False)]
    assert times == pytest.approx([0.0, 0.1, 5.0, 9.0, 9.0 + 1 / 30, 9.1 + 1 / 30], abs=1e-3)


@pytest.mark.parametrize("positions", [[0.0] * 4, [math.nan] * 4, [7.0, 6.0, -1.0, math.inf]])
def test_times_that_do_not_rise_are_made_up(positions: list[float]) -> None:
    clock = Clock(0.04)
    assert [clock.tick(s) for s in positions] == pytest.approx([0.0, 0.04, 0.08, 0.12])


def test_a_looped_file_that_is_gone_is_lost(tmp_path: Path) -> None:
    path = _write_video(tmp_path / "a.avi", 3, "MJPG")
    frames = iter(open_source(str(path), loop=True))
    next(frames)
    path.unlink()
    with pytest.raises(SourceLost, match="cannot be read again"):
        list(frames)


@pytest.mark.parametrize("reconnect_s", [-1.0, math.nan])
def test_a_wait_that_is_none_is_refused(reconnect_s: float) -> None:
    with pytest.raises(SourceError, match="cannot be waited for"):
        open_source("synthetic://", reconnect_s=reconnect_s)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real clips beside the repository")
def test_a_real_clip_gives_as_many_frames_as_it_announces() -> None:
    with open_source(str(sorted(CLIPS.glob("*.mp4"))[0])) as source:
        assert sum(1 for _ in source) == source.frames
    assert source.size == (360, 640)
