"""Convert a student: rewrite, lower, verify, and only then write the bundle."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_vos.bundle import (
    GOLDEN_FILE,
    PREPROCESSING,
    SCHEMA_VERSION,
    Bundle,
    Manifest,
    MemoryPolicy,
    TensorSpec,
    refuse_existing,
    write_bundle,
)
from edge_vos.converters.clip import Clip
from edge_vos.converters.lowering import Lowered, Request
from edge_vos.converters.recipe import Recipe
from edge_vos.converters.rewrites import fold_batchnorm, set_sampler
from edge_vos.converters.targets import BACKENDS, load_converter
from edge_vos.converters.verify import TOLERANCES, Score, Verification, record_golden, verify
from edge_vos.errors import GateError
from edge_vos.model.checkpoint import load_student
from edge_vos.model.student import (
    Student,
    example_inputs,
    student_as_callable,
    tensor_specs,
)
from edge_vos.runtime.backends import load_backend
from edge_vos.runtime.runner import CallableRunner, Runner

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Converted:
    """Hold what a conversion made.

    Args:
        bundle: as written and read back.
        verification: how it agrees with eager PyTorch.
        left_on_cpu: operators that the target's accelerator does not take.
    """

    bundle: Bundle
    verification: Verification
    left_on_cpu: tuple[str, ...]


def convert(
    weights: Path,
    recipe: Recipe,
    clip: Clip,
    output: Path,
    *,
    overwrite: bool = False,
    allow_failed_gate: bool = False,
    score: Score | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Convert weights to a bundle, verified against eager PyTorch.

    Args:
        weights: the student's safetensors file.
        recipe: what to make.
        clip: what to verify on.
        output: the bundle to write.
        overwrite: replace a bundle that lies there.
        allow_failed_gate: write a bundle that fails, marked as failed.
        score: judges masks where the clip has a truth.
        progress: told the name of each step as it starts.

    Raises:
        CheckpointError: if the weights cannot be used.
        SinkError: if the output exists or cannot be written.
        GateError: if the verification fails; nothing is written.
        EngineError: if the engine cannot express or run the student.
    """
    progress = progress or (lambda _: None)
    refuse_existing(output, overwrite=overwrite)
    progress("loading the weights")
    student = load_student(weights)
    progress(f"rewriting: BatchNorm folded, {recipe.sampler} sampler")
    examples = example_inputs(student.config, recipe.size)
    module = fold_batchnorm(set_sampler(student, recipe.sampler), examples)
    progress(f"exporting to {recipe.backend}, {recipe.precision}")
    lowered = load_converter(recipe.backend).lower(Request(module, examples, recipe.precision))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=f"student-{student.config.name}",
        backend=recipe.backend,
        model_file=lowered.model_file,
        precision=recipe.precision,
        sampler=recipe.sampler,
        size=recipe.size,
        target=recipe.target,
        **_tensors(student, recipe.size),
        memory=MemoryPolicy(),
        preprocessing=PREPROCESSING,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        macs=_count_macs(module, examples),
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        report={"executed": False, "passed": False},
        tools=_versions(recipe.backend),
    )
    progress(f"verifying over {len(clip.frames)} frames of {clip.name}")
    reference = CallableRunner(student_as_callable(student))
    golden = record_golden(reference, manifest, clip)
    with _opened(lowered, manifest) as candidate:
        tolerance = TOLERANCES[recipe.backend, recipe.precision]
        verification = verify(reference, candidate, manifest, clip, golden, tolerance, score)
    if not verification.passed and not allow_failed_gate:
        raise GateError(
            f"Nothing was written: {'; '.join(verification.failures)}",
            f"agreement with eager PyTorch as for {recipe.backend} {recipe.precision}",
            "Try another --sampler, or keep it for study with --allow-failed-gate",
        )
    progress(f"writing {output}")
    placement = {"left_on_cpu": list(lowered.left_on_cpu)}
    manifest = replace(manifest, report={**verification.report(), "placement": placement})
    files = {**lowered.files, GOLDEN_FILE: golden.to_bytes()}
    bundle = write_bundle(output, manifest, files, overwrite=overwrite)
    return Converted(bundle, verification, lowered.left_on_cpu)


def _tensors(student: Student, size: tuple[int, int]) -> dict[str, Any]:
    inputs, outputs = (
        tuple(TensorSpec(name, shape, "float32", text) for name, shape, text in part)
        for part in tensor_specs(student.config, size)
    )
    return {"inputs": inputs, "outputs": outputs}


def _count_macs(module: nn.Module, examples: Sequence[Tensor]) -> int:
    """Count convolutions and matrix products; PyTorch counts an addition and a product as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*examples)
    return int(counter.get_total_flops()) // 2


def _versions(backend: str) -> dict[str, str]:
    names = ("edge-vos", *(name.replace("_", "-") for name in BACKENDS[backend].requires))
    return {name: importlib.metadata.version(name) for name in names}


@contextmanager
def _opened(lowered: Lowered, manifest: Manifest) -> Iterator[Runner]:
    with tempfile.TemporaryDirectory(prefix="edge-vos-convert-") as folder:
        for name, content in lowered.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # One thread: the order of sums, and so the report, is the same on every machine of a kind.
        runner = load_backend(manifest.backend).open_runner(
            Path(folder) / lowered.model_file, manifest, threads=1
        )
        try:
            yield runner
        finally:
            runner.close()
