"""Open a bundle with an engine."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from edge_vos.bundle import Manifest, default_bundle_path, read_bundle
from edge_vos.errors import EngineError, UsageError
from edge_vos.runtime.backends import load_backend
from edge_vos.runtime.runner import Runner

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to step, and how it was loaded.

    Attributes:
        manifest: the tensors, the memory policy and the reports.
        runner: the engine with the model in it.
        engine: the backend's name.
        engine_version: as the engine itself says.
        threads: threads for one call; ``None`` is the engine's default.
        load_ms: time to check the bundle and to load the engine.
        path: the bundle; ``None`` for a model that did not come from one.
    """

    manifest: Manifest
    runner: Runner
    engine: str
    engine_version: str
    threads: int | None
    load_ms: float
    path: Path | None


def open_bundle(
    path: str | Path | None = None, engine: str | None = None, threads: int | None = None
) -> LoadedModel:
    """Check a bundle and load it into an engine.

    Args:
        path: the bundle's folder or zip; ``None`` is the bundle that ships.
        engine: a backend's name; ``None`` is the one that the bundle was made for.
        threads: threads for one call, at least 1; ``None`` is the engine's default.

    Raises:
        BundleError: if the bundle is missing, broken or not understood.
        EngineError: if the engine is unknown, missing, or not the bundle's.
        UsageError: if ``threads`` is not positive.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads", "a positive number", "Leave --threads out")
    start = time.perf_counter()
    bundle = read_bundle(path if path is not None else default_bundle_path())
    manifest = bundle.manifest
    if not manifest.gate_passed:
        _log.warning("%s failed its verification when it was made", bundle.path)
    name = engine if engine is not None else manifest.backend
    backend = load_backend(name)
    if name != manifest.backend:
        raise EngineError(
            f"The bundle {bundle.path} cannot run on the engine {name!r}",
            f"the engine it was made for, {manifest.backend!r}",
            f"edge-vos convert --backend {name}",
        )
    runner = backend.open_runner(bundle.file(manifest.model_file), manifest, threads)
    return LoadedModel(
        manifest=manifest,
        runner=runner,
        engine=name,
        engine_version=backend.version(),
        threads=threads,
        load_ms=(time.perf_counter() - start) * 1e3,
        path=bundle.path,
    )
