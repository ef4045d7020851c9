"""Video files as people have them, read with PyAV and, as far as it goes, without."""

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SourceError, SourceLost
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.opening import open_sink, open_sinks
from edge_vos.runtime.sources.frame import Original
from edge_vos.runtime.sources.opening import open_source
from tests.runtime.videos import SIZE, VARIABLE_S, add_h264, encode, picture, write_video

av = pytest.importorskip("av", reason='needs PyAV: pip install "edge-vos[video]"')


@pytest.fixture(params=["pyav", "opencv"])
def install(request: pytest.FixtureRequest) -> str:
    """Read with one library and with the other."""
    if request.param == "opencv":
        request.getfixturevalue("without_pyav")
    return request.param


def _levels(images: list[np.ndarray]) -> list[int]:
    return [round((float(image[-20:, -20:].mean()) - 20) / 10) for image in images]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_a_varying_rate_keeps_every_frame_and_its_time(
    tmp_path: Path, install: str, suffix: str
) -> None:
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    path = write_video(tmp_path / f"a.{suffix}", VARIABLE_S, codec=codec)
    with open_source(str(path)) as source:
        frames = list(source)
    assert _levels([frame.image for frame in frames]) == list(range(11))
    assert [frame.timestamp_s for frame in frames] == pytest.approx(VARIABLE_S, abs=1e-3)


def test_a_file_whose_clock_does_not_begin_at_zero(tmp_path: Path, install: str) -> None:
    path = write_video(tmp_path / "a.ts", [i / 25 for i in range(30)], origin_s=3600.0)
    with open_source(str(path)) as source:
        times = [frame.timestamp_s for frame in source]
    assert times[:3] == pytest.approx([0, 0.04, 0.08], abs=1e-3)
    with open_source(str(path), start_s=0.4) as source:
        assert _levels([next(iter(source)).image]) == [10]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mkv", "libx265", "yuv420p10le"), ("a.mov", "prores_ks", "yuv422p10le"),
     ("b.mkv", "libx264", "yuv444p")],
)  # fmt: skip
def test_ten_bits_and_full_chroma_are_read(
    tmp_path: Path, install: str, name: str, codec: str, pixels: str
) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / name, [0, 0.04, 0.08], codec=codec, pixels=pixels, options=quiet)
    with open_source(str(path)) as source:
        images = [frame.image for frame in source]
    assert _levels(images) == [0, 1, 2]
    assert images[0][5, 5].min() > 240
    assert np.abs(images[2][-20:, -20:].astype(int) - 40).max() < 4


@pytest.mark.parametrize(
    ("turned", "corner"),
    [((0, 1, -1, 0), (5, -5)), ((0, -1, 1, 0), (-5, 5)), ((-1, 0, 0, -1), (-5, -5))],
    ids=["90", "270", "180"],
)
def test_a_phones_rotation_turns_the_picture_the_right_way(
    tmp_path: Path, install: str, turned: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    """The white corner was at the top left of what the sensor saw."""
    path = write_video(tmp_path / "a.mp4", [0, 0.04, 0.08])
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in turned)
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    with open_source(str(path)) as source:
        image = next(iter(source)).image
        assert source.size == image.shape[:2] == (SIZE[::-1] if turned[1] else SIZE)
    assert image[corner].min() > 230
    assert image.flags.c_contiguous
    assert sum(image[y, x].min() > 230 for y in (5, -5) for x in (5, -5)) == 1


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [(0.0, None, range(100)), (1.0, None, range(25, 100)), (1.01, 2.0, range(26, 50)),
     (0.0, 0.04, range(1)), (3.9, 99.0, range(98, 100))],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_part_is_exact_to_the_frame(
    tmp_path: Path, install: str, name: str, start_s: float, end_s: float | None, expected: range
) -> None:
    path = write_video(tmp_path / name, [i / 25 for i in range(100)], options={"g": "40"})
    with open_source(str(path), start_s=start_s, end_s=end_s) as source:
        frames = list(source)
    assert _levels([f.image for f in frames]) == [i % 20 for i in expected]
    assert [f.timestamp_s for f in frames] == pytest.approx(
        [(i - expected[0]) / 25 for i in expected], abs=1e-3
    )
    assert source.frames == (100 if len(expected) == 100 else None)


