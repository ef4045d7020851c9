"""Open a bundle with an engine."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_vos.bundle import Bundle, Manifest, MemoryPolicy, read_bundle, shipped_bundle_path
from edge_vos.engines import ENGINES, Engine, find_engine
from edge_vos.errors import BundleError, EngineError, MissingPackageError, UsageError
from edge_vos.graph import GraphSpec
from edge_vos.runtime.backends import load_opener
from edge_vos.runtime.backends.loaded_pages import release_loaded_pages
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.prompts.prompt_head import PromptHead

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


class LazyPromptHead:
    """Open a prompt head when it is first asked for.

    Args:
        opener: opens it.
    """

    def __init__(self, opener: Callable[[], PromptHead]) -> None:
        self._opener = opener
        self._opened: PromptHead | None = None

    def get(self) -> PromptHead:
        """Return the head, opened now if it is not open."""
        if self._opened is None:
            self._opened = self._opener()
        return self._opened

    def release(self) -> None:
        """Close the head, if it is open, so that its memory is free; it can be asked for again."""
        if self._opened is not None:
            self._opened.runner.close()
            self._opened = None


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
        lazy_prompt_head: the bundle's second graph; ``None`` where it has none.
    """

    manifest: Manifest
    runner: Runner
    engine: str
    engine_version: str
    threads: int | None
    load_ms: float
    path: Path | None
    engine_reason: str = ""
    lazy_prompt_head: LazyPromptHead | None = None

    @property
    def prompt_head(self) -> PromptHead | None:
        """Return what makes masks from boxes and clicks; ``None`` where the bundle has none.

        The first use opens it, with the engine and the threads of the model.

        Raises:
            EngineError: if the engine refuses its file.
            ShapeError: if the file's tensors are not the manifest's.
        """
        return self.lazy_prompt_head.get() if self.lazy_prompt_head else None

    def release_prompt_head(self) -> None:
        """Free the memory that the prompt head takes; the next use opens it again."""
        if self.lazy_prompt_head:
            self.lazy_prompt_head.release()

    def close(self) -> None:
        """Free the engine, and the prompt head with it; closing twice is allowed."""
        self.release_prompt_head()
        self.runner.close()

    @property
    def graph(self) -> GraphSpec:
        """Return what the model takes and returns."""
        return self.manifest.graph

    @property
    def memory(self) -> MemoryPolicy:
        """Return when frames go to memory, as the manifest says."""
        return self.manifest.memory


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
    opener = load_opener(chosen.runner)
    release_loaded_pages()  # those of imports, before the engine's add to them
    runner = opener(bundle.model_path, manifest, threads)
    release_loaded_pages()
    return LoadedModel(
        manifest=manifest,
        runner=runner,
        engine=chosen.name,
        engine_version=chosen.version,
        threads=threads,
        load_ms=(time.perf_counter() - start) * 1e3,
        path=bundle.path,
        engine_reason=reason,
        lazy_prompt_head=(
            LazyPromptHead(lambda: open_prompt_head(bundle, chosen.runner, threads))
            if manifest.prompt_head
            else None
        ),
    )


def open_prompt_head(bundle: Bundle, opener: str, threads: int | None) -> PromptHead:
    """Load the second graph of a bundle into an engine.

    Args:
        bundle: one with a prompt head.
        opener: the module with ``open_runner``, as an engine's row names it.
        threads: threads for one call; ``None`` is the engine's default.

    Raises:
        BundleError: if the bundle has none.
        EngineError: if the engine is missing, or refuses the file.
        ShapeError: if the file's tensors are not the manifest's.
    """
    entry = bundle.manifest.prompt_head
    if entry is None:
        raise BundleError(
            f"{bundle.path} holds no prompt head",
            "a bundle with one",
            "Convert again: edge-vos convert --target cpu",
        )
    tensors = entry.tensors(bundle.manifest.backend)
    runner = load_opener(opener)(bundle.folder / entry.model_file, tensors, threads)
    release_loaded_pages()
    return PromptHead(runner, entry.size)


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
