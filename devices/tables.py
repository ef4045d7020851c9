"""Lay a table out in Markdown, whatever its cells hold."""

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]], figures_from: int | None = None) -> str:
    """Return a Markdown table.

    Args:
        rows: a header and what is below it, each of the same length.
        figures_from: the first of the columns that hold figures, which are set to the right; None
            sets all to the left.
    """
    header, *body = rows
    first = len(header) if figures_from is None else figures_from
    rule = ["---" if column < first else "---:" for column in range(len(header))]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in (header, rule, *body))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
