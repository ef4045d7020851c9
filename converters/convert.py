"""Convert a student: rewrite, lower, verify, and only then write the bundle."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_vos.bundle import GOLDEN_FILE, Bundle, Manifest, refuse_existing, write_bundle
from edge_vos.converters.calibrate import check_calibration
from edge_vos.converters.clip import FRAMES
from edge_vos.converters.context import Ground, Progress
from edge_vos.converters.known_bad import check_known_bad
from edge_vos.converters.lowering import Lowered, Request
from edge_vos.converters.recipe import Recipe
from edge_vos.converters.targets import (
    BACKENDS,
    Evaluator,
    installed_version,
    load_converter,
    load_evaluator,
    quantization,
)
from edge_vos.converters.verify.checks import TOLERANCES, Score, Tolerance, Verification, verify
from edge_vos.converters.verify.divergence import Divergence, first_divergence
from edge_vos.errors import GateError
from edge_vos.runtime.backends.runner import Runner, Tensors

GIVEN_BACK = (0, 1, 2, 4, 8)
"""How many modules each try keeps in float, the most sensitive first."""

STAND_IN_STRIDE = 5
"""A stand-in is slow: its tensors are compared in every so many calls."""


@dataclass(frozen=True)
class Options:
    """Say how all conversions of one call are done.

    Args:
        weights: the student's safetensors file.
        calibrate: source that quantization is calibrated and everything is verified on; ``None``
            is a generated scene.
        max_drop: how many points of J&F may be lost; ``None`` is the tolerance's.
        frames: how many frames the closed loop runs for.
        overwrite: replace a bundle that lies at an output.
        allow_failed_gate: write a bundle that fails, marked as failed.
    """

    weights: Path
    calibrate: str | None = None
    max_drop: float | None = None
    frames: int = FRAMES
    overwrite: bool = False
    allow_failed_gate: bool = False


@dataclass(frozen=True)
class Artifact:
    """Hold an engine's files and what was found about them.

    Args:
        lowered: the files and the placement of operators.
        verification: how it agrees with eager PyTorch; ``None`` where nothing here can run it.
        kept_float: modules that were given back to float until it passed.
        tries: how many times it was lowered.
        divergence: where it leaves eager PyTorch; ``None`` where it agrees.
    """

    lowered: Lowered
    verification: Verification | None
    kept_float: tuple[str, ...]
    tries: int
    divergence: Divergence | None = None


@dataclass(frozen=True)
class Converted:
    """Hold what a conversion made.

    Args:
        bundle: as written and read back.
        artifact: what is in it.
    """

    bundle: Bundle
    artifact: Artifact


class Conversion:
    """Convert one student for several targets, which share everything that they can.

    The weights are loaded, eager PyTorch is run and the calibration is recorded once a size;
    recipes that differ in their target alone share the artifact.

    Args:
        options: what holds for all.
        score: judges masks where the clip has a truth.
        progress: told the name of each step as it starts.
    """

    def __init__(
        self, options: Options, score: Score | None = None, progress: Progress | None = None
    ) -> None:
        self._options = options
        self._score = score
        self._progress = progress or (lambda _: None)
        self._ground = Ground(options.weights, options.calibrate, options.frames, self._progress)
        self._artifacts: dict[Recipe, Artifact] = {}

    def convert(self, recipe: Recipe, output: Path) -> Converted:
        """Make one bundle, verified against eager PyTorch.

        Args:
            recipe: what to make.
            output: the bundle to write.

        Raises:
            CheckpointError: if the weights cannot be used.
            SinkError: if the output exists or cannot be written.
            GateError: if the verification fails; nothing is written.
            EngineError: if the engine cannot express or run the student, or is known to go wrong.
        """
        refuse_existing(output, overwrite=self._options.overwrite)
        check_known_bad(recipe)
        artifact = self._artifact(recipe)
        verification = artifact.verification
        if verification and not verification.agrees and not self._options.allow_failed_gate:
            where = (*verification.failures, str(artifact.divergence))
            raise GateError(
                f"Nothing was written: {'; '.join(where)}",
                f"agreement with eager PyTorch as for {recipe.backend} {recipe.precision}",
                "Try another --sampler or --precision, or keep it for study with "
                "--allow-failed-gate",
            )
        self._progress(f"writing {output}")
        manifest = replace(
            self._manifest(recipe, artifact.lowered),
            target=recipe.target,
            report=self._report(recipe, artifact),
            tools=_versions(recipe.backend),
        )
        golden = self._ground.reference(recipe.size).golden.to_bytes()
        files = {**artifact.lowered.files, GOLDEN_FILE: golden}
        bundle = write_bundle(output, manifest, files, overwrite=self._options.overwrite)
        return Converted(bundle, artifact)

    def _manifest(self, recipe: Recipe, lowered: Lowered) -> Manifest:
        return replace(
            self._ground.manifest(recipe.size),
            backend=recipe.backend,
            model_file=lowered.model_file,
            precision=recipe.precision,
            sampler=recipe.sampler,
        )

    def _artifact(self, recipe: Recipe) -> Artifact:
        key = replace(recipe, target=BACKENDS[recipe.backend].target, reason="")
        if key not in self._artifacts:
            self._artifacts[key] = self._make(recipe)
        return self._artifacts[key]

    def _make(self, recipe: Recipe) -> Artifact:
        """Lower and verify; give modules back to float for as long as a quantized one misses."""
        ground, scheme = self._ground, quantization(recipe.backend, recipe.precision)
        module = ground.module(recipe.size, recipe.sampler)
        calibration = ground.calibration(recipe.size) if scheme else None
        if calibration is not None:
            check_calibration(calibration)
        request = Request(module, ground.examples(recipe.size), recipe.precision, calibration)
        evaluator, lower = load_evaluator(recipe.backend), load_converter(recipe.backend).lower
        if evaluator is None:
            self._progress(f"lowering to {recipe.backend}, {recipe.precision}, NOT EXECUTED here")
            return Artifact(lower(request), None, (), 1)
        ranking: tuple[str, ...] = ()
        for tries, count in enumerate(GIVEN_BACK if scheme else GIVEN_BACK[:1], start=1):
            request = replace(request, keep_float=ranking[:count])
            self._progress(
                f"lowering to {recipe.backend}, {recipe.precision}"
                + (f", in float: {', '.join(request.keep_float)}" if request.keep_float else "")
            )
            lowered = lower(request)
            verification, inputs = self._verify(recipe, lowered, evaluator)
            if verification.agrees:
                return Artifact(lowered, verification, request.keep_float, tries)
            self._progress(f"missed: {verification.failures[0]}")
            if scheme:
                ranking = ground.ranking(recipe.size, recipe.sampler, scheme)
        self._progress("looking for the first module to diverge")
        divergence = first_divergence(
            request,
            lower,
            partial(_opened, evaluator=evaluator),
            self._manifest(recipe, lowered),
            inputs,
            verification.tolerance.norm_error,
        )
        return Artifact(lowered, verification, request.keep_float, tries, divergence)

    def _verify(
        self, recipe: Recipe, lowered: Lowered, evaluator: Evaluator
    ) -> tuple[Verification, Tensors]:
        manifest = self._manifest(recipe, lowered)
        reference = self._ground.reference(recipe.size)
        by = f" with {evaluator.name}, NOT EXECUTED" if evaluator.name else ""
        self._progress(f"verifying over {len(reference.results)} frames{by}")
        with _opened(lowered, manifest, evaluator) as candidate:
            return verify(
                reference,
                candidate,
                manifest,
                self._tolerance(recipe),
                self._score,
                evaluated_by=evaluator.name,
                stride=STAND_IN_STRIDE if evaluator.name else 1,
            )

    def _tolerance(self, recipe: Recipe) -> Tolerance:
        tolerance = TOLERANCES[recipe.backend, recipe.precision]
        if self._options.max_drop is None:
            return tolerance
        return replace(tolerance, jf_drop=self._options.max_drop)

    def _report(self, recipe: Recipe, artifact: Artifact) -> dict[str, Any]:
        lowered, verification = artifact.lowered, artifact.verification
        report = verification.report() if verification else _unverified(self._tolerance(recipe))
        placement = asdict(lowered.placement) if lowered.placement else {}
        report["placement"] = {**placement, "left_on_cpu": list(lowered.left_on_cpu)}
        report["recipe"] = {"reason": recipe.reason, "sampler_reason": recipe.sampler_reason}
        if quantization(recipe.backend, recipe.precision):
            calibration = self._ground.calibration(recipe.size)
            report["quantization"] = {
                "calibration": calibration.name,
                "calls": len(calibration.calls),
                "left_float": list(lowered.left_float),
                "kept_float": list(artifact.kept_float),
                "tries": artifact.tries,
            }
        if artifact.divergence:
            report["first_divergence"] = asdict(artifact.divergence)
        return report


def _unverified(tolerance: Tolerance) -> dict[str, Any]:
    figures = dict.fromkeys(("max_abs_error", "mask_iou", "jf", "jf_drop"))
    return {
        "executed": False,
        "evaluated_by": "",
        "passed": False,
        "failures": [],
        "tolerance": asdict(tolerance),
        **figures,
    }


def _versions(backend: str) -> dict[str, str]:
    names = ("edge-vos", *BACKENDS[backend].packages)
    return {name: version for name in names if (version := installed_version(name))}


@contextmanager
def _opened(lowered: Lowered, manifest: Manifest, evaluator: Evaluator) -> Iterator[Runner]:
    with tempfile.TemporaryDirectory(prefix="edge-vos-convert-") as folder:
        for name, content in lowered.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # One thread: the order of sums, and so the report, is the same on every machine of a kind.
        runner = evaluator.open_runner(Path(folder) / lowered.model_file, manifest, 1)
        try:
            yield runner
        finally:
            runner.close()
