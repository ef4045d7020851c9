"""Write reports, each in one step and never over another."""

import os
from pathlib import Path

from edge_vos.devices.report import BenchReport
from edge_vos.errors import SinkError

SUFFIXES = (".json", ".md", ".png")


def refuse_report_path(path: Path) -> None:
    """Refuse a path that a report cannot be written to, before anything is measured.

    Raises:
        SinkError: if it exists, ends in none of ``SUFFIXES``, or lies in no folder.
    """
    if path.suffix not in SUFFIXES:
        endings = ", ".join(SUFFIXES)
        raise SinkError(f"{path} is no report", f"a name that ends in {endings}", "Rename -o")
    if path.exists():
        raise SinkError(f"{path} exists", "a new path", "Name another with -o")
    if not path.parent.is_dir():
        raise SinkError(f"{path.parent} is no folder", "a folder", f"mkdir -p {path.parent}")


def write_report(report: BenchReport, path: Path) -> None:
    """Write a report in one step: as JSON, as Markdown (.md) or as a picture (.png).

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    if path.suffix == ".png":
        from edge_vos.devices.plot import draw_report  # OpenCV is not needed for the rest

        write_new(path, draw_report(report))
    else:
        text = report.to_markdown() if path.suffix == ".md" else report.to_json()
        write_new(path, text.encode())


def write_new(path: Path, content: bytes) -> None:
    """Write a new file in one step.

    Raises:
        SinkError: if the path exists or cannot be written.
    """
    refuse_report_path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}",
            "a folder that can be written",
            "Name another with -o",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
