from pathlib import Path
from typing import Any

import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.bench import matrix
from edge_vos.devices.bench.matrix import (
    Cell,
    Outcome,
    find_bundles,
    make_cells,
    measure_apart,
    run_matrix,
    table_rows,
    to_document,
    to_markdown,
)
from edge_vos.errors import BundleError, EdgeVosError, EngineError

REPORT: dict[str, Any] = {
    "engine": "onnx",
    "precision": "fp32",
    "latency_ms": {"end_to_end": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0}},
    "fps": 400.0,
    "memory": {"peak_rss_bytes": 90_000_000},
    "accuracy": {"mask_iou": 0.99987},
    "warnings": ["Only a test."],
    "samples_ms": {"end_to_end": [1.0]},
}


def test_every_combination_is_a_cell(tiny_bundle: Bundle) -> None:
    cells = make_cells([tiny_bundle.path], [], [1, 4], [None, 2])
    assert [(cell.threads, cell.objects) for cell in cells] == [
        (None, 1),
        (None, 4),
        (2, 1),
        (2, 4),
    ]
    assert {cell.size for cell in cells} == {(64, 96)}
    assert make_cells([tiny_bundle.path], [(64, 96), (240, 432)], [1], [None]) == cells[:1]
    with pytest.raises(BundleError, match="64x96"):
        make_cells([tiny_bundle.path], [(240, 432)], [1], [None])


def test_a_folder_stands_for_the_bundles_in_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert find_bundles([tiny_bundle.path]) == [tiny_bundle.path]
    assert find_bundles([tiny_bundle.path.parent]) == [tiny_bundle.path]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="no bundle"):
        find_bundles([tmp_path / "empty"])


def test_a_failing_cell_is_survived_and_time_left_is_told() -> None:
    cells = [Cell("a.bundle", (64, 96), count, None) for count in (1, 2, 3)]
    told: list[tuple[int, int, bool]] = []

    def measure(cell: Cell) -> dict[str, Any]:
        if cell.objects == 2:
            raise EngineError("the engine fell over")
        return REPORT

    outcomes = run_matrix(cells, measure, lambda *now: told.append((*now[:2], now[2] is None)))
    assert [outcome.error for outcome in outcomes] == [None, "the engine fell over.", None]
    assert told == [(0, 3, True), (1, 3, False), (2, 3, False), (3, 3, False)]
    header, first, failed, _ = table_rows(outcomes)
    assert len(first) == len(failed) == len(header)
    assert first[6:] == ("1.00", "2.00", "3.00", "400.0", "90.0", "0.9999")
    assert failed[6] == "FAILED: the engine fell over."
    table, notes = to_markdown(outcomes).split("\n\n")
    assert {line.count("|") for line in table.splitlines()} == {len(header) + 1}
    assert notes.splitlines() == ["- row 1: Only a test.", "- row 3: Only a test."]
    document = to_document(outcomes)["cells"]
    assert [cell["error"] for cell in document] == [None, "the engine fell over.", None]
    assert "samples_ms" not in document[0]["report"]


def test_what_only_some_measure_has_a_column_where_it_was_measured() -> None:
    seen = REPORT | {
        "latency_ms": REPORT["latency_ms"] | {"display": {"p50": 41.5}},
        "live": {"dropped": 7},
        "dataset_accuracy": {"j_and_f": 71.04},
        "objects": 3,
    }
    cell = Cell("a.bundle", (64, 96), None, None)
    drawn = Cell("a.bundle", (64, 96), 1, None)
    outcomes = [Outcome(cell, seen, None), Outcome(cell, None, "no"), Outcome(drawn, REPORT, None)]
    header, live, failed, plain = table_rows(outcomes)
    assert header[-3:] == ("display p50 ms", "dropped", "J&F")
    assert live[-3:] == ("41.50", "7", "71.0")
    assert live[4] == "3"
    assert plain[-3:] == ("", "", "")
    assert len(failed) == len(header)
    assert "J&F" not in table_rows(outcomes[2:])[0]


def test_a_broken_bundle_has_a_cell_that_will_fail(tiny_bundle: Bundle, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    broken, fine = make_cells([missing, tiny_bundle.path], [(64, 96)], [1], [2])
    assert broken == Cell(str(missing), None, None, None)
    assert fine == Cell(str(tiny_bundle.path), (64, 96), 1, 2)
    header, row = table_rows([Outcome(broken, None, "gone")])
    assert row[3:7] == ("", "", "auto", "FAILED: gone")
    assert len(row) == len(header)
    with pytest.raises(BundleError, match="missing"):
        make_cells([missing], [], [1], [None])
    with pytest.raises(BundleError, match="64x96"):
        make_cells([missing, tiny_bundle.path], [(8, 8)], [1], [None])


def test_what_is_done_is_handed_on_after_each_cell() -> None:
    cells = [Cell("a.bundle", (64, 96), count, None) for count in (1, 2)]
    kept: list[int] = []
    run_matrix(cells, lambda _: REPORT, lambda *_: None, lambda all_: kept.append(len(all_)))
    assert kept == [1, 2]


@pytest.mark.parametrize(
    ("script", "says"),
    [("print('[1, 2')", "no report"), ("print('[1, 2]')", "no report"), ("", "no report"),
     ("import time; time.sleep(60)", "not done after 1 s"),
     ("import os; os.abort()", "ended with signal 6")],
)  # fmt: skip
def test_a_process_that_goes_wrong_is_an_error(
    monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    monkeypatch.setattr(matrix, "_MAIN", script)
    timeout_s = 1 if "sleep" in script else 30
    with pytest.raises(EdgeVosError, match=says):
        measure_apart(Cell("a.bundle", (64, 96), 1, None), [], timeout_s)


def test_a_process_that_fails_leaves_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeVosError, match=r"no bundle at .*ended with code 1"):
        measure_apart(Cell(str(tmp_path / "missing"), (64, 96), 1, None), ["--frames", "1"])
