import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.bench.matrix import MatrixCell, MatrixReport, Setting
from edge_vos.devices.bench.pictures.sweep import draw_sweep
from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.bench.sweep import (
    SweepReport,
    add_engines,
    build_sweep,
    shipped_bundles,
    table_rows,
    to_markdown,
)
from edge_vos.devices.report_json import read_report_as, to_json
from edge_vos.engines import ENGINES
from edge_vos.errors import SinkError


@pytest.fixture
def matrix(live_report: BenchReport) -> MatrixReport:
    """Two sizes on one engine, and one that failed."""
    slower = {stage: {name: 3 * ms for name, ms in figures.items()}
              for stage, figures in live_report.latency_ms.items()}  # fmt: skip
    return MatrixReport(
        (
            MatrixCell("f.bundle", (240, 432), None, 2, "onnx", live_report),
            MatrixCell("q.bundle", (352, 640), None, 2, "onnx",
                       replace(live_report, latency_ms=slower)),
            MatrixCell("b.bundle", None, None, 2, "litert", None, "it is broken"),
        )
    )  # fmt: skip


def test_accuracy_latency_and_memory_stand_side_by_side(matrix: MatrixReport) -> None:
    sweep = build_sweep(matrix)
    assert (sweep.dataset, sweep.sequences) == ("davis2016", ("bus", "swing"))
    assert [row.size_name for row in sweep.rows] == ["fast", "quality", ""]
    header, fast, _, failed = table_rows(sweep)
    assert dict(zip(header, fast, strict=True)) == {
        "bundle": "f.bundle", "size": "240x432 (fast)", "engine": "onnx", "precision": "fp32",
        "J&F": "70.1", "call ms": "12.5", "step ms": "12.5", "FPS": "68.3", "peak MB": "150.0",
        "file MB": "4.5",
    }  # fmt: skip
    assert failed[:5] == ("b.bundle", "", "litert", "", "FAILED")
    assert len(failed) == len(header)
    page = to_markdown(sweep)
    assert "- J&F: davis2016, 2 sequences" in page
    assert "- row 1: Something is amiss.\n" in page
    assert "- row 3: FAILED: it is broken\n" in page
    assert read_report_as(SweepReport, json.loads(to_json(sweep))) == sweep


def test_without_a_data_set_there_is_no_accuracy(clip_report: BenchReport) -> None:
    cell = MatrixCell("f.bundle", (240, 432), 1, None, "onnx", clip_report)
    sweep = build_sweep(MatrixReport((cell,)))
    assert "J&F" not in table_rows(sweep)[0]
    with pytest.raises(SinkError, match=r"No row has both.*--davis"):
        draw_sweep(sweep)
    assert build_sweep(MatrixReport(())).rows == ()


def test_the_picture_has_a_point_for_each_row_that_has_both(matrix: MatrixReport) -> None:
    picture = cv2.imdecode(np.frombuffer(draw_sweep(build_sweep(matrix)), np.uint8), 1)
    assert picture.shape == (520, 860, 3)
    blue = np.all(np.abs(picture.astype(int) - (178, 114, 0)) < 30, axis=2).astype(np.uint8)
    _, _, areas, _ = cv2.connectedComponentsWithStats(cv2.erode(blue, np.ones((5, 5), np.uint8)))
    assert len(areas) - 1 == 2


def test_each_bundle_is_measured_on_every_engine_that_runs_it(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [Setting(str(tiny_bundle.path), (64, 96), 1, None), Setting("gone", None, 1, None)]
    found = add_engines(settings)
    assert [(one.bundle, one.engine) for one in found] == [
        (str(tiny_bundle.path), "onnx"), ("gone", None)
    ]  # fmt: skip
    monkeypatch.setitem(ENGINES, "onnx", replace(ENGINES["onnx"], also_run_by=("litert",)))
    pytest.importorskip("ai_edge_litert")
    assert [one.engine for one in add_engines(settings[:1])] == ["onnx", "litert"]


def test_the_shipped_bundles_are_there() -> None:
    assert all(path.is_dir() for path in shipped_bundles())
    assert shipped_bundles()
