"""Print reports: tables for people, warnings on stderr."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_vos.errors import EdgeVosError

if TYPE_CHECKING:
    from rich.console import Console

FILE_COLUMNS = 200


def print_table(rows: Sequence[Sequence[str]], title: str | None = None, figures: int = 1) -> None:
    """Print a table.

    Args:
        rows: a header, and what is below it.
        title: above it.
        figures: the first of the columns that are set to the right.
    """
    from rich.markup import escape
    from rich.table import Table

    header, *body = rows
    table = Table(title=title)
    for column, name in enumerate(header):
        table.add_column(name, justify="left" if column < figures else "right", overflow="fold")
    for row in body:
        table.add_row(*map(escape, row))
    _console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and what is known of each, without a frame."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(f"[bold]{name}[/]", escape(value))
    _console().print(table)


def _console() -> "Console":
    """Return what prints: as wide as the terminal, and a file is wide enough for any table."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, FILE_COLUMNS))


def print_warnings(warnings: Sequence[str]) -> None:
    """Print warnings on stderr, in red."""
    for warning in warnings:
        typer.secho(f"WARNING: {warning}", fg=typer.colors.RED, bold=True, err=True)


def write_all(paths: Sequence[Path], write: Callable[[Path], None]) -> list[EdgeVosError]:
    """Write a report to every path; return what went wrong, for it is yet to be printed."""
    refused: list[EdgeVosError] = []
    for path in paths:
        try:
            write(path)
        except EdgeVosError as error:
            refused.append(error)
    return refused
