"""Masks of all kinds as prompts, the ids and names that come out, and masks of several frames."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.errors import EdgeVosError, MaskError, UsageError
from edge_vos.runtime.annotations.annotation import FrameName
from edge_vos.runtime.annotations.reading import read_annotation
from edge_vos.runtime.masks import davis_palette, jaccard, write_palette_png
from edge_vos.runtime.outlines import outline
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.output import JsonLines
from edge_vos.runtime.sources.frame import Frame

SIZE = (128, 192)
FRAMES = 9


def _segment(bundle: Bundle, *arguments: object) -> Result:
    words = ["segment", *map(str, arguments), "--model", str(bundle.path)]
    return CliRunner().invoke(app, words)


def _refused(bundle: Bundle, *arguments: object) -> EdgeVosError:
    result = _segment(bundle, *arguments)
    assert isinstance(result.exception, EdgeVosError), result.exception
    return result.exception


def _document(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture
def truth() -> list[NDArray[np.uint8]]:
    """Two squares that move towards each other."""
    masks = []
    for index in range(FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[16:64, 16 + 4 * index : 64 + 4 * index] = 1
        mask[72:120, 128 - 4 * index : 176 - 4 * index] = 2
        masks.append(mask)
    return masks


@pytest.fixture
def clip(tmp_path: Path, truth: list[NDArray[np.uint8]]) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    colours = np.array([[40, 40, 40], [0, 0, 230], [0, 230, 0]], np.uint8)
    for index, mask in enumerate(truth):
        cv2.imwrite(str(folder / f"{index:05d}.png"), colours[mask])
    return folder


def test_large_ids_and_names_are_in_every_output(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, truth: list[NDArray[np.uint8]]
) -> None:
    write_palette_png(tmp_path / "first.png", np.array([0, 200, 31], np.uint8)[truth[0]])
    outputs = ("masks/", "a.jsonl", "coco:a.json", "overlay.mkv")
    uris = [
        f"coco:{tmp_path / uri[5:]}" if uri.startswith("coco:") else f"{tmp_path}/{uri}"
        for uri in outputs
    ]
    result = _segment(
        tiny_bundle, clip, "--mask", tmp_path / "first.png", "--json", "--name", "left-id",
        *(part for uri in uris for part in ("-o", uri)),
    )  # fmt: skip
    document = _document(result)
    assert document["object_ids"] == [31, 200]
    (told,) = document["assumed"]
    assert "31 in channel 1, 200 in channel 2" in told
    assert told in result.stderr
    for index in range(FRAMES):
        png = read_annotation(tmp_path / "masks" / f"{index:05d}.png", FrameName(SIZE))
        coco = read_annotation(tmp_path / "a.json", FrameName(SIZE, f"{index:05d}.png"))
        assert png.object_ids == coco.object_ids == (31, 200)
        np.testing.assert_array_equal(png.labels, coco.labels)
        line = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[index])
        assert [(one["id"], one["name"]) for one in line["objects"]] == [(31, "left-id"), (200, "")]
        assert line["objects"][0]["colour"] == davis_palette()[31].tolist()
    capture = cv2.VideoCapture(str(tmp_path / "overlay.mkv"))
    frame = capture.read()[1]
    capture.release()
    blue, green, red = frame[110, 150].astype(int)  # the colour of 31 over green
    expected = 0.55 * np.array([0, 230, 0]) + 0.45 * davis_palette()[31][::-1]
    assert np.abs(np.array([blue, green, red]) - expected).max() < 40


def test_what_was_assumed_is_told_once_and_is_in_the_json(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, truth: list[NDArray[np.uint8]]
) -> None:
    colours = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0]], np.uint8)
    Image.fromarray(colours[truth[0]]).save(tmp_path / "painted.png")
    result = _segment(tiny_bundle, clip, "--mask", tmp_path / "painted.png", "--json")
    document = _document(result)
    assert document["object_ids"] == [1, 2]
    (told,) = document["assumed"]
    assert "(250, 0, 0) is object 1, (0, 250, 0) is object 2" in told
    assert [line for line in result.stderr.splitlines() if "painted" in line] == [f"{told}."]
    plain = _document(_segment(tiny_bundle, clip, "--box", "16,16,48,48", "--json"))
    assert plain["assumed"] == []


def test_a_files_own_names_are_kept_unless_others_are_typed(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path
) -> None:
    shapes = [
        {"label": name, "points": points, "group_id": None, "shape_type": "polygon"}
        for name, points in (
            ("cup", [[16, 16], [64, 16], [64, 64], [16, 64]]),
            ("x" * 60, [[128, 72], [176, 72], [176, 120], [128, 120]]),
        )
    ]
    document = {"shapes": shapes, "imageHeight": 128, "imageWidth": 192}
    (tmp_path / "a.json").write_text(json.dumps(document))
    arguments = (clip, "--mask", tmp_path / "a.json", "--json", "--overwrite")
    output = tmp_path / "a.jsonl"
    found = _document(_segment(tiny_bundle, *arguments, "-o", output))
    assert any("name of object 2 is left out" in told for told in found["assumed"])
    line = json.loads(output.read_text().splitlines()[-1])
    assert [one["name"] for one in line["objects"]] == ["cup", ""]
    _document(_segment(tiny_bundle, *arguments, "-o", output, "--name", "mug"))
    line = json.loads(output.read_text().splitlines()[-1])
    assert [one["name"] for one in line["objects"]] == ["mug", ""]


def test_too_many_objects_are_refused(tiny_bundle: Bundle, tmp_path: Path, clip: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[:60] = np.arange(SIZE[1]) // 39 + 1
    write_palette_png(tmp_path / "five.png", mask)
    error = _refused(tiny_bundle, clip, "--mask", tmp_path / "five.png")
    assert isinstance(error, MaskError)
    assert "5 objects" in str(error)
    assert "at most 4" in str(error)


@pytest.fixture
def given(tmp_path: Path, truth: list[NDArray[np.uint8]]) -> Path:
    """The first, the fifth and the last frame's masks, with ids 1 and 20, named as the frames."""
    folder = tmp_path / "given"
    folder.mkdir()
    table = np.array([0, 1, 20], np.uint8)
    for index in (0, 4, FRAMES - 1):
        write_palette_png(folder / f"{index:05d}.png", table[truth[index]])
    return folder


