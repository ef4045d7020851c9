"""What was found in a stretch of frames is kept in a file, and given back."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.propagation.follow import Found, Stack


def _found(model: LoadedModel, seed: int) -> Found:
    height, width = model.manifest.shape("probability")[2:]
    probability = np.random.default_rng(seed).random((3, height, width)).astype(np.float32)
    key = np.random.default_rng(seed).random(model.manifest.shape("key")[1:]).astype(np.float32)
    return Found(View(2 * seed, 3, 40, 50), probability, key)


@pytest.mark.parametrize("named", [False, True])
def test_frames_come_back_in_any_order(
    tiny_model: LoadedModel, tmp_path: Path, named: bool
) -> None:
    path = tmp_path / "stretch" if named else None
    stack = Stack(tiny_model, 2, 10, 4, path)
    assert not stack.is_whole
    for index in (13, 10, 12, 11):
        stack.put(index, _found(tiny_model, index))
    stack.complete()
    assert stack.is_whole
    for index in range(10, 14):
        kept, given = stack.get(index), _found(tiny_model, index)
        assert kept.view == given.view
        np.testing.assert_allclose(kept.probability, given.probability, atol=1e-3)
    stack.close()
    assert [file.name for file in tmp_path.iterdir()] == (["stretch"] if named else [])


def test_a_whole_file_of_a_run_before_is_taken_and_another_one_is_not(
    tiny_model: LoadedModel, tmp_path: Path
) -> None:
    path = tmp_path / "stretch"
    first = Stack(tiny_model, 2, 0, 1, path)
    first.put(0, _found(tiny_model, 0))
    first.complete()
    first.close()
    again = Stack(tiny_model, 2, 0, 1, path)
    assert again.is_whole
    assert again.get(0).view == View(0, 3, 40, 50)
    again.close()
    longer = Stack(tiny_model, 2, 0, 2, path)
    assert not longer.is_whole
    longer.close()


def test_a_folder_that_is_gone_is_told(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with pytest.raises(SinkError, match=rf"{folder}/stretch cannot be written \(No such file"):
        Stack(tiny_model, 2, 0, 1, folder / "stretch")
    folder.mkdir()
    stack = Stack(tiny_model, 2, 0, 1, folder / "stretch")
    stack.put(0, _found(tiny_model, 0))
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(SinkError, match=rf"stretch cannot be written.*df {folder}"):
        stack.complete()


def test_a_temporary_file_without_room_is_told(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    class Full:
        """A file on a full disk."""

        truncate, write = full, full

        def seek(self, place: int) -> None:
            """Go anywhere."""

        def close(self) -> None:
            closed.append(True)

    closed: list[bool] = []
    stack = Stack(tiny_model, 2, 0, 1)
    stack.close()
    monkeypatch.setattr("edge_vos.runtime.propagation.follow.TemporaryFile", lambda **_: Full())
    with pytest.raises(SinkError, match=r"temporary file cannot be written \(No space.*TMPDIR"):
        Stack(tiny_model, 2, 0, 1)
    assert closed


def test_a_frame_beyond_the_room_is_told(tiny_model: LoadedModel, tmp_path: Path) -> None:
    stack = Stack(tiny_model, 2, 0, 2, tmp_path / "stretch")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(SinkError, match=r"stretch cannot be written \(File too large\)"):
            stack.put(1, _found(tiny_model, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        stack.close()
