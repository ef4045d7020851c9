"""What a run keeps, who may go on with it, and that nothing but the time tells."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.outlines import outline
from edge_vos.runtime.propagation import propagate as propagation
from edge_vos.runtime.propagation.job import Job, Keyframe
from edge_vos.runtime.propagation.propagate import propagate
from edge_vos.runtime.propagation.working_folder import RUN_FILE, Run, WorkingFolder, beside
from edge_vos.runtime.sources.frame import Frame

COLOURS = np.array([[40, 40, 40], [0, 0, 230], [0, 230, 0]], np.uint8)
FRAMES = 9
OUTPUTS = ("coco:a.json",)


def _truth(index: int) -> NDArray[np.uint8]:
    mask = np.zeros((96, 160), np.uint8)
    mask[32:80, 16 + 4 * index : 64 + 4 * index] = 2
    return mask


@pytest.fixture(autouse=True)
def _learn_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_STEPS", 40)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    paths = tuple(tmp_path / f"{index:05d}.png" for index in range(FRAMES))
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), COLOURS[_truth(index)])
    keys = tuple(Keyframe(index, _truth(index)) for index in (1, 5))
    return Job(paths, keys, 25.0, {2: "cup"}, {2: 77})


@pytest.fixture
def run(job: Job, tiny_model: LoadedModel) -> Run:
    return Run.of(job, tiny_model, OUTPUTS)


def _go_on(path: Path, run: Run) -> WorkingFolder:
    return WorkingFolder.open(path, run, resume=True, overwrite=False)


def _take(found: Iterator[tuple[Frame, FrameResult]], count: int) -> None:
    for _ in range(count):
        next(found)


@pytest.mark.parametrize("count", [1, 4, 5, 6, 8, FRAMES])
def test_a_run_that_goes_on_finds_the_same(
    tmp_path: Path, job: Job, run: Run, tiny_model: LoadedModel, count: int
) -> None:
    """Frames 0, 2 to 4 and 6 to 8 are carried; the run is left after so many."""
    path = tmp_path / "work"
    whole = [result for _, result in propagate(tiny_model, job)]
    first = propagate(tiny_model, job, folder=_go_on(path, run))
    _take(first, count)
    first.close()
    folder = _go_on(path, run)
    assert folder.frames == {index for index in range(count) if index not in (1, 5)}
    again = [result for _, result in propagate(tiny_model, job, folder=folder)]
    for right, found in zip(whole, again, strict=True):
        np.testing.assert_array_equal(found.mask, right.mask)
        np.testing.assert_array_equal(found.probability, right.probability)
        assert (found.objects, found.frame_index) == (right.objects, right.frame_index)
    assert folder.frames == set(range(FRAMES)) - {1, 5}
    assert not list(path.glob("*.back"))


def test_finished_stretches_and_a_whole_way_back_are_not_walked_again(
    tmp_path: Path,
    job: Job,
    run: Run,
    tiny_model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[list[int]] = []
    follow = propagation.follow

    def counted(*args: object) -> Iterator[tuple[Frame, FrameResult]]:
        steps.append([])
        for frame, result in follow(*args):  # type: ignore[arg-type]
            steps[-1].append(frame.index)
            yield frame, result

    monkeypatch.setattr(propagation, "follow", counted)
    first = propagate(tiny_model, job, folder=_go_on(tmp_path / "work", run))
    _take(first, 4)  # into the second stretch: its way back is whole
    first.close()
    assert steps == [[0], [4, 3, 2], [4, 3, 2], [2, 3]]  # where objects are, and back
    steps.clear()
    list(propagate(tiny_model, job, folder=_go_on(tmp_path / "work", run)))
    assert steps == [[2, 3, 4], [6, 7, 8]]


def test_a_folder_is_removed_when_it_is_of_no_more_use(
    tmp_path: Path, job: Job, run: Run, tiny_model: LoadedModel
) -> None:
    path = tmp_path / "work"
    with WorkingFolder.open(path, run, resume=False, overwrite=False):
        assert path.is_dir()
    assert not path.exists()
    with _go_on(path, run) as folder:
        _take(propagate(tiny_model, job, folder=folder), 3)
    with pytest.raises(SinkError, match=r"stopped, or still goes on.*--resume.*--overwrite"):
        WorkingFolder.open(path, run, resume=False, overwrite=False)
    (path / "notes.txt").write_text("mine")
    with WorkingFolder.open(path, run, resume=False, overwrite=True) as folder:
        assert folder.frames == frozenset()
        folder.finished = True
    assert [file.name for file in path.iterdir()] == ["notes.txt"]


def test_what_has_changed_is_named(
    tmp_path: Path, job: Job, run: Run, tiny_model: LoadedModel
) -> None:
    path = tmp_path / "work"
    with _go_on(path, run) as folder:
        _take(propagate(tiny_model, job, folder=folder), 3)

    def refused(other: Run, message: str) -> None:
        with pytest.raises(SinkError, match=f"cannot go on: {message}.*--overwrite"):
            _go_on(path, other)

    first, *rest = job.keyframes
    moved = Keyframe(first.index, np.roll(first.mask, 1, axis=0))
    refused(Run.of(replace(job, keyframes=(moved, *rest)), tiny_model, OUTPUTS), "the mask of")
    refused(
        Run.of(replace(job, keyframes=rest), tiny_model, OUTPUTS),
        r"the mask of frame 00001\.png is gone",
    )
    refused(
        Run.of(replace(job, frames=job.frames[:-1]), tiny_model, OUTPUTS),
        r"the frame 00008\.png is gone",
    )
    refused(
        Run.of(replace(job, frames=job.frames[::-1]), tiny_model, OUTPUTS),
        "the frames have another order",
    )
    refused(Run.of(replace(job, names={2: "mug"}), tiny_model, OUTPUTS), "the objects have other")
    newer = replace(tiny_model, engine_version="99")
    refused(Run.of(job, newer, OUTPUTS), "the model has changed: its engine, from .* to .* 99")
    files = {**run.model, "files": "0"}
    refused(replace(run, model=files), "the model has changed: its files")
    cv2.imwrite(str(job.frames[3]), np.zeros((96, 160, 3), np.uint8))
    refused(Run.of(job, tiny_model, OUTPUTS), r"the frame 00003\.png has changed")
    assert _go_on(path, run).frames == {0, 2}


def test_outputs_that_a_run_began_are_known(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "work"
    assert _go_on(path, run).begun == frozenset()
    assert _go_on(path, replace(run, outputs=("b.jsonl",))).begun == {*OUTPUTS}
    assert _go_on(path, run).begun == {*OUTPUTS, "b.jsonl"}


def test_other_folders_and_broken_files_are_refused(
    tmp_path: Path, job: Job, run: Run, tiny_model: LoadedModel
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "photo.png").write_bytes(b"mine")
    for resume in (False, True):
        with pytest.raises(SinkError, match="not what a run of edge-vos left"):
            WorkingFolder.open(other, run, resume=resume, overwrite=not resume)
    assert (other / "photo.png").read_bytes() == b"mine"
    (other / RUN_FILE).write_text(json.dumps({"frames": 3}))
    with pytest.raises(SinkError, match="not what a run of edge-vos left"):
        _go_on(other, run)
    path = tmp_path / "work"
    _take(propagate(tiny_model, job, folder=_go_on(path, run)), 3)
    (path / "000002.npz").write_bytes(b"broken")
    with pytest.raises(SinkError, match=r"000002\.npz cannot be read.*--overwrite"):
        list(propagate(tiny_model, job, folder=_go_on(path, run)))
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        _go_on(tmp_path / "file" / "work", run)


def test_it_lies_beside_the_output() -> None:
    assert beside(Path("out/labels.json")) == Path("out/labels.json.unfinished")