def _carried(
    bundle: Bundle, tmp_path: Path, clip: Path, *masks: object
) -> tuple[dict[str, Any], list[NDArray[np.int32]]]:
    arguments = [part for mask in masks for part in ("--mask", mask)]
    output = tmp_path / "a.json"
    result = _segment(
        bundle, clip, *arguments, "-o", f"coco:{output}", "--json", "--overwrite", "--name", "red"
    )
    document = _document(result)
    wanted = [FrameName(SIZE, f"{index:05d}.png") for index in range(document["frames"])]
    return document, [read_annotation(output, frame).labels for frame in wanted]


@pytest.mark.parametrize("indices", [(0, 4, 8), (8, 4)])
def test_masks_of_several_frames_are_carried_to_all(
    tiny_bundle: Bundle,
    tmp_path: Path,
    clip: Path,
    given: Path,
    truth: list[NDArray[np.uint8]],
    indices: tuple[int, ...],
) -> None:
    masks = [given / f"{index:05d}.png" for index in indices]
    document, found = _carried(tiny_bundle, tmp_path, clip, *masks)
    assert (document["frames"], document["ended"]) == (FRAMES, "end")
    assert document["object_ids"] == [1, 20]
    for index, labels in enumerate(found):
        right = np.array([0, 1, 20])[truth[index]]
        if index in indices:
            np.testing.assert_array_equal(labels, right)  # what was given stays as it was given
        for object_id in (1, 20):
            assert jaccard(labels == object_id, right == object_id) > 0.7


def test_a_frame_can_be_named_beside_its_mask(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path
) -> None:
    (given / "00008.png").rename(tmp_path / "end=9.png")
    named = (f"00000={given / '00000.png'}", f"00008.png={tmp_path / 'end=9.png'}")
    document, found = _carried(tiny_bundle, tmp_path, clip, *named)
    assert document["frames"] == FRAMES
    assert set(np.unique(found[8])) == {0, 1, 20}
    document, _ = _carried(tiny_bundle, tmp_path, clip, f"00004={given / '00004.png'}")
    assert document["frames"] == FRAMES  # one mask, of a frame in the middle, goes both ways


