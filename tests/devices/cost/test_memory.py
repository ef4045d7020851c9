import json
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.cost import memory
from edge_vos.devices.cost.memory import (
    SHORT_LIVED,
    WHAT,
    MemoryReport,
    budget_rows,
    measure_memory,
    summary,
    to_markdown,
)
from edge_vos.devices.report_json import read_report_as, to_json
from edge_vos.errors import BundleError, EngineError

pytest.importorskip("onnxruntime")


@pytest.fixture
def report(tiny_bundle: Bundle) -> MemoryReport:
    return measure_memory(tiny_bundle.path, threads=1, command_line="edge_vos.cli.main")


def test_the_parts_add_up_to_the_peak(report: MemoryReport) -> None:
    assert [part.name for part in report.parts] == list(WHAT)
    assert sum(part.added_bytes for part in report.parts) == report.peak_rss_bytes
    assert report.peak_rss_bytes >= report.rss_bytes > 30e6
    by_name = {part.name: part.added_bytes for part in report.parts}
    assert all(by_name[name] > 1e6 for name in ("interpreter", "numpy", "OpenCV", "engine library"))
    header, *rows = budget_rows(report)
    assert {len(row) for row in rows} == {len(header)}
    assert rows[-1][:3] == ("peak", "", f"{report.peak_rss_bytes / 1e6:.1f}")
    assert rows[-2][0] == SHORT_LIVED
    assert "64x96" in summary(report)["bundle"]
    assert "| OpenCV | import cv2 |" in to_markdown(report)
    assert read_report_as(MemoryReport, json.loads(to_json(report))) == report


def test_the_command_line_is_left_out_where_there_is_none(tiny_bundle: Bundle) -> None:
    names = [part.name for part in measure_memory(tiny_bundle.path, "onnx").parts]
    assert names == [name for name in WHAT if name != "command line"]


def test_a_process_that_fails_or_hangs_is_told(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match=r"takes the steps failed: .*no_such_module"):
        measure_memory(tiny_bundle.path, command_line="no_such_module")
    monkeypatch.setattr(memory, "TIMEOUT_S", 0.001)
    with pytest.raises(EngineError, match="not done after"):
        measure_memory(tiny_bundle.path)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        measure_memory(tmp_path / "missing")
