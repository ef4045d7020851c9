"""Load a program of the documentation as a module, to test what stands in it."""

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


def load_example(name: str) -> ModuleType:
    """Return ``docs/examples/NAME.py``, loaded; its ``main`` does not run."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