def test_a_run_can_stop_early(tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path) -> None:
    masks = (given / "00000.png", given / "00008.png")
    arguments = [part for mask in masks for part in ("--mask", mask)]
    result = _segment(
        tiny_bundle, clip, *arguments, "--frames", "3", "-o", tmp_path / "m.jsonl", "--json"
    )
    document = _document(result)
    assert (document["frames"], document["ended"]) == (3, "frames")
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("{clip}", "--mask", "{0}", "--mask", "{0}"), UsageError, "both for the frame 00000.png"),
        (("{clip}", "--mask", "x={0}", "--mask", "{8}"), UsageError, "the frame 'x', which is not"),
        (("{clip}", "--mask", "{0}", "--mask", "{8}", "--box", "1,1,9,9"), UsageError, "beside"),
        (
            ("synthetic://?frames=3", "--mask", "{0}", "--mask", "{8}"),
            UsageError,
            "a folder of images",
        ),
        (
            ("{clip}", "--mask", "{0}", "--mask", "{8}", *("--name", "a") * 3),
            UsageError,
            "3 names and 2 objects",
        ),
        (("{clip}", "--mask", "{0}", "--mask", "00001=gone.png"), MaskError, "gone.png"),
        (("{clip}", "--mask", "{0}", "--mask", "{8}", "-o", "{clip}/"), EdgeVosError, "itself"),
    ],
)
def test_mistakes_are_named(
    tiny_bundle: Bundle,
    clip: Path,
    given: Path,
    arguments: tuple[str, ...],
    kind: type,
    message: str,
) -> None:
    filled = [
        part.replace("{clip}", str(clip))
        .replace("{0}", str(given / "00000.png"))
        .replace("{8}", str(given / "00008.png"))
        for part in arguments
    ]
    error = _refused(tiny_bundle, *filled)
    assert isinstance(error, kind)
    assert message in str(error)
    assert len(list(clip.iterdir())) == FRAMES


def test_a_frame_that_breaks_leaves_whole_outputs(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path
) -> None:
    (clip / "00006.png").write_bytes(b"broken")
    arguments = ("--mask", given / "00000.png", "--mask", given / "00004.png")
    error = _refused(tiny_bundle, clip, *arguments, "-o", f"coco:{tmp_path / 'a.json'}")
    assert "00006.png cannot be decoded" in str(error)
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [image["file_name"] for image in images] == [f"{i:05d}.png" for i in range(6)]


