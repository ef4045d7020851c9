"""What can be converted for what, as data: a target names a backend, a backend names its module.

``python -m edge_vos.converters.targets_page`` prints these tables as ``docs/targets.md``.
"""

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edge_vos.bundle import Manifest
from edge_vos.converters.lowering import Converter
from edge_vos.converters.quantize import Scheme
from edge_vos.errors import EngineError
from edge_vos.runtime.backends import load_backend
from edge_vos.runtime.backends.runner import Runner

OpenRunner = Callable[[Path, Manifest, int | None], Runner]


@dataclass(frozen=True)
class Backend:
    """Describe an engine's converter.

    Args:
        module: imported only when it is used; offers what ``Converter`` says.
        packages: distributions that it imports, the first ones shared by all.
        extra: the extra of edge-vos that installs them.
        precisions: that it can make, the default one first.
        sampler: what ``--sampler auto`` picks.
        sampler_reason: why.
        target: the key of ``TARGETS`` for a backend that was asked for by itself.
        evaluator: what runs the artifact on the machine that converts: "engine" is the engine
            itself; otherwise a module that offers ``open_runner`` and stands in for it; empty
            where there is nothing, so that the artifact is only lowered.
        evaluator_name: as reports call it.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    sampler: str
    sampler_reason: str
    target: str
    evaluator: str = "engine"
    evaluator_name: str = ""

    @property
    def executes(self) -> bool:
        """Return whether the engine itself runs on any machine that converts."""
        return self.evaluator == "engine"


@dataclass(frozen=True)
class Target:
    """Describe a kind of device.

    Args:
        description: what it is.
        backend: a key of ``BACKENDS``.
        precision: one of the backend's.
        reason: why this backend and precision.
        deployment: the oldest system that the bundle is made for.
        size: default (height, width) of the image.
    """

    description: str
    backend: str
    precision: str
    reason: str
    deployment: str
    size: tuple[int, int] = (240, 432)


@dataclass(frozen=True)
class Evaluator:
    """Hold what runs an artifact on this machine.

    Args:
        open_runner: as a runtime backend's.
        name: of what stands in for the engine; empty for the engine itself.
    """

    open_runner: OpenRunner
    name: str = ""


_TORCH = ("torch", "safetensors")
_DENSE = "samples by one dense product, which every delegate takes"

BACKENDS: dict[str, Backend] = {
    "onnx": Backend(
        module="edge_vos.converters.onnx.lower",
        packages=(*_TORCH, "onnx", "onnxscript", "onnxruntime"),
        extra="convert-onnx",
        precisions=("fp32", "fp16", "int8"),
        sampler="gather",
        sampler_reason="on the student's small maps it costs ONNX Runtime less than GridSample",
        target="cpu",
    ),
    "litert": Backend(
        module="edge_vos.converters.litert.lower",
        packages=(*_TORCH, "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
        extra="convert-litert",
        precisions=("fp32", "fp16", "int8"),
        sampler="matmul",
        sampler_reason=f"{_DENSE}; native sampling becomes GATHER_ND, 3 to 6 times slower",
        target="android",
    ),
    "executorch-xnnpack": Backend(
        module="edge_vos.converters.executorch.lower",
        packages=(*_TORCH, "executorch", "torchao"),
        extra="convert-executorch",
        precisions=("fp32", "int8"),
        sampler="matmul",
        sampler_reason=f"{_DENSE}; native sampling runs in a portable kernel outside XNNPACK",
        target="android",
    ),
    "executorch-coreml": Backend(
        module="edge_vos.converters.executorch.coreml",
        packages=(*_TORCH, "executorch", "torchao", "coremltools"),
        extra="convert",
        precisions=("fp16",),
        sampler="matmul",
        sampler_reason=_DENSE,
        target="ios",
        evaluator="",
    ),
    "executorch-vulkan": Backend(
        module="edge_vos.converters.executorch.vulkan",
        packages=(*_TORCH, "executorch", "torchao"),
        extra="convert-executorch",
        precisions=("fp32",),
        sampler="matmul",
        sampler_reason=f"{_DENSE}; native sampling cuts the graph into three delegates",
        target="android",
        evaluator="",
    ),
    "coreml": Backend(
        module="edge_vos.converters.coreml.lower",
        packages=(*_TORCH, "coremltools", "torchao", "scikit-learn"),
        extra="convert-coreml",
        precisions=("fp16", "fp32", "int8", "palette6", "palette4", "w8a8"),
        sampler="matmul",
        sampler_reason=f"{_DENSE}; resample is reported off the neural engine",
        target="ios",
        evaluator="edge_vos.converters.coreml.mil",
        evaluator_name="the MIL evaluator",
    ),
    "tensorrt": Backend(
        module="edge_vos.converters.tensorrt.lower",
        packages=(*_TORCH, "onnx", "onnxscript", "onnxruntime"),
        extra="convert-onnx",
        precisions=("fp16", "fp32"),
        sampler="matmul",
        sampler_reason=f"{_DENSE}; GridSample needs TensorRT 8.5 and is reported broken from 10.14",
        target="jetson",
        evaluator="edge_vos.runtime.backends.onnx",
        evaluator_name="ONNX Runtime",
    ),
}

TARGETS: dict[str, Target] = {
    "android": Target(
        "an Android phone or tablet",
        "litert",
        "int8",
        "half of fp32's size and faster on the CPU it was measured on; fp16 suits a GPU delegate",
        "Android 8.0 (API 26)",
    ),
    "ios": Target(
        "an iPhone or iPad",
        "coreml",
        "fp16",
        "what the neural engine computes in",
        "iOS 17",
    ),
    "jetson": Target(
        "an NVIDIA Jetson",
        "tensorrt",
        "fp16",
        "what its tensor cores compute in; the engine is built on the device",
        "JetPack 5.1 (TensorRT 8.5)",
    ),
    "raspberrypi": Target(
        "a Raspberry Pi 4 or 5, on its CPU",
        "onnx",
        "fp32",
        "runs with the base install",
        "64-bit Raspberry Pi OS 12",
    ),
    "cpu": Target(
        "a laptop, desktop or server",
        "onnx",
        "int8",
        "runs with the base install, in half of fp32's time where it was measured",
        "Linux, macOS or Windows, 64 bit",
    ),
    "web": Target(
        "a browser, with onnxruntime-web",
        "onnx",
        "fp32",
        "WebAssembly has no half precision",
        "WebAssembly with SIMD",
    ),
}

_QUANTIZED = {
    "int8": Scheme(8),
    "w8a8": Scheme(8),
    "palette6": Scheme(6, palette=True, activations=False),
    "palette4": Scheme(4, palette=True, activations=False),
}
_EXCEPTIONS = {("coreml", "int8"): Scheme(8, activations=False)}


def load_converter(backend: str) -> Converter:
    """Import a backend's module, after ``require_packages``."""
    return cast(Converter, importlib.import_module(BACKENDS[backend].module))


