"""Open a bundle with an engine."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_vos.bundle import Manifest, MemoryPolicy, read_bundle, shipped_bundle_path
from edge_vos.engines import ENGINES, Engine, find_engine
from edge_vos.errors import EngineError, MissingPackageError, UsageError
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends import load_opener
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.interactive.prompt_head import PromptHead

_log = logging.getLogger(__name__)


class Model(Protocol):
    """What ``Segmenter`` steps: a graph that runs, and when frames go to its memory."""

    @property
    def runner(self) -> Runner:
        """Return the engine with the graph in it."""
        ...

    @property
    def graph(self) -> GraphSpec:
        """Return what the graph takes and returns."""
        ...

    @property
    def memory(self) -> MemoryPolicy:
        """Return when frames go to memory, unless ``Segmenter`` is told otherwise."""
        ...

    @property
    def prompt_head(self) -> PromptHead | None:
        """Return what finds an object from a box or clicks; ``None`` for a model without."""
        ...


@dataclass(frozen=True)
class RunningGraph:
    """A graph that runs without a bundle behind it, such as the eager student."""

    runner: Runner
    graph: GraphSpec
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    prompt_head: PromptHead | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to step, and how it was loaded.

    Attributes:
        manifest: the tensors, the memory policy and the reports.
        runner: the engine with the model in it.
        engine: its name in ``edge_vos.engines``.
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

    @property
    def graph(self) -> GraphSpec:
        """Return what the model takes and returns."""
        return self.manifest.graph

    @property
    def memory(self) -> MemoryPolicy:
        """Return when frames go to memory, as the manifest says."""
        return self.manifest.memory

    @property
    def prompt_head(self) -> PromptHead | None:
        """Return what finds an object from a box or clicks; no bundle has it yet."""
        return None


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
    chosen, reason = choose_engine(manifest.backend, engine)
    _log.info("%s: engine %s, %s", bundle.path, chosen.name, reason)
    runner = load_opener(chosen.runner)(bundle.model_path, manifest, threads)
    return LoadedModel(
        manifest=manifest,
        runner=runner,
        engine=chosen.name,
        engine_version=chosen.version,
        threads=threads,
        load_ms=(time.perf_counter() - start) * 1e3,
        path=bundle.path,
        engine_reason=reason,
    )


def choose_engine(made_for: str, wanted: str | None = None) -> tuple[Engine, str]:
    """Return the engine that runs a bundle on this machine, and why it was taken.

    Args:
        made_for: the manifest's backend.
        wanted: the engine to use, or its family; ``None`` is the first that is installed.

    Raises:
        EngineError: if it is unknown, cannot run the bundle, or is not installed.
    """
    own = find_engine(made_for)
    able = [own, *(ENGINES[name] for name in own.also_run_by)]
    if wanted is not None:
        able = [engine for engine in able if wanted in (engine.name, engine.kind)]
    if not able:
        if wanted not in {engine.kind for engine in ENGINES.values()}:
            find_engine(str(wanted))  # an unknown one is refused by name
        raise EngineError(
            f"A bundle for {made_for} cannot run on the engine {wanted!r}",
            f"the engine that it was made for, {made_for!r}",
            f"edge-vos convert --backend {wanted}",
        )
    for engine in able:
        if engine.is_available:
            return engine, _reason(engine.name, made_for, wanted)
    raise MissingPackageError(
        f"The engine {able[0].name!r}, which the bundle was made for, is not installed here",
        f"one of {', '.join(engine.name for engine in able)}",
        able[0].install,
    )


def _reason(name: str, made_for: str, asked_for: str | None) -> str:
    if asked_for is not None:
        return "as asked for"
    if name == made_for:
        return "which the bundle was made for"
    return f"for {made_for}, which the bundle was made for, is not installed here"
