"""What can be converted for what, as data: a target names a backend, a backend names its module.

A row stands here only when its engine runs on the machine that converts, so that its bundle was
executed before it was written.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import cast

from edge_vos.converters.lowering import Converter
from edge_vos.errors import EngineError


@dataclass(frozen=True)
class Backend:
    """Describe an engine's converter.

    Args:
        module: imported only when it is used; offers what ``Converter`` says.
        requires: packages that it imports.
        extra: the extra of edge-vos that installs them.
        precisions: that it can make, the default one first.
        sampler: what ``--sampler auto`` picks.
        sampler_reason: why.
    """

    module: str
    requires: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    sampler: str
    sampler_reason: str


@dataclass(frozen=True)
class Target:
    """Describe a kind of device.

    Args:
        description: what it is.
        backend: a key of ``BACKENDS``.
        size: default (height, width) of the image.
    """

    description: str
    backend: str
    size: tuple[int, int]


BACKENDS: dict[str, Backend] = {
    "onnx": Backend(
        module="edge_vos.converters.onnx",
        requires=("torch", "safetensors", "onnx", "onnxscript", "onnxruntime"),
        extra="convert-onnx",
        precisions=("fp32",),
        sampler="gather",
        sampler_reason="on the student's small maps it costs ONNX Runtime less than GridSample",
    ),
}

TARGETS: dict[str, Target] = {
    "cpu": Target("a laptop, desktop or server", "onnx", (240, 432)),
    "raspberrypi": Target("a Raspberry Pi 4 or 5, on its CPU", "onnx", (240, 432)),
    "web": Target("a browser, with onnxruntime-web", "onnx", (240, 432)),
}


def load_converter(backend: str) -> Converter:
    """Import a backend's module, after ``require_packages``."""
    return cast(Converter, importlib.import_module(BACKENDS[backend].module))


def require_packages(backend: str) -> None:
    """Refuse a backend whose packages are not installed, before any of them is imported.

    Raises:
        EngineError: naming what is missing and the extra that brings it.
    """
    row = BACKENDS[backend]
    missing = [name for name in row.requires if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"Converting to {backend} needs {', '.join(missing)}, which this machine lacks",
            f"the packages of the extra {row.extra!r}",
            f'pip install "edge-vos[{row.extra}]"',
        )
