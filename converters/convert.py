"""Convert a student: a list of steps (``edge_vos.converters.steps``), and only then the bundle.

::

    recipe -> prepare -> lower (and quantize) -> verify -> locate -> report -> write

A quantized student that does not agree is lowered again with more of it in float. The prompt head,
where there is one, goes the same way and becomes the second graph of the bundle.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.bundle import (
    GOLDEN_FILE,
    PROMPT_GOLDEN_FILE,
    Bundle,
    refuse_existing,
    write_bundle,
)
from edge_vos.converters.clip import FRAMES
from edge_vos.converters.context import ConversionContext, Progress
from edge_vos.converters.known_bad import check_known_bad
from edge_vos.converters.recipe import Recipe, choose
from edge_vos.converters.report import ConversionReport, ConversionSummary
from edge_vos.converters.steps import (
    Artifact,
    Prepared,
    describe,
    locate,
    lower,
    prepare,
    prepare_prompt_head,
    verify_artifact,
)
from edge_vos.converters.verify.checks import Score
from edge_vos.engines import ENGINES, installed_version
from edge_vos.errors import GateError
from edge_vos.evaluate.metrics import region_and_boundary
from edge_vos.manifest import PromptHeadEntry
from edge_vos.model.checkpoint import default_weights_path
from edge_vos.model.prompt_checkpoint import default_prompt_head_path

PROMPT_FOLDER = "prompt"
"""Where the prompt head's files lie inside a bundle."""


@dataclass(frozen=True)
class Options:
    """Say how all conversions of one call are done.

    Args:
        weights: the student's safetensors file.
        calibrate: source that quantization is calibrated and everything is verified on; ``None``
            is the clip that ships.
        max_drop: how many points of J&F may be lost; ``None`` is the tolerance's.
        frames: how many frames the closed loop runs for.
        overwrite: replace a bundle that lies at an output.
        allow_failed_gate: write a bundle that fails, marked as failed.
        prompt_head: the prompt head's safetensors file; ``None`` for a bundle without one.
    """

    weights: Path
    calibrate: str | None = None
    max_drop: float | None = None
    frames: int = FRAMES
    overwrite: bool = False
    allow_failed_gate: bool = False
    prompt_head: Path | None = None


@dataclass(frozen=True)
class Converted:
    """Hold what a conversion made.

    Args:
        bundle: as written and read back.
        report: what was found.
        prompt_head: what was found of the prompt head; ``None`` where there is none.
    """

    bundle: Bundle
    report: ConversionReport
    prompt_head: ConversionReport | None = None

    @property
    def summary(self) -> ConversionSummary:
        """Return what matters of both."""
        return ConversionSummary.of(self.report, self.bundle, self.prompt_head)


