import json
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import Result

from edge_vos.bundle import Bundle
from edge_vos.cli.video import session
from edge_vos.errors import (
    EdgeVosError,
    PromptError,
    SinkError,
    SourceError,
    SourceLost,
    UsageError,
)
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.masks import read_mask, write_palette_png
from tests.cli.running import invoke, refused, start, stop, wait_until
from tests.runtime.videos import count_frames, probe, write_video

SCENE = "synthetic://?size=128x192&objects=2"


def _segment(bundle: Bundle, *arguments: str) -> Result:
    return invoke("segment", *arguments, "--model", bundle.path)


def _refused(bundle: Bundle, *arguments: str) -> EdgeVosError:
    return refused(bundle, "segment", *arguments)


@pytest.fixture
def clip(tmp_path: Path, scene: object) -> Path:
    """Eight images of a red and a green square that move, and the first one's mask."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(8):
        image, mask = scene((10 + 3 * index, 20), (120, 60))  # type: ignore[operator]
        cv2.imwrite(str(folder / f"{index:05d}.png"), image)
        if index == 0:
            write_palette_png(tmp_path / "first.png", mask)
    return folder


def test_json_is_one_document_and_every_output_is_there(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    outputs = [str(tmp_path / name) for name in ("a.mp4", "masks", "masks.jsonl")]
    arguments = [part for uri in outputs for part in ("-o", uri)]
    result = _segment(tiny_bundle, f"{SCENE}&frames=12", "--json", *arguments, "-o", "none")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["frames"] == 12
    assert document["dropped"] == 0
    assert document["fps"] > 0
    assert (document["objects"], document["object_ids"]) == (2, [1, 2])
    assert document["outputs"] == outputs
    assert document["ended"] == "end"
    assert 0 <= document["j"] <= 100
    assert {"infer", "end_to_end"} <= set(document["latency_ms"])
    assert set(document["latency_ms"]["infer"]) == {"p50", "p90", "p99", "max"}
    assert document["peak_rss_bytes"] > 1e7
    assert document["engine"] == "onnx"
    assert document["engine_reason"] == "which the bundle was made for"
    assert count_frames(tmp_path / "a.mp4") == 12
    assert len(list((tmp_path / "masks").iterdir())) == 12
    assert len((tmp_path / "masks.jsonl").read_text().splitlines()) == 12


def test_a_mask_is_followed(tiny_bundle: Bundle, tmp_path: Path, clip: Path) -> None:
    masks = tmp_path / "masks"
    arguments = ("--mask", str(tmp_path / "first.png"), "-o", str(masks))
    result = _segment(tiny_bundle, str(clip), *arguments)
    assert result.exit_code == 0, result.output
    assert "8 frames" in result.stdout
    assert "which the bundle was made for" in result.stdout
    assert f"wrote {masks}" in result.stdout
    last = read_mask(masks / "00007.png")
    assert set(np.unique(last)) == {0, 1, 2}
    assert last[40, 50] == 1
    assert last[80, 140] == 2


def test_boxes_and_points_are_followed(tiny_bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    prompts = ("--box", "4,14,60,60", "--point", "144,84")
    result = _segment(tiny_bundle, str(clip), *prompts, "--json", "--frames", "3")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["objects"], document["frames"], document["ended"]) == (2, 3, "frames")
    assert document["outputs"] == []
    assert document["j"] is None


def test_objects_have_the_names_that_were_typed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    lines = tmp_path / "masks.jsonl"
    names = ("--name", "cup", "--name", "tässchen")
    result = _segment(tiny_bundle, f"{SCENE}&frames=2", *names, "-o", str(lines))
    assert result.exit_code == 0, result.output
    for line in lines.read_text().splitlines():
        assert [state["name"] for state in json.loads(line)["objects"]] == ["cup", "tässchen"]


def test_a_part_of_a_video_goes_in_and_its_times_and_sound_come_out(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "in.mp4", [i / 25 for i in range(75)], sound="aac")
    lines, video = tmp_path / "a.jsonl", tmp_path / "a.mp4"
    part = ("--start", "0:01", "--end", "00:00:02", "--box", "10,5,30,20", "--json")
    result = _segment(tiny_bundle, str(path), *part, "-o", str(video), "-o", str(lines))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 25
    found = probe(video)
    assert found.times_s == pytest.approx([i / 25 for i in range(25)], abs=1e-3)
    assert (found.codec, found.pixels, found.sound) == ("h264", "yuv420p", "aac")
    assert found.sound_s == pytest.approx(1.0, abs=0.13)
    told = [json.loads(line)["objects"][0]["event"] for line in lines.read_text().splitlines()]
    assert set(told) <= {None, "lost", "found"}


@pytest.mark.usefixtures("without_pyav")
def test_what_the_base_install_cannot_do_is_said_once_and_in_json(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    scene = "synthetic://?size=121x161&objects=1&frames=3"
    result = _segment(tiny_bundle, scene, "--json", "-o", str(tmp_path / "a.mp4"))
    assert result.exit_code == 0, result.output
    padded, limits = json.loads(result.stdout)["notes"]
    assert "is padded from 161x121 to 162x122" in padded
    assert "MPEG-4 part 2" in limits
    assert result.stderr.splitlines() == [padded, limits]


@pytest.mark.parametrize(
    ("part", "kind", "message"),
    [
        (("--start", "soon"), UsageError, "--start 'soon' is no time"),
        (("--start", "3", "--end", "2"), SourceError, "nothing from 3 s to 2 s"),
        (("--start", "9"), SourceError, "None of the 8 images"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    tiny_bundle: Bundle, clip: Path, part: tuple[str, ...], kind: type[Exception], message: str
) -> None:
    error = _refused(tiny_bundle, str(clip), "--box", "4,14,60,60", *part)
    assert isinstance(error, kind)
    assert message in str(error)


def test_without_an_output_it_says_so(tiny_bundle: Bundle) -> None:
    result = _segment(tiny_bundle, f"{SCENE}&frames=3")
    assert "3 frames" in result.stdout
    assert "Nothing was written" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("missing.mp4",), SourceError, "missing.mp4"),
        (("{clip}",), PromptError, "--box X,Y,W,H"),
        (("{clip}", "--box", "1,2,3"), UsageError, "X,Y,W,H"),
        (("{clip}", "--point", "a,b"), UsageError, "X,Y"),
        (("{clip}", "--mask", "missing.png"), PromptError, "missing.png"),
        (("{clip}", "--box", "900,900,5,5"), PromptError, "900,900"),
        (("{clip}", "--box", "4,14,60,60", "--name", "a", "--name", "b"), UsageError, "--name b"),
        ((SCENE, "--name", "a", "--name", "b", "--name", "c"), UsageError, "3 names and 2"),
        ((SCENE, "--name", "x" * 41), PromptError, "at most 40"),
        ((SCENE, "-o", "a.gif"), SinkError, "a.gif"),
        ((SCENE, "--engine", "abacus"), EdgeVosError, "abacus"),
        (("{clip}", "--box", "4,14,60,60", "-o", "{clip}", "--overwrite"), SinkError, "itself"),
        (
            ("{clip}/*.png", "--box", "4,14,60,60", "-o", "{clip}/", "--overwrite"),
            SinkError,
            "itself",
        ),
        ((SCENE, "-o", ""), SinkError, "no path"),
        ((SCENE, "--reconnect", "nan"), SourceError, "nan s"),
    ],
)
def test_mistakes_are_named(
    tiny_bundle: Bundle, clip: Path, arguments: tuple[str, ...], kind: type, message: str
) -> None:
    error = _refused(tiny_bundle, *(part.replace("{clip}", str(clip)) for part in arguments))
    assert isinstance(error, kind)
    assert message in str(error)
    assert len(list(clip.iterdir())) == 8


def test_an_output_that_exists_needs_overwrite(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_text("precious")
    arguments = (f"{SCENE}&frames=4", "-o", str(path))
    assert isinstance(_refused(tiny_bundle, *arguments), SinkError)
    assert path.read_text() == "precious"
    assert _segment(tiny_bundle, *arguments, "--overwrite").exit_code == 0
    assert count_frames(path) == 4


@pytest.mark.parametrize("name", ["one.mkv", "one.partial.mkv"])
def test_a_video_does_not_replace_itself(tiny_bundle: Bundle, tmp_path: Path, name: str) -> None:
    assert _segment(tiny_bundle, f"{SCENE}&frames=2", "-o", f"{tmp_path}/{name}").exit_code == 0
    before = (tmp_path / name).read_bytes()
    arguments = ("--box", "9,9,60,60", "-o", str(tmp_path / "one.mkv"), "--overwrite")
    for source in (str(tmp_path / name), f"{tmp_path}/*.mkv"):
        assert "itself" in str(_refused(tiny_bundle, source, *arguments))
    files = [(path.name, path.read_bytes()) for path in tmp_path.glob("one*")]
    assert files == [(name, before)]


def test_a_mask_that_is_shown_is_not_removed(
    tiny_bundle: Bundle, clip: Path, tmp_path: Path
) -> None:
    given = tmp_path / "masks" / "00000.png"
    given.parent.mkdir()
    (tmp_path / "first.png").rename(given)
    arguments = ("--mask", str(given), "-o", str(given.parent), "--overwrite")
    assert "itself" in str(_refused(tiny_bundle, str(clip), *arguments))
    assert given.exists()


def test_a_refused_prompt_leaves_nothing_behind(
    tiny_bundle: Bundle, clip: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    outputs = ("-o", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "a.jsonl"))
    error = _refused(tiny_bundle, str(clip), "--box", "900,900,5,5", *outputs)
    assert isinstance(error, PromptError)
    assert sorted(tmp_path.iterdir()) == before


def test_a_source_that_breaks_off_keeps_what_came_before(
    tiny_bundle: Bundle, clip: Path, tmp_path: Path
) -> None:
    (clip / "00005.png").write_bytes(b"broken")
    output = tmp_path / "a.mkv"
    arguments = ("--box", "4,14,60,60", "-o", str(output), "--json")
    result = _segment(tiny_bundle, str(clip), *arguments)
    assert isinstance(result.exception, SourceLost)
    document = json.loads(result.stdout)
    assert (document["frames"], document["ended"]) == (5, "lost")
    assert count_frames(output) == 5


def test_a_window_needs_a_display(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "display_problem", lambda: "there is no display")
    error = _refused(tiny_bundle, SCENE, "-o", "window")
    assert "Leave `-o window` out" in str(error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_completes_the_recording_and_prints_the_report(
    tiny_bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    recording, lines = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    partial = tmp_path / "a.partial.jsonl"
    process = start(
        "segment", f"{SCENE}&frames=1000000", "--threads", 1, "--model", tiny_bundle.path,
        "-o", recording, "-o", lines, "--json",
    )  # fmt: skip
    try:
        wait_until(process, lambda: partial.exists() and partial.stat().st_size > 20_000)
        document = stop(process, number)
    finally:
        process.kill()
    assert document["ended"] == "stopped"
    assert document["frames"] > 0
    assert document["outputs"] == [str(recording), str(lines)]
    assert count_frames(recording) == document["frames"]
    assert len(lines.read_text().splitlines()) == document["frames"]
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.jsonl", "a.mp4"]


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Undo what a parent may have set: shells have jobs in the background ignore SIGINT."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("default_sigint")
def test_the_second_signal_acts_as_usual() -> None:
    controls = Controls()
    with session.stop_on_signals(controls):
        signal.raise_signal(signal.SIGINT)
        assert controls.stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
