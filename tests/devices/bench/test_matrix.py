import sys
from pathlib import Path

import pytest

from edge_vos.bundle import Bundle
from edge_vos.cli.own_process import own_command
from edge_vos.devices.bench.matrix import (
    MatrixCell,
    MatrixReport,
    Setting,
    find_bundles,
    make_settings,
    measure_apart,
    run_matrix,
    table_rows,
    to_markdown,
)
from edge_vos.devices.bench.report import BenchReport
from edge_vos.errors import BundleError, EdgeVosError, EngineError


def test_every_combination_is_a_setting(tiny_bundle: Bundle) -> None:
    settings = make_settings([tiny_bundle.path], [], [1, 4], [None, 2])
    assert [(one.threads, one.objects) for one in settings] == [
        (None, 1),
        (None, 4),
        (2, 1),
        (2, 4),
    ]
    assert {one.size for one in settings} == {(64, 96)}
    assert make_settings([tiny_bundle.path], [(64, 96), (240, 432)], [1], [None]) == settings[:1]
    with pytest.raises(BundleError, match="64x96"):
        make_settings([tiny_bundle.path], [(240, 432)], [1], [None])


def test_a_folder_stands_for_the_bundles_in_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert find_bundles([tiny_bundle.path]) == [tiny_bundle.path]
    assert find_bundles([tiny_bundle.path.parent]) == [tiny_bundle.path]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="no bundle"):
        find_bundles([tmp_path / "empty"])


def test_a_failing_setting_is_survived_and_time_left_is_told(clip_report: BenchReport) -> None:
    settings = [Setting("a.bundle", (64, 96), count, None) for count in (1, 2, 3)]
    told: list[tuple[int, int, bool]] = []

    def measure(setting: Setting) -> BenchReport:
        if setting.objects == 2:
            raise EngineError("the engine fell over")
        return clip_report

    matrix = run_matrix(settings, measure, lambda *now: told.append((*now[:2], now[2] is None)))
    assert [cell.error for cell in matrix.cells] == [None, "the engine fell over.", None]
    assert told == [(0, 3, True), (1, 3, False), (2, 3, False), (3, 3, False)]
    header, first, failed, _ = table_rows(matrix)
    assert len(first) == len(failed) == len(header)
    assert first[6:] == ("12.50", "13.00", "15.25", "68.3", "150.0", "0.9991")
    assert failed[6] == "FAILED"
    table, notes = to_markdown(matrix).split("\n\n")
    assert {line.count("|") for line in table.splitlines()} == {len(header) + 1}
    assert notes.splitlines() == [
        "- row 1: Something is amiss.",
        "- row 2: FAILED: the engine fell over.",
        "- row 3: Something is amiss.",
    ]
    assert all(not cell.report.samples_ms for cell in matrix.cells if cell.report)


def test_what_only_some_measure_has_a_column_where_it_was_measured(
    clip_report: BenchReport, live_report: BenchReport
) -> None:
    cells = (
        MatrixCell("a.bundle", (64, 96), None, None, report=live_report),
        MatrixCell("a.bundle", (64, 96), None, None, error="no"),
        MatrixCell("a.bundle", (64, 96), 1, None, report=clip_report),
    )
    header, live, failed, plain = table_rows(MatrixReport(cells))
    assert header[-3:] == ("display p50 ms", "dropped", "J&F")
    assert live[-3:] == ("12.50", "256", "70.1")
    assert live[4] == "10"
    assert plain[-3:] == ("", "", "")
    assert len(failed) == len(header)
    assert "J&F" not in table_rows(MatrixReport(cells[2:]))[0]


def test_a_broken_bundle_has_a_setting_that_will_fail(tiny_bundle: Bundle, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    broken, fine = make_settings([missing, tiny_bundle.path], [(64, 96)], [1], [2])
    assert broken == Setting(str(missing), None, None, None)
    assert fine == Setting(str(tiny_bundle.path), (64, 96), 1, 2)
    failed = MatrixCell(broken.bundle, None, None, None, error="gone")
    header, row = table_rows(MatrixReport((failed,)))
    assert row[3:7] == ("", "", "auto", "FAILED")
    assert len(row) == len(header)
    with pytest.raises(BundleError, match="missing"):
        make_settings([missing], [], [1], [None])
    with pytest.raises(BundleError, match="64x96"):
        make_settings([missing, tiny_bundle.path], [(8, 8)], [1], [None])


def test_what_is_done_is_handed_on_after_each_setting(clip_report: BenchReport) -> None:
    settings = [Setting("a.bundle", (64, 96), count, None) for count in (1, 2)]
    kept: list[int] = []
    run_matrix(
        settings,
        lambda _: clip_report,
        lambda *_: None,
        lambda found: kept.append(len(found.cells)),
    )
    assert kept == [1, 2]


@pytest.mark.parametrize(
    ("script", "says"),
    [("print('[1, 2')", "no report"), ("print('[1, 2]')", "no report"), ("", "no report"),
     ("import time; time.sleep(60)", "not done after 1 s"),
     ("import os; os.abort()", "ended with signal 6")],
)  # fmt: skip
def test_a_process_that_goes_wrong_is_an_error(script: str, says: str) -> None:
    timeout_s = 1 if "sleep" in script else 30
    setting = Setting("a.bundle", (64, 96), 1, None)
    with pytest.raises(EdgeVosError, match=says):
        measure_apart(setting, [sys.executable, "-c", script], [], timeout_s)


def test_a_process_that_fails_leaves_its_last_line(tmp_path: Path) -> None:
    setting = Setting(str(tmp_path / "missing"), (64, 96), 1, None)
    with pytest.raises(EdgeVosError, match=r"no bundle at .*ended with code 1"):
        measure_apart(setting, own_command(), ["--frames", "1"])
