"""Run a student in PyTorch behind the runtime's interface, as if it were a bundle."""

from collections.abc import Sequence

import torch

from edge_vos.bundle import PREPROCESSING, SCHEMA_VERSION, Manifest, MemoryPolicy, TensorSpec
from edge_vos.model.student import Student, student_as_callable, tensor_specs
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.model import LoadedModel


def eager_model(student: Student, size: tuple[int, int] = (240, 432)) -> LoadedModel:
    """Wrap a student for ``Segmenter`` and ``evaluate_dataset``; nothing is copied or converted.

    Args:
        student: in evaluation mode; it may go on training afterwards.
        size: (height, width) of the image in pixels, multiples of 16.

    Raises:
        ShapeError: if the size does not suit the student.
    """
    inputs, outputs = tensor_specs(student.config, size)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=student.config.name,
        backend="eager",
        model_file="",
        precision="fp32",
        sampler=student.config.sampler,
        size=size,
        target="cpu",
        inputs=_specs(inputs),
        outputs=_specs(outputs),
        memory=MemoryPolicy(),
        preprocessing=PREPROCESSING,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        macs=0,
        weights_sha256="",
        report={"executed": True, "passed": False},
        tools={"torch": torch.__version__},
    )
    return LoadedModel(
        manifest=manifest,
        runner=CallableRunner(student_as_callable(student)),
        engine="eager",
        engine_version=torch.__version__,
        threads=torch.get_num_threads(),
        load_ms=0.0,
        path=None,
    )


def _specs(entries: Sequence[tuple[str, tuple[int, ...], str]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, shape, "float32", text) for name, shape, text in entries)
