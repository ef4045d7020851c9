"""Run a student in PyTorch behind the runtime's interface, as if it were a bundle."""

import torch

from edge_vos.bundle import Manifest
from edge_vos.model.student import Student, student_as_callable
from edge_vos.runtime.backends.runner import CallableRunner
from edge_vos.runtime.backends.used_objects import with_used_objects
from edge_vos.runtime.model import LoadedModel


def eager_model(student: Student, size: tuple[int, int] = (240, 432)) -> LoadedModel:
    """Wrap a student for ``Segmenter`` and ``evaluate_dataset``; nothing is copied or converted.

    Args:
        student: in evaluation mode; wrap it anew once it has gone on training.
        size: (height, width) of the image in pixels, multiples of 16.

    Raises:
        ShapeError: if the size does not suit the student.
    """
    graph = student.config.graph(size)
    manifest = Manifest.of_graph(
        graph,
        name=student.config.name,
        backend="eager",
        precision="fp32",
        sampler=student.config.sampler,
        target="cpu",
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        report={"executed": True, "passed": False},
        tools={"torch": torch.__version__},
    )
    return LoadedModel(
        manifest=manifest,
        runner=CallableRunner(with_used_objects(student_as_callable(student), graph.channels)),
        engine="eager",
        engine_version=torch.__version__,
        threads=torch.get_num_threads(),
        load_ms=0.0,
        path=None,
    )
