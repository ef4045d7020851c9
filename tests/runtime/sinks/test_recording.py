"""Videos as other programs see them: frames, times, codec, sound; with PyAV and without."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.opening import open_sink, open_sinks
from edge_vos.runtime.sinks.video import pyav
from edge_vos.runtime.sources.frame import Frame, Original
from edge_vos.runtime.sources.opening import open_source
from tests.runtime.videos import VARIABLE_S, probe, write_video

av = pytest.importorskip("av", reason='needs PyAV: pip install "edge-vos[video]"')
SIZE = (120, 160)


def _pair(index: int, size: tuple[int, int] = SIZE, time_s: float | None = None):
    image = np.full((*size, 3), 90, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[40:80, 20 + index : 70 + index] = 1
    state = ObjectState(1, 2000, (20 + index, 40, 50, 40), 0.875, lost=False)
    frame = Frame(image, index, index / 25 if time_s is None else time_s, 0.0, 0.0)
    probability = np.zeros((5, size[0] // 16 * 4 + 4, size[1] // 16 * 4 + 4), np.float32)
    probability[0] = 1.0
    return frame, FrameResult(mask, probability, (state,), {}, index)


def _copy(source_path: Path, output: Path) -> None:
    """Read a video and write its overlay, as `segment` does."""
    with open_source(str(source_path)) as source:
        (sink,) = open_sinks([str(output)], source.fps, source.size, original=source.original)
        with sink:
            for frame in source:
                sink.write(frame, replace(_pair(0, source.size)[1], objects=()))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
@pytest.mark.parametrize(
    "times_s", [VARIABLE_S, [i * 1001 / 30000 for i in range(20)]], ids=["variable", "constant"]
)
def test_frames_and_their_times_are_those_of_the_source(
    tmp_path: Path, suffix: str, times_s: list[float]
) -> None:
    _copy(write_video(tmp_path / "in.mp4", times_s), tmp_path / f"out.{suffix}")
    assert probe(tmp_path / f"out.{suffix}").times_s == pytest.approx(times_s, abs=1e-3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_video_is_h264_that_browsers_play(tmp_path: Path, suffix: str) -> None:
    _copy(write_video(tmp_path / "in.mp4", VARIABLE_S), tmp_path / f"out.{suffix}")
    found = probe(tmp_path / f"out.{suffix}")
    assert (found.codec, found.pixels, found.size) == ("h264", "yuv420p", SIZE)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "vp9"), ("a.webm?codec=av1", "av1"), ("a.mkv?codec=vp9", "vp9"),
                        ("a.mp4?codec=av1", "av1"), ("a.mov?codec=prores", "prores")],
)  # fmt: skip
def test_another_codec_is_one_option_away(tmp_path: Path, name: str, codec: str) -> None:
    with open_sink(f"{tmp_path}/{name}", 25.0, SIZE) as sink:
        for index in range(3):
            sink.write(*_pair(index))
    path = tmp_path / name.partition("?")[0]
    assert sink.files == (str(path),)
    assert probe(path).codec in (codec, f"lib{codec}", "libdav1d")
    assert len(probe(path).times_s) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's classes of scheduling")
def test_no_encoder_runs_in_real_time(tmp_path: Path) -> None:
    with open_sink(f"{tmp_path}/a.mkv?codec=av1", 25.0, SIZE) as sink:
        for index in range(3):
            sink.write(*_pair(index))
        classes = {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}
    assert {*classes, os.sched_getscheduler(0)} == {os.SCHED_OTHER}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.mp4?codec=prores", r"cannot hold 'prores'.*one of h264, av1"),
        ("a.avi?codec=h264", "cannot hold 'h264'.*no codec for .avi"),
        ("a.mkv?codec=", "cannot hold ''"),
        ("a.jsonl?codec=h264", "unknown kind"),
    ],
)
def test_a_codec_that_a_container_does_not_hold_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(SinkError, match=message):
        open_sink(f"{tmp_path}/{name}", 25.0, SIZE)
    with pytest.raises(SinkError, match=r"cannot hold 'h264'.*one of prores"):
        open_sink(f"matte:{tmp_path}/a.mov?codec=h264", 25.0, SIZE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("install", ["", "without_pyav"])
def test_odd_sides_are_padded_and_it_is_said_once(
    tmp_path: Path, name: str, install: str, request: pytest.FixtureRequest
) -> None:
    if install:
        request.getfixturevalue(install)
    size = (241, 359)
    with open_sink(f"{tmp_path}/{name}", 25.0, size) as sink:
        for index in range(3):
            frame, result = _pair(index, size)
            frame.image[:, -1] = 200
            sink.write(frame, replace(result, objects=()))
    (note,) = [note for note in sink.notes if "is padded" in note]
    assert "from 359x241 to 360x242" in note
    capture = cv2.VideoCapture(str(tmp_path / name))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    capture.release()
    assert len(pictures) == 3
    assert pictures[0].shape == (242, 360, 3)
    assert pictures[0][100, 359].min() > 150  # the last column again
    assert pictures[0][100, 350].max() < 110


def test_sound_goes_along_where_the_container_takes_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mp4", [i / 25 for i in range(50)], sound="aac")
    for name in ("out.mp4", "out.mkv", "out.mov"):
        _copy(path, tmp_path / name)
        found = probe(tmp_path / name)
        assert found.sound == "aac"
        assert found.sound_s == pytest.approx(2.0, abs=0.06)
    with open_source(str(path)) as source:
        sinks = open_sinks(
            [f"{tmp_path}/a.webm", f"{tmp_path}/a.avi"], 25.0, SIZE, original=source.original
        )
        for sink in sinks:
            sink.write(*_pair(0))
            sink.close()
    assert ["without sound" in " ".join(sink.notes) for sink in sinks] == [False, True]
    assert "no sound: this container holds no aac" in sinks[0].notes[0]
    assert probe(tmp_path / "a.webm").sound == ""


def test_sound_begins_where_the_first_picture_does(tmp_path: Path) -> None:
    """A tone that rises every half second tells where in the file its sound comes from."""
    path = write_video(tmp_path / "in.mkv", [i / 25 for i in range(100)], sound="pcm_s16le")
    with open_source(str(path), start_s=2.0, end_s=3.0) as source:
        sink = open_sink(f"{tmp_path}/out.mkv", 25.0, SIZE, original=source.original)
        with sink:
            for frame in source:
                sink.write(frame, _pair(0)[1])
    found = probe(tmp_path / "out.mkv")
    assert len(found.times_s) == 25
    assert found.sound_s == pytest.approx(1.0, abs=0.13)  # whole packets
    assert found.levels[0] == pytest.approx(5000, abs=200)
    assert found.levels[-2] == pytest.approx(6000, abs=200)


def test_a_source_that_does_not_hold_sound_any_more_is_told(tmp_path: Path) -> None:
    gone = Original(str(tmp_path / "gone.mp4"), 0.0, has_sound=True)
    with open_sink(f"{tmp_path}/a.mp4", 25.0, SIZE, original=gone) as sink:
        sink.write(*_pair(0))
    assert "it cannot be read" in sink.notes[0]
    assert len(probe(tmp_path / "a.mp4").times_s) == 1


@pytest.mark.parametrize(("name", "pixels"), [("a.mov", "yuva444p"), ("a.webm", "yuva420p")])
def test_a_matte_has_the_frames_colours_and_alpha(tmp_path: Path, name: str, pixels: str) -> None:
    frame, result = _pair(0)
    frame.image[:] = (30, 60, 200)
    probability = np.zeros((5, 32, 40), np.float32)
    probability[1, 1:31] = result.mask[2::4, 2::4] == 1
    probability[0] = 1 - probability[1]
    with open_sink(f"matte:{tmp_path}/{name}", 25.0, SIZE) as sink:
        for index in range(3):
            sink.write(
                replace(frame, timestamp_s=index / 25), replace(result, probability=probability)
            )
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if name == "a.webm" else None
        packets = list(container.demux(stream))
        frames = [f for p in packets for f in (decoder.decode(p) if decoder else p.decode())]
        assert len(frames) == 3
        assert frames[0].format.name.startswith(pixels)
        picture = frames[0].to_ndarray(format="bgra").astype(int)
    assert np.abs(picture[60, 45, :3] - (30, 60, 200)).max() < 30
    assert (picture[60, 45, 3], picture[100, 140, 3]) == (255, 0)


def test_where_nothing_is_the_alpha_is_nothing(tmp_path: Path) -> None:
    """FFmpeg's threads left some, in a few pictures of a hundred."""
    path, size, rng = tmp_path / "a.mov", (362, 642), np.random.default_rng(0)
    writer = pyav.PyavVideo(path, path, 25.0, size, "prores", alpha=True)
    for index in range(60):
        picture = np.zeros((*size, 4), np.uint8)
        picture[..., :3] = rng.integers(0, 256, 3, np.uint8)
        writer.write(picture, index / 25)
    writer.close()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = np.frombuffer(bytes(frame.planes[3]), np.uint16)
            assert not plane.reshape(frame.height, -1)[:, : frame.width].any()