class Conversion:
    """Convert one student for several targets, which share everything that they can.

    The weights are loaded, eager PyTorch is run and the calibration is made once a size; recipes
    that differ in their target alone share the artifact.

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
        self._context = ConversionContext(
            options.weights,
            options.calibrate,
            options.frames,
            progress or (lambda _: None),
            options.prompt_head,
        )
        self._artifacts: dict[tuple[Recipe, str], Artifact] = {}

    def convert(self, recipe: Recipe, output: Path) -> Converted:
        """Make one bundle, verified against eager PyTorch.

        Args:
            recipe: what to make.
            output: the bundle to write.

        Raises:
            CheckpointError: if the weights cannot be used, or the prompt head's belong to another
                encoder.
            SinkError: if the output exists or cannot be written.
            GateError: if the verification fails; nothing is written.
            EngineError: if the engine cannot express or run the student, or is known to go wrong.
        """
        refuse_existing(output, overwrite=self._options.overwrite)
        check_known_bad(recipe)
        context = self._context
        if context.has_prompt_head:
            context.prompt_entry(
                recipe.size
            )  # a head of another encoder is refused before the work
        parts = [self._artifact(recipe, "step")]
        if context.has_prompt_head:
            parts.append(self._artifact(recipe, "prompt head"))
        for part in parts:
            self._refuse_failed(recipe, part)
        return self._write(recipe, parts[0], parts[1] if context.has_prompt_head else None, output)

    def _artifact(self, recipe: Recipe, part: str) -> Artifact:
        """Prepare, lower, verify and locate; once for all targets."""
        shared = replace(recipe, target=ENGINES[recipe.backend].target, reason="")
        if (shared, part) not in self._artifacts:
            prepared = self._prepare(recipe, part)
            for lowered in lower(prepared, self._context):
                artifact = verify_artifact(lowered, self._context)
                if artifact.agrees:
                    break
            self._artifacts[shared, part] = locate(artifact, self._context)
        return self._artifacts[shared, part]

    def _prepare(self, recipe: Recipe, part: str) -> Prepared:
        if part == "prompt head":
            return prepare_prompt_head(recipe, self._context)
        return prepare(recipe, self._context, self._options.max_drop, self._score)

    def _refuse_failed(self, recipe: Recipe, artifact: Artifact) -> None:
        if artifact.verification and not artifact.agrees and not self._options.allow_failed_gate:
            where = (*artifact.verification.failures, str(artifact.divergence))
            without = ", --without-prompt-head" if artifact.prepared.title else ""
            raise GateError(
                f"Nothing was written: {'; '.join(where)}",
                f"agreement with eager PyTorch as for {recipe.backend} {recipe.precision}",
                f"Try another --sampler or --precision{without}, or keep it for study with "
                "--allow-failed-gate",
            )

    def _write(
        self, recipe: Recipe, step: Artifact, head: Artifact | None, output: Path
    ) -> Converted:
        context = self._context
        context.progress(f"writing {output}")
        packages = ENGINES[recipe.backend].packages
        tools = {name: installed_version(name) for name in ("edge-vos", *packages)}
        report, head_report = describe(recipe, step), describe(recipe, head) if head else None
        files = {
            **step.lowered.files,
            GOLDEN_FILE: context.reference(recipe.size).golden.to_bytes(),
        }
        entry: PromptHeadEntry | None = None
        if head and head_report:
            entry = replace(
                context.prompt_entry(recipe.size),
                model_file=f"{PROMPT_FOLDER}/{head.lowered.model_file}",
                precision=recipe.precision,
                report=head_report.to_json(),
            )
            for name, content in head.lowered.files.items():
                files[f"{PROMPT_FOLDER}/{name}"] = content
            files[PROMPT_GOLDEN_FILE] = context.prompt_reference(recipe.size).golden.to_bytes()
        manifest = replace(
            context.manifest(recipe.size),
            backend=recipe.backend,
            model_file=step.lowered.model_file,
            precision=recipe.precision,
            sampler=recipe.sampler,
            target=recipe.target,
            report=report.to_json(),
            tools={name: version for name, version in tools.items() if version},
            prompt_head=entry,
        )
        bundle = write_bundle(output, manifest, files, overwrite=self._options.overwrite)
        return Converted(bundle, report, head_report)


def prompt_head_beside(weights: Path) -> Path | None:
    """Return the prompt head that lies beside a student's weights; ``None`` where none does."""
    path = weights.with_name(default_prompt_head_path().name)
    return path if path.is_file() else None


def convert(
    target: str = "cpu",
    output: str | Path = "out",
    *,
    backend: str | None = None,
    precision: str | None = None,
    size: tuple[int, int] | None = None,
    sampler: str = "auto",
    weights: str | Path | None = None,
    prompt_head: str | Path | None = None,
    without_prompt_head: bool = False,
    calibrate: str | None = None,
    max_drop: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConversionSummary:
    """Convert a student for a kind of device, verify it against eager PyTorch and write a bundle.

    Args:
        target: android, ios, jetson, raspberrypi, cpu or web.
        output: the bundle to write, NAME.bundle or NAME.zip, or the folder to write it into.
        backend: the engine; ``None`` is the target's.
        precision: ``None`` is the target's.
        size: (height, width) of the image, multiples of 16; ``None`` is the target's.
        sampler: auto, native, gather or matmul.
        weights: the student's safetensors file; ``None`` is the one that ships.
        prompt_head: the prompt head's; ``None`` is the one that lies beside the student's.
        without_prompt_head: leave out the graph that makes masks from boxes and clicks.
        calibrate: as ``Options`` has it.
        max_drop: as ``Options`` has it.
        overwrite: replace a bundle that lies at the output.
        progress: told the name of each step as it starts.

    Returns:
        What was written, its ``path`` and ``verdict`` with it.

    Raises:
        UsageError: if a name does not exist.
        ShapeError: if the size does not suit the student.
        MissingPackageError: if the converter is not installed.
        CheckpointError, SinkError, GateError, EngineError: as ``Conversion.convert``.
    """
    recipe = choose(target, backend=backend, precision=precision, sampler=sampler, size=size)
    path = Path(output)
    if path.suffix not in (".bundle", ".zip"):
        path /= recipe.file_name
    ENGINES[recipe.backend].require_packages()
    student = Path(weights) if weights else default_weights_path()
    head = Path(prompt_head) if prompt_head else prompt_head_beside(student)
    options = Options(
        student,
        calibrate,
        max_drop,
        overwrite=overwrite,
        prompt_head=None if without_prompt_head else head,
    )
    return Conversion(options, region_and_boundary, progress).convert(recipe, path).summary
