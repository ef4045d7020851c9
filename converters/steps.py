"""The steps of a conversion, each a function of what the step before returned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_vos.bundle import Manifest
from edge_vos.converters.context import ConversionContext
from edge_vos.converters.lowering import Lowered, Request, load_lower
from edge_vos.converters.quantization.quantize import Scheme, scheme_of
from edge_vos.converters.recipe import Recipe
from edge_vos.converters.report import ConversionReport, Quantization
from edge_vos.converters.verify.checks import Score, verify
from edge_vos.converters.verify.divergence import Divergence, first_divergence
from edge_vos.converters.verify.evaluator import Evaluator, find_evaluator
from edge_vos.converters.verify.tolerance import Tolerance, tolerance_for
from edge_vos.converters.verify.verification import Verification
from edge_vos.engines import ENGINES, Engine
from edge_vos.runtime.backends.runner import Tensors

GIVEN_BACK = (0, 1, 2, 4, 8)
"""How many modules each try keeps in float, the most sensitive first."""

STAND_IN_STRIDE = 5
"""A stand-in is slow: its tensors are compared in every so many calls."""


@dataclass(frozen=True)
class Prepared:
    """Hold what a recipe is lowered from, and what it is held to.

    Args:
        recipe: what to make.
        engine: its row.
        evaluator: what runs its files on this machine; ``None`` where nothing does.
        manifest: of its bundle, before anything is found out.
        request: the module, with nothing beside the usual in float.
        scheme: how it is quantized; ``None`` for a float precision.
        tolerance: what the engine may differ by.
    """

    recipe: Recipe
    engine: Engine
    evaluator: Evaluator | None
    manifest: Manifest
    request: Request
    scheme: Scheme | None
    tolerance: Tolerance


@dataclass(frozen=True)
class Artifact:
    """Hold an engine's files and what was found about them so far.

    Args:
        prepared: what they were lowered from.
        request: how.
        lowered: the files and the placement of operators.
        tries: how many times it was lowered.
        verification: how it agrees with eager PyTorch; ``None`` where nothing here can run it.
        worst_inputs: of the call in which it is furthest off.
        divergence: where it leaves eager PyTorch; ``None`` where it agrees.
    """

    prepared: Prepared
    request: Request
    lowered: Lowered
    tries: int
    verification: Verification | None = None
    worst_inputs: Tensors | None = None
    divergence: Divergence | None = None

    @property
    def manifest(self) -> Manifest:
        """Return the manifest that its engine opens it with."""
        return replace(self.prepared.manifest, model_file=self.lowered.model_file)

    @property
    def agrees(self) -> bool:
        """Return whether nothing speaks against it."""
        return self.verification is None or self.verification.agrees


def prepare(recipe: Recipe, context: ConversionContext, max_drop: float | None = None) -> Prepared:
    """Rewrite the student for a recipe, and calibrate where that is needed.

    Args:
        recipe: what to make.
        context: what its conversion shares with others.
        max_drop: how many points of J&F may be lost; ``None`` is the tolerance's.
    """
    engine, size = ENGINES[recipe.backend], recipe.size
    scheme = scheme_of(engine, recipe.precision)
    tolerance = tolerance_for(recipe.precision)
    return Prepared(
        recipe,
        engine,
        find_evaluator(engine),
        replace(
            context.manifest(size),
            backend=engine.name,
            precision=recipe.precision,
            sampler=recipe.sampler,
        ),
        Request(
            context.module(size, recipe.sampler),
            context.examples(size),
            recipe.precision,
            context.calibration(size) if scheme else None,
        ),
        scheme,
        tolerance if max_drop is None else replace(tolerance, jf_drop=max_drop),
    )


def lower(prepared: Prepared, context: ConversionContext) -> Iterator[Artifact]:
    """Lower a module, and again with more of it in float for as long as somebody asks for more."""
    recipe, engine_lower = prepared.recipe, load_lower(prepared.engine)
    again = prepared.scheme is not None and prepared.evaluator is not None
    for tries, count in enumerate(GIVEN_BACK if again else GIVEN_BACK[:1], start=1):
        kept: tuple[str, ...] = ()
        if count and prepared.scheme:
            kept = context.ranking(recipe.size, recipe.sampler, prepared.scheme)[:count]
        request = replace(prepared.request, keep_float=kept)
        step = f"lowering to {recipe.backend}, {recipe.precision}"
        if prepared.evaluator is None:
            step += ", NOT EXECUTED here"
        context.progress(step + (f", in float: {', '.join(kept)}" if kept else ""))
        yield Artifact(prepared, request, engine_lower(request), tries)


def verify_artifact(
    artifact: Artifact, context: ConversionContext, score: Score | None
) -> Artifact:
    """Compare an engine's files with eager PyTorch, where something here runs them."""
    evaluator = artifact.prepared.evaluator
    if evaluator is None:
        return artifact
    reference = context.reference(artifact.prepared.recipe.size)
    by = f" with {evaluator.name}, NOT EXECUTED" if evaluator.name else ""
    context.progress(f"verifying over {len(reference.results)} frames{by}")
    with evaluator.opened(artifact.lowered, artifact.manifest) as candidate:
        verification, inputs = verify(
            reference,
            candidate,
            artifact.manifest.graph,
            artifact.prepared.tolerance,
            score,
            evaluated_by=evaluator.name,
            stride=STAND_IN_STRIDE if evaluator.name else 1,
        )
    if not verification.agrees:
        context.progress(f"missed: {verification.failures[0]}")
    return replace(artifact, verification=verification, worst_inputs=inputs)


def locate(artifact: Artifact, context: ConversionContext) -> Artifact:
    """Find where an engine's files leave eager PyTorch, where they do not agree."""
    evaluator, inputs = artifact.prepared.evaluator, artifact.worst_inputs
    if artifact.agrees or evaluator is None or inputs is None:
        return artifact
    context.progress("looking for the first module to diverge")
    divergence = first_divergence(
        artifact.request,
        load_lower(artifact.prepared.engine),
        evaluator,
        artifact.manifest,
        inputs,
        artifact.prepared.tolerance.norm_error,
    )
    return replace(artifact, divergence=divergence)


def describe(recipe: Recipe, artifact: Artifact) -> ConversionReport:
    """Report what was found.

    Args:
        recipe: what was asked for; its target may differ from the artifact's.
        artifact: what was made of it.
    """
    calibration, quantization = artifact.request.calibration, None
    if calibration is not None:
        quantization = Quantization(
            calibration.name,
            len(calibration.calls),
            artifact.lowered.left_float,
            artifact.request.keep_float,
            artifact.tries,
        )
    return ConversionReport(
        recipe=recipe,
        tolerance=artifact.prepared.tolerance,
        lowered=artifact.lowered,
        verification=artifact.verification,
        quantization=quantization,
        divergence=artifact.divergence,
    )
