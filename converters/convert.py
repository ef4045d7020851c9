"""Convert a student: a list of steps (``edge_vos.converters.steps``), and only then the bundle.

::

    recipe -> prepare -> lower (and quantize) -> verify -> locate -> report -> write

A quantized student that does not agree is lowered again with more of it in float.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.bundle import GOLDEN_FILE, Bundle, refuse_existing, write_bundle
from edge_vos.converters.clip import FRAMES
from edge_vos.converters.context import ConversionContext, Progress
from edge_vos.converters.known_bad import check_known_bad
from edge_vos.converters.recipe import Recipe, choose
from edge_vos.converters.report import ConversionReport, ConversionSummary
from edge_vos.converters.steps import (
    Artifact,
    describe,
    locate,
    lower,
    prepare,
    verify_artifact,
)
from edge_vos.converters.verify.checks import Score
from edge_vos.engines import ENGINES, installed_version
from edge_vos.errors import GateError
from edge_vos.evaluate.metrics import region_and_boundary
from edge_vos.model.checkpoint import default_weights_path


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
    """

    weights: Path
    calibrate: str | None = None
    max_drop: float | None = None
    frames: int = FRAMES
    overwrite: bool = False
    allow_failed_gate: bool = False


@dataclass(frozen=True)
class Converted:
    """Hold what a conversion made.

    Args:
        bundle: as written and read back.
        report: what was found.
    """

    bundle: Bundle
    report: ConversionReport

    @property
    def summary(self) -> ConversionSummary:
        """Return what matters of both."""
        return ConversionSummary.of(self.report, self.bundle)


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
            options.weights, options.calibrate, options.frames, progress or (lambda _: None)
        )
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
        report = describe(recipe, artifact)
        return self._write(artifact, report, output)

    def _artifact(self, recipe: Recipe) -> Artifact:
        """Prepare, lower, verify and locate; once for all targets."""
        key = replace(recipe, target=ENGINES[recipe.backend].target, reason="")
        if key not in self._artifacts:
            prepared = prepare(recipe, self._context, self._options.max_drop)
            for lowered in lower(prepared, self._context):
                artifact = verify_artifact(lowered, self._context, self._score)
                if artifact.agrees:
                    break
            self._artifacts[key] = locate(artifact, self._context)
        return self._artifacts[key]

    def _write(self, artifact: Artifact, report: ConversionReport, output: Path) -> Converted:
        recipe, engine = report.recipe, artifact.prepared.engine
        if artifact.verification and not artifact.agrees and not self._options.allow_failed_gate:
            where = (*artifact.verification.failures, str(artifact.divergence))
            raise GateError(
                f"Nothing was written: {'; '.join(where)}",
                f"agreement with eager PyTorch as for {recipe.backend} {recipe.precision}",
                "Try another --sampler or --precision, or keep it for study with "
                "--allow-failed-gate",
            )
        self._context.progress(f"writing {output}")
        tools = {name: installed_version(name) for name in ("edge-vos", *engine.packages)}
        manifest = replace(
            artifact.manifest,
            target=recipe.target,
            report=report.to_json(),
            tools={name: version for name, version in tools.items() if version},
        )
        golden = self._context.reference(recipe.size).golden.to_bytes()
        files = {**artifact.lowered.files, GOLDEN_FILE: golden}
        bundle = write_bundle(output, manifest, files, overwrite=self._options.overwrite)
        return Converted(bundle, report)


def convert(
    target: str = "cpu",
    output: str | Path = "out",
    *,
    backend: str | None = None,
    precision: str | None = None,
    size: tuple[int, int] | None = None,
    sampler: str = "auto",
    weights: str | Path | None = None,
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
    options = Options(
        Path(weights) if weights else default_weights_path(),
        calibrate,
        max_drop,
        overwrite=overwrite,
    )
    return Conversion(options, region_and_boundary, progress).convert(recipe, path).summary
