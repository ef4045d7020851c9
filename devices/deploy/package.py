"""Pack the package's own sources into one file that any Python runs: ``python3 edge-vos.pyz``.

The same sources give the same bytes, so a device that has them is told by the hash. Weights, the
student itself and its training stay at home; numpy, OpenCV and the engine are the device's own.
"""

import importlib.metadata
import importlib.util
import io
import re
import zipfile
from pathlib import Path

from edge_vos.engines import find_engine

ROOTS = ("edge_vos", "edge_vos.converters", "edge_vos.devices", "edge_vos.runtime")
"""Folders that are packed with all that is below them."""
LEFT_OUT = ("edge_vos/distill/", "edge_vos/evaluate/", "edge_vos/weights/")
MODULES = ("numpy", "cv2", "onnxruntime", "packaging", "PIL", "typer", "rich", "psutil", "tomli")
"""What the base install imports."""

OLDEST_PYTHON = (3, 10)
_MAIN = b"from edge_vos.cli.packed import main\n\nmain()\n"
_SUFFIXES = (".py", ".html", ".css", ".js", ".svg", ".onnx", ".schema.json", ".toml")
_EXTRA = re.compile(r"""^(.*?)\s*;\s*extra\s*==\s*['"]([^'"]+)['"]$""")


def pack() -> bytes:
    """Return the package as one zip with a ``__main__``."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN)
        for name, file in sorted(_sources().items()):
            _add(archive, name, file.read_bytes())
    return stream.getvalue()


def modules(engine: str) -> tuple[str, ...]:
    """Return what a device's Python has to import.

    Args:
        engine: the manifest's backend.
    """
    row = find_engine(engine)
    beside = [name for name in row.modules[0] if name not in (*MODULES, *row.system_modules)]
    return (*MODULES, *beside)


def system_modules(engine: str) -> tuple[str, ...]:
    """Return what a device's system has to bring for an engine, and pip cannot.

    Args:
        engine: the manifest's backend.
    """
    return find_engine(engine).system_modules


def requirements(engine: str) -> list[str]:
    """Return what pip has to install on a device: the base, and the extra of an engine.

    Args:
        engine: the manifest's backend; ``executorch-xnnpack`` takes the extra ``executorch``.
    """
    row = find_engine(engine)
    found = list(row.requires)
    for line in importlib.metadata.requires("edge-vos") or []:
        optional = _EXTRA.match(line)
        if optional is None or optional[2] == row.kind:
            found.append(optional[1] if optional else line)
    return found


def _sources() -> dict[str, Path]:
    """Return what is packed by its path inside; a wheel holds some roots below the first."""
    found: dict[str, Path] = {}
    for root in ROOTS:
        spec = importlib.util.find_spec(root)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError(f"{root} is not installed")
        folder, inside = Path(spec.submodule_search_locations[0]), root.replace(".", "/")
        for file in folder.rglob("*"):
            name = f"{inside}/{file.relative_to(folder).as_posix()}"
            if file.name.endswith(_SUFFIXES) and not name.startswith(LEFT_OUT):
                found[name] = file
    return found


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980: the bytes depend on the content alone
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
