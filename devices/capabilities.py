"""Say what each installed engine was built with: providers, delegates, accelerators.

No engine is imported: ONNX Runtime is asked in a process of its own, the others' files are looked
at. What a file holds need not work on this machine.
"""

import importlib.util
import json
import mmap
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Run = Callable[[list[str]], str]

_TIMEOUT_S = 20.0
_ASK = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"
_LITERT = ("ai_edge_litert", "tflite_runtime")
_XNNPACK = b"TfLiteXNNPackDelegateCreate"
_ACCELERATOR = re.compile(r"libLiteRt(\w+)Accelerator\.(?:so|dylib)|LiteRt(\w+)Accelerator\.dll")
_BACKEND = re.compile(r"(?:lib)?executorch_backend_(\w+)\.(?:so|dylib|dll)")
_LINKED = {
    b"XnnpackBackend": "xnnpack", b"CoreMLBackend": "coreml", b"VulkanBackend": "vulkan",
    b"OpenvinoBackend": "openvino", b"QnnBackend": "qnn", b"MPSBackend": "mps",
}  # fmt: skip
"""Names of ExecuTorch's backends, as its earlier releases link them into the Python binding."""


def find_capabilities(backend: str, run: Run | None = None) -> tuple[str, ...]:
    """Return what a backend's engine was built with; nothing where it is missing or tells nothing.

    Args:
        backend: by its name.
        run: returns what a command prints, or nothing; by default it is run.
    """
    if backend == "onnx":
        if _folder("onnxruntime") is None:
            return ()
        return parse_providers((run or run_quietly)([sys.executable, "-c", _ASK]))
    if backend == "litert":
        folder = next((found for name in _LITERT if (found := _folder(name))), None)
        return litert_capabilities(folder) if folder else ()
    if backend.startswith("executorch"):
        folder = _folder("executorch")
        return executorch_capabilities(folder) if folder else ()
    return ()


def parse_providers(text: str) -> tuple[str, ...]:
    """Read ONNX Runtime's providers, without the ending that all share."""
    try:
        names = json.loads(text.strip().rpartition("\n")[2])
    except ValueError:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(name.removesuffix("ExecutionProvider") for name in names)


def litert_capabilities(folder: Path) -> tuple[str, ...]:
    """Look for XNNPACK, and for accelerators beside it, in LiteRT's package."""
    libraries = _libraries(folder)
    capabilities = ["XNNPACK"] if any(_holds(path, _XNNPACK) for path in libraries) else []
    for path in libraries:
        if match := _ACCELERATOR.fullmatch(path.name):
            capabilities.append(match[1] or match[2])
    return tuple(capabilities)


def executorch_capabilities(folder: Path) -> tuple[str, ...]:
    """Look for the libraries of backends in ExecuTorch's package, or in its Python binding."""
    found = {
        match[1]
        for path in _libraries(folder / "lib")
        if (match := _BACKEND.fullmatch(path.name)) is not None
    }
    for path in _libraries(folder / "extension" / "pybindings"):
        found |= {name for word, name in _LINKED.items() if _holds(path, word)}
    return tuple(sorted(found))


def run_quietly(command: list[str]) -> str:
    """Return what a command prints; nothing if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _libraries(folder: Path) -> list[Path]:
    suffixes = (".so", ".dylib", ".dll", ".pyd")
    return sorted(path for path in folder.glob("*") if path.suffix in suffixes)


def _holds(path: Path, word: bytes) -> bool:
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(word) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False
