"""Open a bundle with an engine."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from edge_vos.bundle import Manifest, read_bundle, shipped_bundle_path
from edge_vos.errors import EngineError, UsageError
from edge_vos.runtime.backends import ALIASES, ALSO_RUNS, Backend, load_backend
from edge_vos.runtime.backends.runner import Runner

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
        engine_reason: why this engine was taken; empty for a model that did not come from a bundle.
    """

    manifest: Manifest
    runner: Runner
    engine: str
    engine_version: str
    threads: int | None
    load_ms: float
    path: Path | None
    engine_reason: str = ""


def open_bundle(
    path: str | Path | None = None, engine: str | None = None, threads: int | None = None
) -> LoadedModel:
    """Check a bundle and load it into an engine.

    Args:
        path: the bundle's folder or zip; ``None`` is the bundle that ships.
        engine: a backend's name, or "executorch" for any of its delegates; ``None`` is what is
            installed, the one that the bundle was made for first.
        threads: threads for one call, at least 1; ``None`` is the engine's default.

    Raises:
        BundleError: if the bundle is missing, broken or not understood.
        EngineError: if the engine is unknown, missing, or not the bundle's.
        UsageError: if ``threads`` is not positive.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads", "a positive number", "Leave --threads out")
    start = time.perf_counter()
    bundle = read_bundle(path if path is not None else shipped_bundle_path())
    manifest = bundle.manifest
    if not manifest.gate_passed:
        _log.warning("%s: verification %s when it was made", bundle.path, manifest.verdict)
    name, backend, reason = choose_engine(manifest.backend, engine)
    _log.info("%s: engine %s, %s", bundle.path, name, reason)
    runner = backend.open_runner(bundle.model_path, manifest, threads)
    return LoadedModel(
        manifest=manifest,
        runner=runner,
        engine=name,
        engine_version=backend.version(),
        threads=threads,
        load_ms=(time.perf_counter() - start) * 1e3,
        path=bundle.path,
        engine_reason=reason,
    )


def choose_engine(made_for: str, engine: str | None = None) -> tuple[str, Backend, str]:
    """Return the name of the engine that runs a bundle on this machine, the engine, and why it.

    Args:
        made_for: the manifest's backend.
        engine: the one to use; ``None`` is the first that is installed.

    Raises:
        EngineError: if it is unknown, cannot run the bundle, or is not installed.
    """
    able = (made_for, *ALSO_RUNS.get(made_for, ()))
    if engine is not None:
        able = tuple(name for name in ALIASES.get(engine, (engine,)) if name in able)
    if not able:
        if engine not in ALIASES:
            load_backend(str(engine))  # an unknown one is refused by name
        raise EngineError(
            f"A bundle for {made_for} cannot run on the engine {engine!r}",
            f"the engine that it was made for, {made_for!r}",
            f"edge-vos convert --backend {engine}",
        )
    for name in able:
        backend = load_backend(name)
        if backend.is_available():
            return name, backend, _reason(name, made_for, engine)
    first = load_backend(able[0])
    raise EngineError(
        f"The engine {able[0]!r}, which the bundle was made for, is not installed here",
        f"one of {', '.join(able)}",
        first.INSTALL,
    )


def _reason(name: str, made_for: str, asked_for: str | None) -> str:
    if asked_for is not None:
        return "as asked for"
    if name == made_for:
        return "which the bundle was made for"
    return f"for {made_for}, which the bundle was made for, is not installed here"