def test_hardware_encodes_where_it_works_and_software_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def works(name: str, *_: object) -> bool:
        tried.append(name)
        return False

    monkeypatch.setattr(pyav, "_works", works)
    writer = pyav.PyavVideo(tmp_path / "a.mkv", tmp_path / "a.mkv", 25.0, SIZE, "h264")
    writer.close()
    assert writer.encoder == "libx264"
    assert "h264_nvenc" in tried or "h264_videotoolbox" in tried
    # This one stands for a chip's encoder that works.
    monkeypatch.setitem(pyav.CODECS["h264"].hardware, "libvpx-vp9", "yuv420p")
    monkeypatch.setattr(pyav, "_works", lambda name, *_: name == "libvpx-vp9")
    writer = pyav.PyavVideo(tmp_path / "b.mkv", tmp_path / "b.mkv", 25.0, SIZE, "h264")
    writer.write(np.zeros((*SIZE, 3), np.uint8), 0.0)
    writer.close()
    assert (writer.encoder, probe(tmp_path / "b.mkv").codec) == ("libvpx-vp9", "vp9")


def test_only_encoding_tells_whether_an_encoder_works() -> None:
    assert pyav._works("libx264", "yuv420p", SIZE, 25.0)
    assert not pyav._works("libx264", "no such pixels", SIZE, 25.0)
    assert not pyav._works("no such encoder", "yuv420p", SIZE, 25.0)


