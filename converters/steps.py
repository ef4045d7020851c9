"""The steps of a conversion, each a function of what the step before returned.

A bundle has two graphs, the student's step and the prompt head; both go through the same steps and
differ in what ``prepare`` and ``prepare_prompt_head`` put together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from edge_vos.converters.context import ConversionContext
from edge_vos.converters.lowering import PROMPT_HEAD, Calibration, Lowered, Request, load_lower
from edge_vos.converters.quantization.quantize import Scheme, scheme_of
from edge_vos.converters.recipe import Recipe
from edge_vos.converters.report import ConversionReport, Quantization
from edge_vos.converters.verify.checks import Score, verify
from edge_vos.converters.verify.divergence import Divergence, first_divergence
from edge_vos.converters.verify.evaluator import Evaluator, find_evaluator
from edge_vos.converters.verify.prompt_head import PromptVerification, verify_prompt_head
from edge_vos.converters.verify.tolerance import Tolerance, prompt_tolerance_for, tolerance_for
from edge_vos.converters.verify.verification import Verification
from edge_vos.engines import ENGINES, Engine
from edge_vos.graph import GraphSpec, PromptGraphSpec
from edge_vos.manifest import ModelTensors
from edge_vos.runtime.backends.runner import ModelSpec, Runner, Tensors

GIVEN_BACK = (0, 1, 2, 4, 8)
"""How many modules each try keeps in float, the most sensitive first."""

STAND_IN_STRIDE = 5
"""A stand-in is slow: its tensors are compared in every so many calls."""


Verify = Callable[[Runner], tuple[Verification | PromptVerification, Tensors]]
"""Compares an engine with eager PyTorch; gives what was found, and the inputs of the worst call."""


@dataclass(frozen=True)
class Prepared:
    """Hold what a recipe is lowered from, and what it is held to.

    Args:
        recipe: what to make.
        engine: its row.
        evaluator: what runs its files on this machine; ``None`` where nothing does.
        offered: what its file has to offer.
        request: the module, with nothing beside the usual in float.
        scheme: how it is quantized; ``None`` for a float precision.
        tolerance: what the engine may differ by.
        verify: compares the engine with eager PyTorch.
        over: says on what, such as "100 frames".
        rank: gives the modules, the most sensitive first; called for a quantized precision only.
        title: what it is called; empty for the student's step.
    """

    recipe: Recipe
    engine: Engine
    evaluator: Evaluator | None
    offered: ModelSpec
    request: Request
    scheme: Scheme | None
    tolerance: Tolerance
    verify: Verify
    over: Callable[[], str]
    rank: Callable[[Scheme], tuple[str, ...]]
    title: str = ""


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
    verification: Verification | PromptVerification | None = None
    worst_inputs: Tensors | None = None
    divergence: Divergence | None = None

    @property
    def agrees(self) -> bool:
        """Return whether nothing speaks against it."""
        return self.verification is None or self.verification.agrees


def prepare(
    recipe: Recipe,
    context: ConversionContext,
    max_drop: float | None = None,
    score: Score | None = None,
) -> Prepared:
    """Rewrite the student for a recipe, and calibrate where that is needed.

    Args:
        recipe: what to make.
        context: what its conversion shares with others.
        max_drop: how many points of J&F may be lost; ``None`` is the tolerance's.
        score: judges masks where the clip has a truth.
    """
    size = recipe.size
    graph, tolerance = context.manifest(size).graph, tolerance_for(recipe.precision)
    if max_drop is not None:
        tolerance = replace(tolerance, jf_drop=max_drop)

    def compare(candidate: Runner, by: str, stride: int) -> tuple[Verification, Tensors]:
        reference = context.reference(size)
        return verify(reference, candidate, graph, tolerance, score, evaluated_by=by, stride=stride)

    return _prepared(
        recipe,
        graph,
        tolerance,
        compare,
        module=context.module(size, recipe.sampler),
        examples=context.examples(size),
        calibration=lambda: context.calibration(size),
        over=lambda: f"{len(context.reference(size).results)} frames",
        rank=lambda how: context.ranking(size, recipe.sampler, how),
    )


def prepare_prompt_head(recipe: Recipe, context: ConversionContext) -> Prepared:
    """Rewrite the prompt head for a recipe, and calibrate where that is needed.

    Args:
        recipe: what the bundle is; its size is the step's.
        context: what its conversion shares with others; it has a prompt head.
    """
    size = recipe.size
    graph, tolerance = PromptGraphSpec.beside(size), prompt_tolerance_for(recipe.precision)

    def compare(candidate: Runner, by: str, stride: int) -> tuple[PromptVerification, Tensors]:
        reference = context.prompt_reference(size)
        return verify_prompt_head(
            reference, candidate, graph, tolerance, evaluated_by=by, stride=stride
        )

    prepared = _prepared(
        recipe,
        graph,
        tolerance,
        compare,
        module=context.prompt_module(graph.size),
        examples=context.prompt_examples(graph.size),
        calibration=lambda: context.prompt_calibration(size),
        over=lambda: f"{len(context.prompt_reference(size).recorded)} prompts",
        rank=lambda how: context.prompt_ranking(size, how),
    )
    request = replace(prepared.request, names=PROMPT_HEAD)
    return replace(prepared, request=request, title="the prompt head")


def _prepared(
    recipe: Recipe,
    graph: GraphSpec | PromptGraphSpec,
    tolerance: Tolerance,
    compare: Callable[[Runner, str, int], tuple[Verification | PromptVerification, Tensors]],
    *,
    module: nn.Module,
    examples: tuple[Tensor, ...],
    calibration: Callable[[], Calibration],
    over: Callable[[], str],
    rank: Callable[[Scheme], tuple[str, ...]],
) -> Prepared:
    engine = ENGINES[recipe.backend]
    scheme, evaluator = scheme_of(engine, recipe.precision), find_evaluator(engine)
    by = evaluator.name if evaluator else ""
    stride = STAND_IN_STRIDE if by else 1
    return Prepared(
        recipe,
        engine,
        evaluator,
        ModelTensors(engine.name, recipe.precision, graph.inputs, graph.outputs),
        Request(module, examples, recipe.precision, calibration() if scheme else None),
        scheme,
        tolerance,
        lambda candidate: compare(candidate, by, stride),
        over,
        rank,
    )


def lower(prepared: Prepared, context: ConversionContext) -> Iterator[Artifact]:
    """Lower a module, and again with more of it in float for as long as somebody asks for more."""
    recipe, engine_lower = prepared.recipe, load_lower(prepared.engine)
    again = prepared.scheme is not None and prepared.evaluator is not None
    float_already: tuple[str, ...] = ()
    for tries, count in enumerate(GIVEN_BACK if again else GIVEN_BACK[:1], start=1):
        kept: tuple[str, ...] = ()
        if count and prepared.scheme:
            ranked = prepared.rank(prepared.scheme)
            kept = tuple(name for name in ranked if name not in float_already)[:count]
        request = replace(prepared.request, keep_float=kept)
        what = f"lowering {prepared.title}" if prepared.title else "lowering"
        step = f"{what} to {recipe.backend}, {recipe.precision}"
        if prepared.evaluator is None:
            step += ", NOT EXECUTED here"
        context.progress(step + (f", in float: {', '.join(kept)}" if kept else ""))
        lowered = engine_lower(request)
        float_already = lowered.left_float
        yield Artifact(prepared, request, lowered, tries)


def verify_artifact(artifact: Artifact, context: ConversionContext) -> Artifact:
    """Compare an engine's files with eager PyTorch, where something here runs them."""
    prepared = artifact.prepared
    evaluator = prepared.evaluator
    if evaluator is None:
        return artifact
    by = f" with {evaluator.name}, NOT EXECUTED" if evaluator.name else ""
    what = f"verifying {prepared.title}" if prepared.title else "verifying"
    over = prepared.over()
    context.progress(f"{what} over {over}{by}")
    with evaluator.opened(artifact.lowered, prepared.offered) as candidate:
        verification, inputs = prepared.verify(candidate)
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
        artifact.prepared.offered,
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