def load_evaluator(backend: str) -> Evaluator | None:
    """Import what runs a backend's artifacts on this machine; ``None`` where nothing does.

    The engine itself comes first, so that a Mac runs Core ML and a Jetson TensorRT.
    """
    row = BACKENDS[backend]
    if not row.evaluator:
        return None
    engine = load_backend(backend)
    if row.executes or engine.is_available():
        return Evaluator(engine.open_runner)
    module = importlib.import_module(row.evaluator)
    return Evaluator(cast(OpenRunner, module.open_runner), row.evaluator_name)


def quantization(backend: str, precision: str) -> Scheme | None:
    """Return how a precision quantizes, ``None`` for a float one."""
    return _EXCEPTIONS.get((backend, precision), _QUANTIZED.get(precision))


def installed_version(package: str) -> str | None:
    """Return a distribution's version without importing it, ``None`` where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require_packages(backend: str) -> None:
    """Refuse a backend whose packages are not installed, before any of them is imported.

    Raises:
        EngineError: naming what is missing and the extra that brings it.
    """
    row = BACKENDS[backend]
    missing = [name for name in row.packages if installed_version(name) is None]
    if missing:
        raise EngineError(
            f"Converting to {backend} needs {', '.join(missing)}, which this machine lacks",
            f"the packages of the extra {row.extra!r}",
            f'pip install "edge-vos[{row.extra}]"',
        )
