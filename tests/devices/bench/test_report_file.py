from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.bench.report_file import (
    refuse_report_path,
    refuse_report_paths,
    write_again,
    write_new,
    write_report,
)
from edge_vos.devices.bench.report_text import to_markdown
from edge_vos.errors import SinkError


@pytest.mark.parametrize("suffix", [".json", ".md"])
def test_a_report_is_written_once(tmp_path: Path, suffix: str, clip_report: BenchReport) -> None:
    path = tmp_path / f"report{suffix}"
    write_report(clip_report, path)
    expected = clip_report.to_json() if suffix == ".json" else to_markdown(clip_report)
    assert path.read_text() == expected
    with pytest.raises(SinkError, match="exists"):
        write_report(clip_report, path)
    assert path.read_text() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_shows_four_panels(
    tmp_path: Path, clip_report: BenchReport, live_report: BenchReport
) -> None:
    path = tmp_path / "report.png"
    write_report(clip_report, path)
    picture = cv2.imread(str(path))
    assert picture.shape == (716, 1240, 3)
    for panel in (
        picture[56:386, :620],
        picture[56:386, 620:],
        picture[386:, :620],
        picture[386:, 620:],
    ):
        assert panel.std() > 10  # ink, not an empty frame
    live_path = tmp_path / "live.png"
    write_report(live_report, live_path)
    assert cv2.imread(str(live_path)).shape == picture.shape
    constant = replace(clip_report, samples_ms={"infer": [1.0], "end_to_end": [1.0]})
    write_report(constant, tmp_path / "constant.png")
    assert (tmp_path / "constant.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["report.txt", "report", "missing/report.json"])
def test_a_bad_path_is_refused_before_measuring(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError):
        refuse_report_path(tmp_path / name)


def test_paths_that_take_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        refuse_report_path(Path("/proc/report.json"))
    with pytest.raises(SinkError, match="twice"):
        refuse_report_paths([tmp_path / "a.json", tmp_path / "." / ".." / tmp_path.name / "a.json"])
    refuse_report_paths([tmp_path / "a.json", tmp_path / "b.json"])
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_before_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_new(path, b"one")
    write_again(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_report: BenchReport
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SinkError, match="No space left"):
        write_report(clip_report, tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []
