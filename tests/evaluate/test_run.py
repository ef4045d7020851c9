"""The measurement: which frames and objects count, at which size, and what is written."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from vos_benchmark.evaluator import Evaluator

from edge_vos.errors import DatasetError, SinkError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.metrics import statistics
from edge_vos.evaluate.pictures import WorstFrames, mask_folder
from edge_vos.evaluate.run import ScoredFrame, evaluate_dataset, score_trackers
from edge_vos.runtime.masks import jaccard, read_mask, write_palette_png
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter

Mask = NDArray[np.uint8]


class MakeDavis(Protocol):
    def __call__(self, sequences: dict[str, int], **options: object) -> Path: ...


@dataclass
class Answer:
    mask: Mask


class Scripted:
    """Answer every frame with what a function makes of the first mask and the frame's index."""

    def __init__(self, answer: Callable[[Mask, int], Mask]) -> None:
        self.answer, self.index = answer, 0

    def prompt(self, mask: Mask) -> None:
        self.mask = mask

    def step(self, frame: NDArray[np.uint8]) -> Answer:
        assert frame.shape[:2] == self.mask.shape
        self.index += 1
        return Answer(self.answer(self.mask, self.index - 1))


def _copy(mask: Mask, index: int) -> Mask:
    return mask


def test_copying_the_first_mask_scores_what_geometry_says(make_davis: MakeDavis) -> None:
    dataset = read_davis(make_davis({"bus": 12, "still": 0}))
    report = score_trackers(dataset, lambda: Scripted(_copy))
    # A 48 px square that has moved by d shares 48 - d of 48 + d columns; frames 1 to 3 count.
    expected = 100 * np.mean([(48 - d) / (48 + d) for d in (12, 24, 36)])
    assert report.sequences["bus"].j == pytest.approx(expected)
    assert report.sequences["still"].j == report.sequences["still"].f == 100
    assert report.j_mean == pytest.approx((expected + 100) / 2)
    assert report.score.j_recall == pytest.approx(100 * (1 / 3 + 1) / 2)
    # Of three frames the first quarter holds two and the last one.
    assert report.score.j_decay == pytest.approx(50 * ((36 / 60 + 24 / 72) / 2 - 12 / 84))
    assert report.f_mean is not None
    assert report.jf_mean == pytest.approx((report.j_mean + report.f_mean) / 2)
    assert (report.objects, report.frames) == (2, 10)
    assert report.fps > 0


def test_the_mean_is_over_objects_and_not_over_sequences(make_davis: MakeDavis) -> None:
    root = make_davis({"two": 0}, objects=2)
    make_davis({"one": 0})
    for path in (root / "Annotations/480p/one").iterdir():
        write_palette_png(path, read_mask(path))  # 255 alone would be void

    def lose_object_one(mask: Mask, index: int) -> Mask:
        return np.where(mask == 1, 0, mask).astype(np.uint8)

    report = score_trackers(
        read_davis(root, "davis2017"), lambda: Scripted(lose_object_one), metrics=("j",)
    )
    assert report.sequences["two"].j == pytest.approx(50)
    assert report.sequences["one"].j == 0
    assert report.j_mean == pytest.approx(100 / 3)
    score = report.score
    assert (score.f, score.f_recall, score.f_decay, report.jf_mean) == (None,) * 4
    assert report.sequences["two"].f is None


def test_first_and_last_frame_do_not_count(make_davis: MakeDavis) -> None:
    dataset = read_davis(make_davis({"still": 0}))

    def wrong_at_both_ends(mask: Mask, index: int) -> Mask:
        return np.zeros_like(mask) if index in (0, 4) else mask

    assert score_trackers(dataset, lambda: Scripted(wrong_at_both_ends)).j_mean == 100


def test_masks_are_scored_at_the_size_of_the_annotation(make_davis: MakeDavis) -> None:
    root = make_davis({"still": 0})
    for path in (root / "JPEGImages/480p/still").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=2.5, fy=2.5))
    sizes = set()

    def note(scored: ScoredFrame) -> None:
        sizes.add((scored.frame.shape[:2], scored.predicted.shape))

    report = score_trackers(read_davis(root), lambda: Scripted(_copy), observers=[note])
    assert sizes == {((320, 480), (128, 192))}
    assert report.j_mean == 100


def test_a_mask_of_another_shape_is_refused(make_davis: MakeDavis) -> None:
    root = make_davis({"still": 0})
    path = root / "Annotations/480p/still/00000.png"
    cv2.imwrite(str(path), cv2.imread(str(path))[:100])
    with pytest.raises(DatasetError, match="128x192 and its mask 100x192"):
        score_trackers(read_davis(root), lambda: Scripted(_copy))


def test_an_empty_first_mask_is_refused(make_davis: MakeDavis) -> None:
    root = make_davis({"still": 0})
    cv2.imwrite(str(root / "Annotations/480p/still/00000.png"), np.zeros((128, 192), np.uint8))
    with pytest.raises(DatasetError, match=r"00000\.png is empty"):
        score_trackers(read_davis(root), lambda: Scripted(_copy))


