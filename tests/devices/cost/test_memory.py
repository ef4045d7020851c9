import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos import engines
from edge_vos.bundle import Bundle
from edge_vos.devices.cost import memory, memory_steps
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
from edge_vos.engines import find_engine
from edge_vos.errors import BundleError, EngineError
from edge_vos.runtime.segmenter import FrameResult, Segmenter

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


def test_each_step_prints_its_name_and_what_memory_it_leaves(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["memory_steps", str(tiny_bundle.path), "onnx", "1", "edge_vos.errors"]
    monkeypatch.setattr(sys, "argv", asked)
    runpy.run_path(str(memory_steps.__file__), run_name="__main__")
    rows = json.loads(capsys.readouterr().out)
    assert [name for name, _, _ in rows] == [name for name in WHAT if name != SHORT_LIVED]
    peaks = [peak for _, _, peak in rows]
    assert peaks == sorted(peaks)
    assert all(0 < rss <= peak for _, rss, peak in rows)


def test_the_steps_follow_a_square_that_moves(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FrameResult] = []
    frames: list[NDArray[np.uint8]] = []
    step = Segmenter.step

    def step_and_keep(segmenter: Segmenter, frame: NDArray[np.uint8]) -> FrameResult:
        frames.append(frame)
        seen.append(step(segmenter, frame))
        return seen[-1]

    monkeypatch.setattr(Segmenter, "step", step_and_keep)
    names = list(memory_steps.main(str(tiny_bundle.path), "onnx", None, ""))
    assert names == [name for name in WHAT if name not in ("command line", SHORT_LIVED)]
    assert len(seen) == memory_steps.STEPS
    assert all(frame.shape == (*memory_steps.FRAME_HW, 3) for frame in frames)
    lefts = [int(np.flatnonzero((frame[200] == (40, 200, 240)).all(axis=1))[0]) for frame in frames]
    assert lefts == [200 + 2 * index for index in range(memory_steps.STEPS)]
    moved = seen[-1].mask[160:320, lefts[-1] : lefts[-1] + 160]
    assert [state.id for state in seen[-1].objects] == [1]
    assert np.count_nonzero(moved == 1) > 0.8 * moved.size


def test_the_first_library_that_is_here_is_imported(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine may have several libraries, of which one is enough."""
    row = find_engine("onnx")
    modules = (("no_such_library",), ("colorsys",), ("never_tried",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.setattr(engines, "find_engine", lambda _: replace(row, modules=modules))
    for step in memory_steps.main(str(tiny_bundle.path), "onnx", 1, ""):
        assert ("colorsys" in sys.modules) == (step == "engine library"), step
        if step == "engine library":
            return
    pytest.fail("the engine's library is no step")
