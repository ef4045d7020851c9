"""Show a measurement: rows for a table, and a folder with JSON, Markdown and the worst frames."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_vos.evaluate.pictures import WorstFrames, as_sink_error, staged_folder
from edge_vos.evaluate.scores import EvalReport, Score

HEADINGS = ("sequence", "J", "recall", "decay", "F", "recall", "decay", "FPS")


def rows(report: EvalReport) -> list[tuple[str, ...]]:
    """Return a row a sequence, a row an object where there are several, and the means last."""
    found = []
    for name, sequence in report.sequences.items():
        found.append((name, *_figures(sequence), f"{sequence.fps:.1f}"))
        if len(sequence.objects) > 1 or report.seen_unseen:
            for object_id, score in sequence.objects.items():
                category = f" ({score.category})" if score.category else ""
                found.append((f"· object {object_id}{category}", *_figures(score), ""))
    return [*found, ("mean over objects", *_figures(report.score), f"{report.fps:.1f}")]


def summary(report: EvalReport) -> list[str]:
    """Return what stands under the table, a line each."""
    lines = [] if report.jf_mean is None else [f"J&F {figure(report.jf_mean)}"]
    groups = report.seen_unseen
    if groups and report.jf_mean is not None:
        lines.append(
            f"G {figure(groups.g)}: J seen {figure(groups.j_seen)}, F seen {figure(groups.f_seen)},"
            f" J unseen {figure(groups.j_unseen)}, F unseen {figure(groups.f_unseen)}"
        )
    lines.append(f"{report.objects} objects, {report.frames} frames at {report.fps:.1f} FPS")
    return [*lines, *([report.note] if report.note else [])]


def figure(value: float | None) -> str:
    """Return a figure with one decimal, or a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def write_report(
    path: Path,
    title: str,
    report: EvalReport,
    lines: Sequence[str],
    document: Mapping[str, Any],
    worst: WorstFrames,
) -> None:
    """Write ``report.json``, ``report.md`` and, if anything was scored, ``worst.png``.

    Args:
        path: the folder, which appears complete or not at all.
        title: the heading of the Markdown page.
        report: what was measured.
        lines: what stands under the table.
        document: what goes into the JSON file.
        worst: the observer that saw the measurement.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    page = [f"# {title}", "", *_table(report), "", *(f"- {line}" for line in lines)]
    with staged_folder(path) as folder:
        if worst.sheet().size:
            worst.write(folder / "worst.png")
            page += ["", "![the worst frame of each sequence](worst.png)"]
        with as_sink_error(path):
            (folder / "report.md").write_text("\n".join(page) + "\n", encoding="utf-8")
            (folder / "report.json").write_text(
                json.dumps(document, indent=2) + "\n", encoding="utf-8"
            )


def _table(report: EvalReport) -> list[str]:
    ruler = ("---", *["---:"] * (len(HEADINGS) - 1))
    return [f"| {' | '.join(row)} |" for row in (HEADINGS, ruler, *rows(report))]


def _figures(score: Score) -> list[str]:
    values = (score.j, score.j_recall, score.j_decay, score.f, score.f_recall, score.f_decay)
    return [figure(value) for value in values]
