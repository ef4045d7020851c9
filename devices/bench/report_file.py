"""Write reports, each in one step and never over another."""

import os
from collections.abc import Sequence
from pathlib import Path

from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.bench.report_text import to_markdown
from edge_vos.errors import SinkError

SUFFIXES = (".json", ".md", ".png")


def refuse_report_paths(paths: Sequence[Path]) -> None:
    """Refuse paths that reports cannot be written to, before anything is measured.

    Raises:
        SinkError: if one is given twice, or ``refuse_report_path`` refuses it.
    """
    named: set[str] = set()
    for path in paths:
        refuse_report_path(path)
        whole = os.path.realpath(path)
        if whole in named:
            raise SinkError(f"{path} is named twice", "another name for each", "Leave one -o out")
        named.add(whole)


def refuse_report_path(path: Path) -> None:
    """Refuse a path that a report cannot be written to, before anything is measured.

    An empty file is made beside it and removed: a folder may exist and take no file.

    Raises:
        SinkError: if it exists, ends in none of ``SUFFIXES``, or lies in no folder, or in one that
            cannot be written to.
    """
    if path.suffix not in SUFFIXES:
        endings = ", ".join(SUFFIXES)
        raise SinkError(f"{path} is no report", f"a name that ends in {endings}", "Rename -o")
    try:
        if path.exists():
            raise SinkError(f"{path} exists", "a new path", "Name another with -o")
        if not path.parent.is_dir():
            raise SinkError(f"{path.parent} is no folder", "a folder", f"mkdir -p {path.parent}")
        beside = _beside(path)
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def write_report(report: BenchReport, path: Path) -> None:
    """Write a report in one step: as JSON, as Markdown (.md) or as a picture (.png).

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    if path.suffix == ".png":
        from edge_vos.devices.bench.pictures.report import (
            draw_report,  # OpenCV is not needed for the rest
        )

        write_new(path, draw_report(report))
    else:
        text = to_markdown(report) if path.suffix == ".md" else report.to_json()
        write_new(path, text.encode())


def write_new(path: Path, content: bytes) -> None:
    """Write a new file in one step.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    refuse_report_path(path)
    write_again(path, content)


def write_again(path: Path, content: bytes) -> None:
    """Write a file in one step, in place of what this process wrote there before.

    Raises:
        SinkError: if it cannot be written; what was there stays.
    """
    partial = _beside(path)
    try:
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _unwritable(path: Path, error: OSError) -> SinkError:
    return SinkError(
        f"{path} cannot be written: {error.strerror}",
        "a folder that can be written",
        "Name another with -o",
    )
