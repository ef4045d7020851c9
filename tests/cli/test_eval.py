"""``edge-vos eval``: its figures, its JSON, and what it refuses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from edge_vos.bundle import Bundle
from edge_vos.cli import app
from edge_vos.errors import (
    BundleError,
    CheckpointError,
    DatasetError,
    EdgeVosError,
    MissingPackageError,
    ShapeError,
    SinkError,
    UsageError,
)
from edge_vos.runtime.masks import read_mask, write_palette_png
from edge_vos.runtime.outlines import outline

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]
PROMISED = {
    "protocol", "j_mean", "j_recall", "j_decay", "f_mean", "jf_mean", "sequences", "fps",
}  # fmt: skip


@pytest.fixture
def davis(tmp_path: Path, scene: Scene) -> Path:
    """Two sequences of four frames, one moving square each."""
    for name, step_px in (("bus", 4), ("swing", 8)):
        for index in range(4):
            frame, mask = scene((8 + index * step_px, 32))
            for kind, suffix, picture in (
                ("JPEGImages", "jpg", frame),
                ("Annotations", "png", mask * 255),
            ):
                folder = tmp_path / "DAVIS" / kind / "480p" / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{index:05d}.{suffix}"), picture)
    return tmp_path / "DAVIS"


@pytest.fixture(autouse=True)
def _short_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_STEPS", 200)


def _eval(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], env={"COLUMNS": "120"})


def test_json_is_one_document_with_the_promised_keys(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= PROMISED
    assert document["sequences"].keys() == {"bus", "swing"}
    assert document["sequences"]["bus"].keys() >= {"j", "f"}
    assert 50 < document["j_mean"] <= 100
    assert (document["protocol"], document["objects"], document["frames"]) == ("davis2016", 2, 8)
    assert document["engine"] == "onnx"
    assert document["memory"]["peak_rss_bytes"] > 0
    assert document["stability"] is None


def test_the_table_and_the_pictures(davis: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    masks, report = tmp_path / "masks", tmp_path / "report"
    result = _eval(
        davis, "--model", tiny_bundle.path, "--sequences", "bus", "-o", masks, "--report", report
    )
    assert result.exit_code == 0, result.output
    assert "bus" in result.stdout
    assert "swing" not in result.stdout
    assert "J&F" in result.stdout
    assert len(list((masks / "bus").iterdir())) == 4
    assert cv2.imread(str(report / "worst.png")) is not None


def test_a_report_is_a_folder(davis: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    report = tmp_path / "report"
    result = _eval(davis, "--model", tiny_bundle.path, "--report", report, "--json")
    assert result.exit_code == 0, result.output
    assert {path.name for path in report.iterdir()} == {"report.json", "report.md", "worst.png"}
    document = json.loads(result.stdout)
    assert json.loads((report / "report.json").read_text()) == document
    table = [line for line in (report / "report.md").read_text().splitlines() if "|" in line]
    assert [line.count("|") for line in table] == [9] * 5
    assert f"| bus | {document['sequences']['bus']['j']:.1f} |" in table[2]
    assert cv2.imread(str(report / "worst.png")).shape == (540, 1440, 3)


def test_sequences_come_from_a_file(davis: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("swing\n\n/JPEGImages/480p/swing/00000.jpg\n")
    result = _eval(davis, "--model", tiny_bundle.path, "--sequences", names, "--json")
    assert list(json.loads(result.stdout)["sequences"]) == ["swing"]


def test_a_loop_says_what_occlusions_did(davis: Path, tiny_bundle: Bundle) -> None:
    arguments = (
        davis,
        "--model",
        tiny_bundle.path,
        "--sequences",
        "bus",
        "--loop",
        300,
        "--threads",
        1,
    )
    result = _eval(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= PROMISED
    assert (document["frames"], document["stability"]["occlusions"]) == (300, 1)
    assert document["stability"]["j_first"] > 50


def test_masks_can_be_given_anew(davis: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = _eval(
        davis, "--model", tiny_bundle.path, "--restart", 3, "-o", tmp_path / "masks", "--json"
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= PROMISED
    assert (document["restart"], list(document["sequences"])) == (3, ["bus@00000", "swing@00000"])
    assert len(list((tmp_path / "masks/bus@00000").iterdir())) == 3


def test_without_truth_only_masks_can_be_had(
    davis: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    for index in (1, 2, 3):
        for name in ("bus", "swing"):
            (davis / f"Annotations/480p/{name}/{index:05d}.png").unlink()
    arguments = (davis, "--model", tiny_bundle.path)
    result = _eval(*arguments)
    assert isinstance(result.exception, DatasetError)
    assert "nothing to score" in str(result.exception)
    result = _eval(*arguments, "-o", tmp_path / "masks", "--report", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= PROMISED
    assert (document["j_mean"], document["jf_mean"]) == (None, None)
    assert "no score" in document["note"]
    assert len(list((tmp_path / "masks/bus").iterdir())) == 4
    assert not (tmp_path / "report/worst.png").exists()


def test_weights_run_in_pytorch_as_the_same_student(davis: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edge_vos.model.checkpoint import save_student
    from edge_vos.model.config import PRESETS
    from edge_vos.model.student import Student

    torch.manual_seed(0)
    weights = tmp_path / "student.safetensors"
    save_student(Student(PRESETS["nano"]), weights)
    result = _eval(
        davis, "--weights", weights, "--size", "64x96", "--sequences", "bus", "--threads",
        torch.get_num_threads(), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["engine"], document["size"]) == ("eager", [64, 96])


def test_weights_without_pytorch_name_what_brings_it(
    davis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = _eval(davis, "--weights", "student.safetensors")
    assert isinstance(result.exception, MissingPackageError), result.output
    assert "--weights needs torch" in str(result.exception)
    assert 'pip install "edge-vos[train]"' in str(result.exception)


def test_objects_that_pass_and_swaps_are_told(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--composite", 5, "--size", "64x96")
    assert result.exit_code == 0, result.output
    assert "with other objects passing (seed 5): tiny at 64x96 on onnx" in result.stdout
    assert "peak memory" in result.stdout
    again = _eval(davis, "--model", tiny_bundle.path, "--composite", 5, "--json")
    document = json.loads(again.stdout)
    assert document["composite"] == 5
    assert document["swaps"] is not None


def test_ids_that_the_model_has_no_room_for_are_told(
    make_davis: Callable[..., Path], tiny_bundle: Bundle
) -> None:
    davis = make_davis({"bus": 4}, objects=2)
    for path in (davis / "Annotations/480p/bus").iterdir():
        mask = read_mask(path)
        write_palette_png(path, np.where(mask == 2, 77, mask).astype(np.uint8))
    model = ("--model", tiny_bundle.path, "--protocol", "davis2017")
    result = _eval(davis, *model, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["objects"] == 2
    (assumed,) = document["assumed"]
    assert "77" in assumed
    assert result.stderr.splitlines()[-1] == f"{assumed}."


def test_a_box_shows_the_objects_and_is_tried_on_frames(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--prompt", "box", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["prompt"]["frames"]["frames"] == 2  # the first of each sequence
    assert document["prompt"]["frames"]["box"] > 50
    text = _eval(davis, "--model", tiny_bundle.path, "--prompt", "box").stdout
    assert "J from a box" in text


def test_outlines_are_learnt_from_true_masks(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["learn_outlines"] is True
    plain = json.loads(
        _eval(davis, "--model", tiny_bundle.path, "--no-learn-outlines", "--json").stdout
    )
    assert plain["learn_outlines"] is False
    assert document["j_mean"] != plain["j_mean"]
    assert document["j_mean"] > 80
    text = _eval(davis, "--model", tiny_bundle.path).stdout
    assert "outlines learnt" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--prompt", "box", "--learn-outlines"], UsageError, "--prompt box together"),
        (["--prompt", "clicks:0"], UsageError, "box, click or clicks:N"),
        (["--protocol", "davis2018"], UsageError, "davis2016, davis2017"),
        (["--sequences", ","], UsageError, "names of sequences"),
        (["--split", "test"], DatasetError, "'test'"),
        (["--loop", "200"], UsageError, "at least 300"),
        (["--restart", "2"], UsageError, "3 frames or more"),
        (["--loop", "300", "--restart", "10"], UsageError, "--restart together"),
        (["--protocol", "youtube-vos"], DatasetError, "meta.json"),
        (["--sequences", "buss"], DatasetError, "one of bus"),
        (["--model", "missing.bundle"], BundleError, "missing.bundle"),
        (["--weights", "missing.safetensors"], CheckpointError, "do not exist"),
        (["--weights", "w", "--model", "m"], UsageError, "--model together"),
        (["--weights", "w", "--engine", "onnx"], UsageError, "--engine together"),
        (["--size", "big"], UsageError, "HEIGHTxWIDTH"),
    ],
)
def test_mistakes_are_named(
    davis: Path, arguments: list[str], error: type[EdgeVosError], message: str
) -> None:
    result = _eval(davis, *arguments)
    assert isinstance(result.exception, error), result.output
    assert message in str(result.exception)


def test_a_bundle_of_another_size_is_refused(davis: Path, tiny_bundle: Bundle) -> None:
    result = _eval(davis, "--model", tiny_bundle.path, "--size", "240x432")
    assert isinstance(result.exception, ShapeError)
    assert "64x96" in str(result.exception)


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_an_existing_output_is_refused_before_anything_runs(
    davis: Path, tmp_path: Path, option: str
) -> None:
    taken = tmp_path / "taken.png"
    taken.write_text("mine")
    result = _eval(davis, "--model", "missing.bundle", option, taken)
    assert isinstance(result.exception, SinkError)
    assert taken.read_text() == "mine"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    result = _eval(tmp_path / "nowhere")
    assert isinstance(result.exception, DatasetError)
    assert "is not a folder" in str(result.exception)
