"""The engines, each behind the same ``Runner``; ``edge_vos.engines`` lists them."""

import importlib
from pathlib import Path
from typing import Protocol, cast

from edge_vos.runtime.backends.runner import ModelSpec, Runner


class OpenRunner(Protocol):
    """What an engine's module has as ``open_runner``."""

    def __call__(self, model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
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


def load_opener(module: str) -> OpenRunner:
    """Import a module, such as an engine's ``runner``, and return what opens bundles with it."""
    return cast(OpenRunner, importlib.import_module(module).open_runner)
