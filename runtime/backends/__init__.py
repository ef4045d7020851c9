"""The engines, a closed set: each is a module that is imported only when it is used."""

import importlib
from pathlib import Path
from typing import Protocol, cast

from edge_vos.bundle import Manifest
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.runner import Runner

BACKENDS: dict[str, str] = {
    "onnx": "edge_vos.runtime.backends.onnx",
    "litert": "edge_vos.runtime.backends.litert",
    "executorch-xnnpack": "edge_vos.runtime.backends.executorch",
    "executorch-coreml": "edge_vos.runtime.backends.executorch",
    "executorch-vulkan": "edge_vos.runtime.backends.executorch",
    "coreml": "edge_vos.runtime.backends.coreml",
    "tensorrt": "edge_vos.runtime.backends.tensorrt",
}

ALIASES: dict[str, tuple[str, ...]] = {
    "executorch": ("executorch-xnnpack", "executorch-coreml", "executorch-vulkan"),
}
"""Names of engines that run several kinds of bundle."""

ALSO_RUNS: dict[str, tuple[str, ...]] = {"tensorrt": ("onnx",)}
"""What else can run a backend's bundle, where its own engine is not installed."""


class Backend(Protocol):
    """What a backend's module offers."""

    INSTALL: str

    def is_available(self) -> bool:
        """Tell whether the engine is installed, without importing it."""
        ...

    def version(self) -> str:
        """Return the engine's version, or an empty string when it is not installed."""
        ...

    def open_runner(self, model_path: Path, manifest: Manifest, threads: int | None) -> Runner:
        """Load a model file.

        Args:
            model_path: the engine's file in the bundle.
            manifest: what the file has to offer.
            threads: how many threads one call may use; ``None`` is the engine's default.

        Raises:
            EngineError: if the engine is missing, or refuses the file.
            ShapeError: if the file's tensors are not the manifest's.
        """
        ...


def load_backend(name: str) -> Backend:
    """Import a backend by name.

    Raises:
        EngineError: if there is no backend of that name.
    """
    if name not in BACKENDS:
        raise EngineError(f"Unknown engine {name!r}", f"one of {', '.join(sorted(BACKENDS))}")
    return cast(Backend, importlib.import_module(BACKENDS[name]))
