"""Outputs that cannot be opened, and that are written to once they are closed."""

from pathlib import Path

import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.sinks.opening import open_sink, open_sinks
from edge_vos.runtime.sources.frame import Frame

SIZE = (48, 64)


def _pair(index: int) -> tuple[Frame, FrameResult]:
    frame = Frame(np.full((*SIZE, 3), 90, np.uint8), index, index / 25, 0.0, 0.0)
    probability = np.zeros((5, 12, 16), np.float32)
    return frame, FrameResult(np.zeros(SIZE, np.uint8), probability, (), {}, index)


def test_where_one_of_several_cannot_be_opened_none_is_left(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="The page's address 'serve://nobody' cannot be read"):
        open_sinks([str(tmp_path / "a.jsonl"), "serve://nobody"], 25.0, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_lines_end_with_the_close(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = open_sink(str(path), 25.0, SIZE)
    sink.write(*_pair(0))
    sink.close()
    sink.write(*_pair(1))
    sink.close()
    assert len(path.read_text().splitlines()) == 1
    assert sink.files == (str(path),)


def test_lines_whose_name_is_taken_meanwhile_are_kept_beside(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.jsonl"), 25.0, SIZE)
    sink.write(*_pair(0))
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(SinkError, match=r"a\.jsonl.*cannot be written"):
        sink.close()
    assert len((tmp_path / "a.partial.jsonl").read_text().splitlines()) == 1


@pytest.mark.usefixtures("without_pyav")
@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.jsonl"])
def test_a_place_that_is_taken_while_it_is_opened_is_named(tmp_path: Path, name: str) -> None:
    """A folder where the partial file would be: not even root can write it."""
    stem, _, suffix = name.partition(".")
    (tmp_path / f"{stem}.partial.{suffix}").mkdir()
    with pytest.raises(SinkError, match=rf"{stem}\.(partial\.)?{suffix}"):
        open_sink(str(tmp_path / name), 25.0, SIZE, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.partial.{suffix}"]