_KILLED = """
import os, signal, sys
from edge_vos.cli.main import main
from edge_vos.runtime.outlines import outline
from edge_vos.runtime.propagation.working_folder import WorkingFolder

outline._STEPS = 40
put, left = WorkingFolder.put, int(sys.argv.pop(1))

def put_or_die(self, result):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    put(self, result)

WorkingFolder.put = put_or_die
main()
"""


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kept", [0, 3, 5])
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_run_that_was_killed_goes_on(
    tiny_bundle: Bundle,
    tmp_path: Path,
    clip: Path,
    given: Path,
    kept: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With three given masks: in the first stretch, after it, and in the second one."""
    monkeypatch.setattr(outline, "_STEPS", 40)

    def words(out: Path) -> list[str]:
        masks = [part for i in (0, 4, 8) for part in ("--mask", str(given / f"{i:05d}.png"))]
        uris = (f"coco:{out}/a.json", f"{out}/m/", f"{out}/a.jsonl", f"yolo:{out}/yolo")
        return [str(clip), *masks, *(part for uri in uris for part in ("-o", uri)), "--json"]

    whole, out = tmp_path / "whole", tmp_path / "out"
    _document(_segment(tiny_bundle, *words(whole)))
    command = [sys.executable, "-c", _KILLED, str(kept), "segment", *words(out)]
    killed = subprocess.run([*command, "--model", str(tiny_bundle.path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    working = out / "a.json.unfinished"
    assert len(list(working.glob("*.npz"))) == kept
    error = _refused(tiny_bundle, *words(out))
    assert "--resume" in str(error)
    write_palette_png(tmp_path / "other.png", np.ones(SIZE, np.uint8))
    changed = [
        part.replace(str(given / "00004"), f"00004={tmp_path / 'other'}") for part in words(out)
    ]
    error = _refused(tiny_bundle, *changed, "--resume")
    assert "the mask of frame 00004.png has changed" in str(error)
    document = _document(_segment(tiny_bundle, *words(out), "--resume"))
    assert (document["frames"], document["ended"]) == (FRAMES, "end")
    assert any(f"{kept or 'nothing'}" in note for note in document["notes"])
    assert not working.exists()
    assert _contents(out) == _contents(whole)


def test_a_run_that_is_told_to_stop_says_how_to_go_on(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outline, "_STEPS", 40)
    write, lines = JsonLines.write, tmp_path / "a.jsonl"

    def write_and_stop(self: JsonLines, frame: Frame, result: FrameResult) -> None:
        write(self, frame, result)
        if frame.index == 1:
            signal.raise_signal(signal.SIGTERM)

    words = (clip, *(f"--mask={given / f'{i:05d}.png'}" for i in (0, 4, 8)), "-o", lines)
    with monkeypatch.context() as patch:
        patch.setattr(JsonLines, "write", write_and_stop)
        stopped = _segment(tiny_bundle, *words)
    assert stopped.exit_code == 0, stopped.output
    assert "2 frames, " in stopped.stdout
    assert ", stopped" in stopped.stdout
    assert f"frames are kept in {lines}.unfinished: --resume goes on" in stopped.stderr
    assert len(lines.read_text().splitlines()) == 2
    document = _document(_segment(tiny_bundle, *words, "--resume", "--json"))
    assert (document["frames"], document["ended"]) == (FRAMES, "end")
    assert len(lines.read_text().splitlines()) == FRAMES


def test_masks_of_several_frames_may_go_nowhere_but_not_to_a_window(
    tiny_bundle: Bundle, clip: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outline, "_STEPS", 40)
    words = (clip, *(f"--mask={given / f'{i:05d}.png'}" for i in (0, 8)))
    result = _segment(tiny_bundle, *words)
    assert result.exit_code == 0, result.output
    assert f"{FRAMES} frames, " in result.stdout
    assert "Nothing was written" in result.stderr
    monkeypatch.setattr("edge_vos.cli.video.session.display_problem", lambda: None)
    error = _refused(tiny_bundle, *words, "-o", "window")
    assert isinstance(error, UsageError)
    assert "A window or a page with masks of several frames" in str(error)


def test_outlines_are_learnt_from_a_mask_alone(
    tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outline, "_STEPS", 40)
    words = (clip, "--mask", given / "00000.png", "--json")
    plain = _document(
        _segment(tiny_bundle, *words, "--no-learn-outlines", "-o", tmp_path / "plain")
    )
    learnt = _document(_segment(tiny_bundle, *words, "-o", tmp_path / "learnt"))
    assert learnt["frames"] == plain["frames"] == FRAMES
    names = [path.name for path in sorted((tmp_path / "plain").iterdir())]
    before, after = (
        [(tmp_path / folder / name).read_bytes() for name in names]
        for folder in ("plain", "learnt")
    )
    assert before[0] == after[0]
    assert before[1:] != after[1:]
    error = _refused(tiny_bundle, clip, "--box", "8,8,48,48", "--learn-outlines")
    assert "--learn-outlines without a mask" in str(error)
    masks = (option for name in ("00000", "00002") for option in ("--mask", given / f"{name}.png"))
    error = _refused(tiny_bundle, clip, *masks, "--no-learn-outlines")
    assert "--no-learn-outlines with masks of several frames" in str(error)


def test_resume_is_for_runs_that_keep_something(
    tiny_bundle: Bundle, clip: Path, given: Path
) -> None:
    first, last = given / "00000.png", given / "00008.png"
    error = _refused(tiny_bundle, clip, "--mask", first, "--resume")
    assert "--resume without masks of several frames" in str(error)
    error = _refused(tiny_bundle, clip, "--mask", first, "--mask", last, "--resume")
    assert "--resume without an output" in str(error)


def test_live_takes_one_mask(tiny_bundle: Bundle, tmp_path: Path, clip: Path, given: Path) -> None:
    arguments = ["live", str(clip), "--mask", str(given / "00000.png"), "--headless", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--model", str(tiny_bundle.path)])
    document = _document(result)
    assert document["object_ids"] == [1, 20]
    assert "20 in channel 2" in document["assumed"][0]
