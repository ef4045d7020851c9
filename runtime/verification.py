"""Verify a bundle on this machine: repeat its golden on its engine, or on what stands in for it."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_vos.bundle import Bundle, read_bundle, shipped_bundle_path
from edge_vos.engines import find_engine
from edge_vos.errors import EngineError
from edge_vos.runtime.backends import load_opener
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.golden import Golden, GoldenReport, check_golden, tolerance_of
from edge_vos.runtime.model import open_bundle, open_prompt_head
from edge_vos.runtime.prompts.prompt_golden import (
    PromptGolden,
    PromptGoldenReport,
    check_prompt_golden,
)


@dataclass(frozen=True)
class BundleVerification:
    """Say how a bundle's engine did on its golden.

    Args:
        path: the bundle.
        passed: the engine itself ran and agreed, and the bundle had not failed when it was made.
        executed: the engine itself ran.
        evaluated_by: what stood in for it; empty where it ran, or nothing did.
        mask_iou: overlap of all objects in all frames together.
        max_abs_error: largest error of a probability.
        mean_abs_error: the largest of the frames' mean errors of a probability.
        frames: how many were run.
        engine: that ran, or that the bundle is for.
        engine_version: empty where it is not known.
        passed_when_made: whether it passed its verification when it was made.
        verdict: "passed", "FAILED" or "NOT EXECUTED".
        failed_when_made: whether it failed that verification.
        refused: why nothing could run it; empty where something did.
        prompt_head: how its second graph did; ``None`` where it has none, or nothing could run it.
    """

    path: str
    passed: bool
    executed: bool
    evaluated_by: str
    mask_iou: float | None
    max_abs_error: float | None
    mean_abs_error: float | None
    frames: int
    engine: str
    engine_version: str
    passed_when_made: bool
    verdict: str
    failed_when_made: bool
    refused: str
    prompt_head: PromptGoldenReport | None = None

    @property
    def agrees(self) -> bool:
        """Return whether something ran, and met the golden of a bundle that had not failed."""
        return self.frames > 0 and self.verdict != "FAILED"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; a figure that is no number is null."""
        return _finite(asdict(self))


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _finite(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in figures.items()
    }


def verify(path: str | Path | None = None, threads: int | None = None) -> BundleVerification:
    """Repeat a bundle's golden on this machine; needs no torch.

    Args:
        path: the bundle's folder or zip; ``None`` is the bundle that ships.
        threads: threads for one call; ``None`` is the engine's default.

    Raises:
        BundleError: if the bundle is broken, holds no golden or states no tolerance.
        EngineError: if its engine runs on any machine, and does not run here.
    """
    bundle = read_bundle(path or shipped_bundle_path())
    golden = Golden.load(bundle)
    if bundle.manifest.prompt_head is not None:
        PromptGolden.load(bundle)
    try:
        runner, opener, evaluated_by, engine, version = _open(bundle, threads)
    except EngineError as error:
        if find_engine(bundle.manifest.backend).executes:
            raise
        return _describe(bundle, None, refused=str(error))
    try:
        found = check_golden(runner, bundle.manifest.graph, golden, **tolerance_of(bundle))
    finally:
        runner.close()
    prompted = _check_prompt_head(bundle, opener, threads)
    return _describe(bundle, found, evaluated_by, engine, version, prompted=prompted)


def _open(bundle: Bundle, threads: int | None) -> tuple[Runner, str, str, str, str]:
    """Open a bundle.

    Returns:
        what runs it, the module that opened it, the name of a stand-in, and the engine with its
        version.

    Raises:
        EngineError: if neither its engine nor anything else runs it here.
    """
    row = find_engine(bundle.manifest.backend)
    try:
        model = open_bundle(bundle.path, threads=threads)
    except EngineError:
        if not row.stand_in:
            raise
        row.require_packages()
        runner = load_opener(row.stand_in)(bundle.model_path, bundle.manifest, threads)
        return runner, row.stand_in, row.stand_in_name, row.name, ""
    by = row.stand_in_name if model.engine != row.name else ""
    opener = find_engine(model.engine).runner
    return model.runner, opener, by, model.engine, model.engine_version


def _check_prompt_head(
    bundle: Bundle, opener: str, threads: int | None
) -> PromptGoldenReport | None:
    """Repeat the golden of a bundle's second graph, with what ran the first."""
    entry = bundle.manifest.prompt_head
    if entry is None:
        return None
    limits = tolerance_of(bundle, entry.report)
    head = open_prompt_head(bundle, opener, threads)
    try:
        return check_prompt_golden(head.runner, entry.graph, PromptGolden.load(bundle), limits)
    finally:
        head.runner.close()


def _describe(
    bundle: Bundle,
    found: GoldenReport | None,
    evaluated_by: str = "",
    engine: str = "",
    engine_version: str = "",
    refused: str = "",
    prompted: PromptGoldenReport | None = None,
) -> BundleVerification:
    manifest = bundle.manifest
    executed = found is not None and not evaluated_by
    met = found is not None and found.passed and (prompted is None or prompted.passed)
    agrees = met and not manifest.gate_failed
    failed = found is not None and not agrees
    return BundleVerification(
        path=str(bundle.path),
        passed=agrees and executed,
        executed=executed,
        evaluated_by=evaluated_by,
        mask_iou=found.mask_iou if found else None,
        max_abs_error=found.max_abs_error if found else None,
        mean_abs_error=found.mean_abs_error if found else None,
        frames=found.frames if found else 0,
        engine=engine or manifest.backend,
        engine_version=engine_version,
        passed_when_made=manifest.gate_passed,
        verdict="FAILED" if failed else "passed" if executed else "NOT EXECUTED",
        failed_when_made=manifest.gate_failed,
        refused=refused,
        prompt_head=prompted,
    )