def test_a_part_can_be_looped(tmp_path: Path, install: str) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    with open_source(str(path), loop=True, start_s=1.0, end_s=1.12) as source:
        taken = [frame for frame, _ in zip(source, range(7), strict=False)]
    assert _levels([frame.image for frame in taken]) == [5, 6, 7, 5, 6, 7, 5]
    assert source.original is not None
    assert not source.original.has_sound


@pytest.mark.parametrize(("start_s", "end_s"), [(5.0, None), (1.005, 1.03)])
def test_a_part_without_frames_is_refused(
    tmp_path: Path, install: str, start_s: float, end_s: float | None
) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    with pytest.raises(SourceError, match=r"no frame from .* 2\.0 s.*--start"):
        open_source(str(path), start_s=start_s, end_s=end_s)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(-1.0, None), (2.0, 1.0), (float("nan"), None), (0.0, float("nan"))]
)
def test_a_part_that_is_none_is_refused(start_s: float, end_s: float | None) -> None:
    with pytest.raises(SourceError, match="There is nothing from"):
        open_source("a.mp4", start_s=start_s, end_s=end_s)


@pytest.mark.parametrize("uri", ["0", "/dev/video0", "rtsp://me:p@ss@camera/", "synthetic://"])
def test_a_camera_has_no_start(uri: str) -> None:
    with pytest.raises(SourceError, match="has no start and end") as caught:
        open_source(uri, start_s=1.0)
    assert "p@ss" not in str(caught.value)


def test_a_part_of_a_folder_goes_by_thirty_images_a_second(tmp_path: Path) -> None:
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index))
    with open_source(str(tmp_path), start_s=0.2, end_s=0.4) as source:
        assert source.frames == 6
        assert _levels([frame.image for frame in source]) == [6, 7, 8, 9, 10, 11]
    with pytest.raises(SourceError, match=r"None of the 20 images .* 0\.7 s"):
        open_source(str(tmp_path), start_s=3.0)


