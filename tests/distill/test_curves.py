"""Curves: text for the terminal, a picture for the folder."""

from pathlib import Path

import cv2
import pytest

from edge_vos.distill.curves import pace, progress_line, sparkline, steps_within, write_curves
from edge_vos.distill.run_folder import StepRecord, read_log, write_log

LOG = [StepRecord(n, 1 / n, {"jaccard": 1 / n}, 1e-3, 0.3, 0.1, 8) for n in range(1, 41)]

OLDER = "step,loss,jaccard,learning_rate,seconds\n1,0.5,0.5,0.1,2.0\n"


def test_a_sparkline_falls_with_its_numbers() -> None:
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    falling = sparkline([record.loss for record in LOG], width=10)
    assert len(falling) == 10
    assert list(falling) == sorted(falling, reverse=True)


def test_the_pace_counts_images_and_waiting() -> None:
    images, waiting = pace(LOG)
    assert images == pytest.approx(20)
    assert waiting == pytest.approx(0.25)


def test_plans_with_the_last_steps() -> None:
    slow_start = [StepRecord(n, 1.0, {}, 1e-3, 50.0, 0.0, 8) for n in range(1, 10)]
    assert steps_within([*slow_start, *LOG], 100.0) == 250
    assert steps_within(LOG, 0.01) == 1


def test_the_line_says_it_all() -> None:
    line = progress_line(LOG, {10: 71.0, 20: 73.25})
    assert line.startswith("loss █")
    assert "J&F ▁█ 73.2 | 20.0 images/s, 25% waiting for clips" in line
    assert "J&F" not in progress_line(LOG, {})


def test_the_log_survives_and_an_older_one_is_read(tmp_path: Path) -> None:
    write_log(tmp_path, LOG)
    assert read_log(tmp_path, 40) == LOG
    assert len(read_log(tmp_path, 7)) == 7
    (tmp_path / "log.csv").write_text(OLDER)
    assert read_log(tmp_path, 9) == [StepRecord(1, 0.5, {"jaccard": 0.5}, 0.1, 2.0, 0.0, 0)]


def test_the_picture_shows_the_development_split(tmp_path: Path) -> None:
    for name, development in (("without", {}), ("with", {10: 70.0, 40: 75.0})):
        write_curves(tmp_path / f"{name}.png", LOG, development)
    with_it, without = (cv2.imread(str(tmp_path / f"{n}.png")) for n in ("with", "without"))
    assert with_it.shape[0] > 300
    assert (with_it != without).any()
    assert len(list(tmp_path.iterdir())) == 2
