from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime import camera
from edge_vos.runtime.source import Frame, open_source

SIZE = (48, 64)
CLIPS = Path(__file__).parents[3] / "shared" / "data" / "clips"


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


def test_an_image_of_another_size_is_lost(folder: Path) -> None:
    cv2.imwrite(str(folder / "2.png"), _picture(2, (48, 66)))
    with pytest.raises(SourceLost, match=r"48x66.*48x64"):
        list(open_source(str(folder)))


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


@pytest.mark.skipif(not camera.sys.platform.startswith("linux"), reason="looks at /dev/video*")
def test_a_missing_camera_is_refused_and_synthetic_is_offered() -> None:
    for uri in ("97", "/dev/video97"):
        with pytest.raises(SourceError, match=r"no camera 97 .*synthetic://"):
            open_source(uri)


class _Camera:
    """Give three frames and then fail, as a camera does that is unplugged."""

    def __init__(self, *_: object) -> None:
        self.left, self.released = 3, 0

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, *_: object) -> bool:
        return True

    def get(self, _: int) -> float:
        return 0.0

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, _picture(self.left)

    def read(self) -> tuple[bool, np.ndarray]:
        return self.grab(), _picture(self.left)

    def release(self) -> None:
        self.released += 1


def test_a_camera_that_stops_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Camera] = []
    monkeypatch.setattr(camera, "_check_device", lambda _: None)
    monkeypatch.setattr(camera.cv2, "VideoCapture", lambda *_: made.append(_Camera()) or made[-1])
    taken = []
    with open_source("0") as source:
        assert (source.is_live, source.frames, source.size, source.fps) == (True, None, SIZE, 30.0)
        with pytest.raises(SourceLost, match="Camera 0 stopped"):
            taken.extend(source)
    assert _levels(taken) == [2, 1, 0]
    assert [frame.timestamp_s >= 0 for frame in taken] == [True] * 3
    source.close()
    assert made[0].released == 1


def test_a_camera_without_frames_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_check_device", lambda _: None)
    monkeypatch.setattr(_Camera, "read", lambda self: (False, None))
    monkeypatch.setattr(camera.cv2, "VideoCapture", _Camera)
    with pytest.raises(SourceError, match="gives no frame"):
        open_source("0")


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real clips beside the repository")
def test_a_real_clip_gives_as_many_frames_as_it_announces() -> None:
    with open_source(str(sorted(CLIPS.glob("*.mp4"))[0])) as source:
        assert sum(1 for _ in source) == source.frames
    assert source.size == (360, 640)