RECORD = """
import sys, time
import numpy as np
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.opening import open_sink
from edge_vos.runtime.sources.frame import Frame
sink = open_sink(sys.argv[1], 25.0, (120, 160))
result = FrameResult(np.zeros((120, 160), np.uint8), np.zeros((5, 32, 40), np.float32), (), {}, 0)
rng = np.random.default_rng(0)
for index in range(10_000):
    image = np.full((120, 160, 3), index % 200, np.uint8)
    image[:40] = rng.integers(0, 255, (40, 160, 3), np.uint8)
    sink.write(Frame(image, index, index / 25, 0.0, 0.0), result)
    print(index, flush=True)
    time.sleep(0.005)
"""


def test_a_recording_that_is_killed_plays_up_to_its_last_moment(tmp_path: Path) -> None:
    program, written = [sys.executable, "-c", RECORD, str(tmp_path / "a.mkv")], 0
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            written = int(line) + 1
            if written == 60:
                process.send_signal(signal.SIGKILL)
    found = probe(tmp_path / "a.partial.mkv")
    assert found.codec == "h264"
    assert written - 8 <= len(found.times_s) <= written + 1  # a third of a second
    assert found.times_s == pytest.approx([i / 25 for i in range(len(found.times_s))], abs=1e-3)


def test_a_full_disk_is_named_and_what_was_written_plays(tmp_path: Path) -> None:
    """In another process: the limit would hit whatever writes beside it."""
    before, _, after = RECORD.partition("    sink.write(")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        f"from edge_vos.errors import SinkError\n{before}"
        f"    try: sink.write({after.splitlines()[0]}\n"
        "    except SinkError as error: print(error); sink.close(); print(sink.files); break\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.mkv")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "a.mkv cannot be written (File too large)" in first
    assert second == str((str(tmp_path / "a.mkv"),))
    assert [file.name for file in tmp_path.iterdir()] == ["a.mkv"]
    assert len(probe(tmp_path / "a.mkv").times_s) > 5


def test_a_gap_of_a_camera_stays_a_gap(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "a.mp4"), 25.0, SIZE) as sink:
        for time_s in (5.0, 5.04, 5.04, 65.0):
            sink.write(*_pair(0, time_s=time_s))
    assert probe(tmp_path / "a.mp4").times_s == pytest.approx([0, 0.04, 0.04, 60.0], abs=1e-3)


@pytest.mark.usefixtures("without_pyav")
def test_the_base_install_says_in_one_line_what_it_cannot_do(tmp_path: Path) -> None:
    notes = []
    for name in ("a.mp4", "a.mkv", "a.avi"):
        with open_sink(f"{tmp_path}/{name}", 25.0, SIZE) as sink:
            sink.write(*_pair(0))
        notes.append(sink.notes)
    assert "MPEG-4 part 2 at 25 frames/s without sound" in notes[0][0]
    assert "Motion JPEG without sound" in notes[1][0]
    assert all('pip install "edge-vos[video]"' in note for (note,) in notes[:2])
    assert notes[2] == ()
    for name in ("a.webm", "a.mov", "b.mkv?codec=vp9"):
        with pytest.raises(SinkError, match=r"takes PyAV.*edge-vos\[video\]"):
            open_sink(f"{tmp_path}/{name}", 25.0, SIZE)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot be written \(No such file"):
        pyav.PyavVideo(tmp_path / "no/a.mkv", tmp_path / "no/a.mkv", 25.0, SIZE, "h264")


def test_rates_are_exact() -> None:
    assert pyav._rational(29.97002997) == Fraction(30000, 1001)
    assert pyav._rational(25.0) == 25


def test_painting_keeps_its_colours(tmp_path: Path) -> None:
    frame, result = _pair(0)
    expected = Painter().paint(frame, result).astype(int)
    with open_sink(f"{tmp_path}/a.mp4", 25.0, SIZE) as sink:
        sink.write(frame, result)
    with open_source(f"{tmp_path}/a.mp4") as source:
        picture = next(iter(source)).image.astype(int)
    assert np.abs(picture[60, 45] - expected[60, 45]).max() < 12