def test_a_model_runs_in_the_loop_that_ships(
    make_davis: MakeDavis, tiny_model: LoadedModel
) -> None:
    dataset = read_davis(make_davis({"a": 8, "b": 4}, objects=2), "davis2017")
    expected = {}
    for sequence in dataset.sequences:
        segmenter, scores = Segmenter(tiny_model), []
        segmenter.prompt(read_mask(sequence.annotations[0]))
        for index, path in enumerate(sequence.frames):
            mask, truth = segmenter.step(cv2.imread(str(path))).mask, sequence.annotations[index]
            if index in (1, 2, 3):
                scores += [jaccard(mask == i, read_mask(truth) == i) for i in (1, 2)]
        expected[sequence.name] = 100 * float(np.mean(scores))
    report = evaluate_dataset(dataset, tiny_model)
    assert {name: score.j for name, score in report.sequences.items()} == pytest.approx(expected)
    assert 0 < report.j_mean < 100
    assert report.objects == 4
    assert report.as_dict()["sequences"]["a"].keys() >= {"j", "f", "fps"}


def test_written_masks_score_the_same_with_vos_benchmark(
    make_davis: MakeDavis, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    root = make_davis({"a": 12, "b": 6}, objects=2)
    with mask_folder(tmp_path / "masks") as write:
        report = evaluate_dataset(read_davis(root, "davis2017"), tiny_model, observers=[write])
    assert sorted(path.name for path in (tmp_path / "masks/a").iterdir()) == [
        f"{index:05d}.png" for index in range(5)
    ]
    # It forks, which a process that an engine has filled with threads must not.
    folders = [str(root / "Annotations/480p")], [str(tmp_path / "masks")]
    code = (
        "from vos_benchmark.benchmark import benchmark\n"
        f"_, j, f, _ = benchmark(*{folders!r}, num_processes=1, verbose=False)\n"
        "print(j[0], f[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    j, f = map(float, done.stdout.split()[-2:])
    assert (report.j_mean, report.f_mean) == pytest.approx((j, f), abs=1e-6)


def test_objects_have_the_statistics_of_vos_benchmark(
    make_davis: MakeDavis, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    root = make_davis({"a": 12}, objects=2, frames=9)
    with mask_folder(tmp_path / "masks") as write:
        report = evaluate_dataset(read_davis(root, "davis2017"), tiny_model, observers=[write])
    peer = Evaluator()
    for index in range(1, 8):
        name = f"a/{index:05d}.png"
        peer.feed_frame(
            read_mask(tmp_path / "masks" / name), read_mask(root / "Annotations/480p" / name)
        )
    for object_id, score in report.sequences["a"].objects.items():
        j, f = statistics(peer.object_iou[object_id]), statistics(peer.boundary_f[object_id])
        assert (score.j, score.j_recall, score.j_decay) == pytest.approx(
            (100 * j.mean, 100 * j.recall, 100 * j.decay)
        )
        assert (score.f, score.f_recall, score.f_decay) == pytest.approx(
            (100 * f.mean, 100 * f.recall, 100 * f.decay)
        )
        assert score.frames == 7


def test_without_truth_masks_are_written_and_nothing_is_scored(
    make_davis: MakeDavis, tmp_path: Path
) -> None:
    root = make_davis({"a": 12, "b": 6})
    for index in range(1, 5):
        (root / f"Annotations/480p/a/{index:05d}.png").unlink()
    with mask_folder(tmp_path / "masks") as write:
        report = score_trackers(read_davis(root), lambda: Scripted(_copy), observers=[write])
    assert len(list((tmp_path / "masks/a").iterdir())) == 5
    assert (report.j_mean, report.f_mean, report.jf_mean) == (None, None, None)
    assert report.sequences["a"].j is None
    assert report.sequences["b"].j is not None
    assert report.note is not None
    assert "1 of 2 sequences" in report.note


def test_the_first_mask_is_written_as_it_was_given(make_davis: MakeDavis, tmp_path: Path) -> None:
    root = make_davis({"a": 12}, objects=2)
    with mask_folder(tmp_path / "masks") as write:
        score_trackers(read_davis(root, "davis2017"), lambda: Scripted(_copy), observers=[write])
    first = read_mask(root / "Annotations/480p/a/00000.png")
    assert (read_mask(tmp_path / "masks/a/00004.png") == first).all()


def test_a_failed_measurement_leaves_no_masks(make_davis: MakeDavis, tmp_path: Path) -> None:
    root = make_davis({"a": 12})
    (root / "JPEGImages/480p/a/00003.jpg").write_bytes(b"broken")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError), mask_folder(tmp_path / "masks") as write:
        score_trackers(read_davis(root), lambda: Scripted(_copy), observers=[write])
    assert sorted(tmp_path.iterdir()) == before


def test_existing_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="exists"), mask_folder(tmp_path):
        pass
    with pytest.raises(SinkError, match="exists"):
        WorstFrames().write(tmp_path)
    with pytest.raises(SinkError, match="no frame was scored"):
        WorstFrames().write(tmp_path / "sheet.png")
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"), mask_folder(tmp_path / "file" / "x"):
        pass


def test_the_sheet_shows_the_worst_sequence_first(make_davis: MakeDavis, tmp_path: Path) -> None:
    dataset = read_davis(make_davis({"bus": 12, "still": 0}))
    worst = WorstFrames()
    score_trackers(dataset, lambda: Scripted(_copy), observers=[worst])
    sheet = worst.sheet()
    assert sheet.shape == (540, 1440, 3)
    # In the upper row the square has moved away from its mask, so that its colour covers another
    # part of the frame than the truth does.
    moved, still = np.split(sheet, 2)
    for row, same in ((moved, False), (still, True)):
        frame, truth, predicted = (tile[40:] for tile in np.split(row, 3, axis=1))
        assert (truth == predicted).all() == same
        assert (frame != truth).any()
    worst.write(tmp_path / "sheet.png")
    assert (cv2.imread(str(tmp_path / "sheet.png")) == sheet).all()