def test_a_file_that_is_cut_off_is_lost(tmp_path: Path, install: str) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(200)], options={"g": "10"})
    moved = tmp_path / "b.mp4"  # with its index before its pictures
    with (
        av.open(str(path)) as whole,
        av.open(str(moved), "w", options={"movflags": "faststart"}) as output,
    ):
        stream = output.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    content = moved.read_bytes()
    moved.write_bytes(content[: len(content) * 2 // 3])
    taken = []
    with (
        open_source(str(moved)) as source,
        pytest.raises(SourceLost, match=r"broke off after \d+ of 200 frames.*truncated"),
    ):
        taken.extend(source)
    assert len(taken) > 20
    with (
        open_source(str(moved), start_s=1.0) as source,
        pytest.raises(SourceLost, match="broke off"),
    ):
        list(source)
    with open_source(str(moved), end_s=0.5) as source:
        assert sum(1 for _ in source) == 13


def test_a_source_tells_of_its_sound(tmp_path: Path) -> None:
    quiet = write_video(tmp_path / "quiet.mp4", [0, 0.04])
    loud = write_video(tmp_path / "loud.mp4", [i / 25 for i in range(50)], sound="aac")
    with open_source(str(quiet)) as source:
        assert source.original is not None
        assert not source.original.has_sound
    with open_source(str(loud), start_s=1.0) as source:
        assert source.original is not None
        assert source.original.has_sound
        assert (source.original.path, round(source.original.start_s, 3)) == (str(loud), 1.0)


def test_a_songs_cover_is_no_video(tmp_path: Path) -> None:
    """A music file may hold moving pictures behind its cover."""
    path = tmp_path / "a.mp4"
    jpeg = cv2.imencode(".jpg", np.zeros((300, 300, 3), np.uint8))[1].tobytes()
    with av.open(str(path), "w") as container:
        stream = add_h264(container)
        cover = container.add_stream("mjpeg", rate=1)
        cover.height = cover.width = 300
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.start_encoding()
        packet = av.Packet(jpeg)
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
        container.mux(packet)
        encode(container, stream, 5)
    with open_source(str(path)) as source:
        assert (source.size, len(list(source))) == (SIZE, 5)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError, match="cannot be opened as a video"):
        open_source(str(tmp_path / "a.mkv"))


def test_colours_are_those_that_the_file_says(tmp_path: Path) -> None:
    """High definition counts red and green in another way than the old standard did."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = 1
        image = np.full((*SIZE, 3), (30, 60, 210), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert np.abs(next(iter(source)).image[60, 80].astype(int) - (30, 60, 210)).max() < 6


def test_sound_that_is_longer_than_the_pictures_is_no_loss(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", [i / 25 for i in range(25)], sound="pcm_s16le", sound_s=8.0
    )
    with open_source(str(path)) as source:
        assert sum(1 for _ in source) == 25


def test_a_browsers_recording_has_a_clock_and_no_rate(tmp_path: Path, install: str) -> None:
    """Neither a duration nor an index, and 1000 ticks a second where others tell their rate."""
    times_s = [0.033 * i for i in range(30)]
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=1000)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert (source.fps, source.frames) == (30.0, None)
        assert [f.timestamp_s for f in source] == pytest.approx(times_s, abs=1e-3)


def test_a_trail_cameras_pixels_change_their_format(tmp_path: Path) -> None:
    """OpenCV's wheel crashes at this, so it is read with PyAV only."""
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuvj422p"
        container.start_encoding()
        for index in range(6):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width = SIZE
            encoder.pix_fmt = "yuvj420p" if index else "yuvj422p"
            encoder.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            frame = frame.reformat(format=encoder.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    with open_source(str(tmp_path / "a.avi")) as source:
        assert _levels([frame.image for frame in source]) == list(range(6))


def test_frames_may_change_their_size_in_mid_stream(tmp_path: Path, install: str) -> None:
    """As a call does whose line gets worse."""
    parts = [
        write_video(tmp_path / f"{size[0]}.ts", [i / 25 for i in range(10)], size=size, origin_s=s)
        for size, s in ((SIZE, 0.0), ((96, 128), 0.4))
    ]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(str(path)) as source:
        frames = list(source)
    assert frames[0].image.shape == (*SIZE, 3)
    # OpenCV scales to the first size.
    assert frames[-1].image.shape == ((96, 128, 3) if install == "pyav" else (*SIZE, 3))
    assert len(frames) >= 19
    assert _levels([frames[-1].image]) == [9]


def test_a_stream_that_was_cut_begins_at_its_first_whole_frame(
    tmp_path: Path, install: str
) -> None:
    whole = write_video(tmp_path / "a.ts", [i / 25 for i in range(60)], options={"g": "20"})
    (tmp_path / "b.ts").write_bytes(whole.read_bytes()[188 * 20 :])
    with open_source(str(tmp_path / "b.ts")) as source:
        frames = list(source)
    assert len(frames) >= 20
    assert frames[0].timestamp_s == 0
    assert _levels([frames[-1].image]) == [59 % 20]


def test_a_raw_stream_without_times_goes_by_its_rate(tmp_path: Path, install: str) -> None:
    path = write_video(tmp_path / "a.h264", [i / 25 for i in range(10)])
    with open_source(str(path)) as source:
        times = [frame.timestamp_s for frame in source]
    assert times == pytest.approx([i / source.fps for i in range(10)])


def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = add_h264(container)
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        encode(container, stream, 3)
    with open_source(str(path)) as source:
        assert source.original is not None
        assert source.original.pixel_aspect == Fraction(64, 45)
        (sink,) = open_sinks(
            [str(tmp_path / "b.mkv")], source.fps, source.size, original=source.original
        )
        nothing = FrameResult(np.zeros(SIZE, np.uint8), np.zeros((5, 32, 40)), (), {}, 0)
        with sink:
            for frame in source:
                sink.write(frame, nothing)
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert float(container.streams.video[0].sample_aspect_ratio) == pytest.approx(64 / 45, 0.01)


@pytest.mark.usefixtures("without_pyav")
def test_the_base_install_says_that_pixels_lose_their_shape(tmp_path: Path) -> None:
    wide = Original("a.mp4", 0.0, pixel_aspect=Fraction(64, 45))
    with open_sink(str(tmp_path / "b.mp4"), 25.0, SIZE, original=wide) as sink:
        pass
    assert any("will look stretched" in note for note in sink.notes)


def test_wide_colours_are_read_by_their_own_matrix(tmp_path: Path) -> None:
    """BT.2020, as phones record it; brightness beyond the old standard is not mapped."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=25, options={"crf": "5", "x265-params": "log-level=none"}
        )
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p10le"
        stream.codec_context.colorspace = 9
        image = np.full((*SIZE, 3), (40, 90, 180), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        container.mux(stream.encode(frame.reformat(format="yuv420p10le", dst_colorspace=9)))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert np.abs(next(iter(source)).image[60, 80].astype(int) - (40, 90, 180)).max() < 6
