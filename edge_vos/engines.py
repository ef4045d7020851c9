"""The engines, one row each: what runs a bundle, what makes its file, and which packages bring it.

A module that a row names is imported only when it is used. ``runner`` names a module with
``open_runner`` (``edge_vos.runtime.backends``), ``converter`` one with ``lower``
(``edge_vos.converters.lowering``).
"""

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.errors import EngineError, MissingPackageError


@dataclass(frozen=True)
class Engine:
    """Describe an engine.

    Args:
        name: as ``--backend``, ``--engine`` and a manifest have it.
        title: as people call it.
        install: the command that brings what runs its bundles.
        modules: what has to be importable to run one: any of these sets.
        loads: the part of a set's first module that brings the engine's own code; empty where
            that module does.
        system_modules: of the modules, those that pip does not bring: the device's system does.
        requires: what pip has to install to run one, beyond the extra of edge-vos.
        distributions: whose version is the engine's; the first that is installed.
        runner: the module that opens its bundles.
        converter: the module that makes its files.
        packages: distributions that making them takes.
        extra: the extra of edge-vos that installs those.
        model_file: the file, or folder, that it makes and opens.
        precisions: that it can make, the default one first.
        target: the kind of device that it is for, unless one is named.
        sampler: what ``--sampler auto`` picks.
        sampler_reason: why.
        family: a name by which several engines go, such as "executorch"; empty for none.
        delegate: what the engine has to have been built with; empty for nothing.
        system: the only system it runs on, as ``platform.system`` says; empty for any.
        weights_only: precisions in which it leaves activations in float, where others do not.
        also_run_by: engines that run its bundles too, where it is not installed.
        on_cpu: whether it computes on the CPU.
        executes: whether it runs on any machine that converts.
        stand_in: the module whose ``open_runner`` runs its bundles, for verification, where it does
            not run itself; empty where nothing does.
        stand_in_name: as reports call that.
    """

    name: str
    title: str
    install: str
    modules: tuple[tuple[str, ...], ...]
    distributions: tuple[str, ...]
    runner: str
    converter: str
    packages: tuple[str, ...]
    extra: str
    model_file: str
    precisions: tuple[str, ...]
    target: str
    sampler: str
    sampler_reason: str
    family: str = ""
    delegate: str = ""
    system: str = ""
    weights_only: tuple[str, ...] = ()
    also_run_by: tuple[str, ...] = ()
    loads: str = ""
    system_modules: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    on_cpu: bool = True
    executes: bool = True
    stand_in: str = ""
    stand_in_name: str = ""

    @property
    def is_available(self) -> bool:
        """Return whether what runs its bundles is installed; nothing is imported."""
        if self.system and platform.system() != self.system:
            return False
        return any(all(map(_importable, names)) for names in self.modules)

    @property
    def kind(self) -> str:
        """Return the family, or the name of an engine without one."""
        return self.family or self.name

    @property
    def libraries(self) -> tuple[str, ...]:
        """Return the modules that bring the engine's own code; one of them is enough."""
        part = f".{self.loads}" if self.loads else ""
        return tuple(names[0] + part for names in self.modules)

    @property
    def version(self) -> str:
        """Return the installed version; empty where there is none."""
        return next(filter(None, map(installed_version, self.distributions)), "")

    @property
    def convert_again(self) -> str:
        """Return the command to try where a bundle of it is not right."""
        return f"Convert again: edge-vos convert --backend {self.name}"

    def missing(self, why: object = "it is not installed") -> MissingPackageError:
        """Make the error for an engine that cannot be imported."""
        return MissingPackageError(
            f"{self.title} cannot be imported: {_one_line(why)}",
            f"the package {self.distributions[0]}",
            self.install,
        )

    def refused(self, model_path: Path, why: Exception) -> EngineError:
        """Make the error for a file that it does not open."""
        return EngineError(
            f"{self.title} {self.version} refuses {model_path.name}: {_one_line(why)}",
            "a model that it can run",
            self.convert_again,
        )

    def failed(self, why: Exception) -> EngineError:
        """Make the error for a step that did not run."""
        return EngineError(
            f"{self.title} failed: {_one_line(why)}", "a step that runs", "edge-vos verify BUNDLE"
        )

    def require_packages(self) -> None:
        """Refuse to convert without the packages that it takes, before any of them is imported.

        Raises:
            MissingPackageError: naming what is missing and the extra that brings it.
        """
        missing = [name for name in self.packages if not installed_version(name)]
        if missing:
            raise MissingPackageError(
                f"Converting to {self.name} needs {', '.join(missing)}, which this machine lacks",
                f"the packages of the extra {self.extra!r}",
                f'pip install "edge-vos[{self.extra}]"',
            )


def installed_version(distribution: str) -> str | None:
    """Return a distribution's version without importing it, ``None`` where it is missing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_engine(name: str) -> Engine:
    """Return an engine's row.

    Raises:
        EngineError: if there is no engine of that name.
    """
    if name not in ENGINES:
        raise EngineError(f"Unknown engine {name!r}", f"one of {', '.join(sorted(ENGINES))}")
    return ENGINES[name]


def _one_line(why: object) -> str:
    return " ".join(str(why).split())


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _by_name(engines: Iterable[Engine]) -> dict[str, Engine]:
    return {engine.name: engine for engine in engines}


_TORCH = ("torch", "safetensors")
_EXPORT = (*_TORCH, "onnx", "onnxscript", "onnxruntime")
_DENSE = "samples by one dense product, which every delegate takes"

_EXECUTORCH = Engine(
    name="executorch-xnnpack",
    title="ExecuTorch",
    install='pip install "edge-vos[executorch]"',
    modules=(("executorch", "torch"),),
    loads="runtime",
    distributions=("executorch",),
    runner="edge_vos.runtime.backends.executorch",
    converter="edge_vos.converters.executorch.lower",
    packages=(*_TORCH, "executorch", "torchao"),
    extra="convert-executorch",
    model_file="model.pte",
    precisions=("fp32", "int8"),
    target="android",
    sampler="matmul",
    sampler_reason=f"{_DENSE}; native sampling runs in a portable kernel outside XNNPACK",
    family="executorch",
)

ENGINES: dict[str, Engine] = _by_name(
    (
        Engine(
            name="onnx",
            title="ONNX Runtime",
            install="pip install onnxruntime",
            modules=(("onnxruntime",),),
            distributions=("onnxruntime",),
            runner="edge_vos.runtime.backends.onnx",
            converter="edge_vos.converters.onnx.lower",
            packages=_EXPORT,
            extra="convert-onnx",
            model_file="model.onnx",
            precisions=("fp32", "fp16", "int8"),
            target="cpu",
            sampler="gather",
            sampler_reason="on the student's small maps it costs ONNX Runtime less than GridSample",
        ),
        Engine(
            name="litert",
            title="LiteRT",
            install='pip install "edge-vos[litert]"',
            modules=(("ai_edge_litert",), ("tflite_runtime",)),
            loads="interpreter",
            distributions=("ai-edge-litert", "tflite-runtime"),
            runner="edge_vos.runtime.backends.litert",
            converter="edge_vos.converters.litert.lower",
            packages=(*_TORCH, "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
            extra="convert-litert",
            model_file="model.tflite",
            precisions=("fp32", "fp16", "int8"),
            target="android",
            sampler="matmul",
            sampler_reason=f"{_DENSE}; native sampling becomes GATHER_ND, 3 to 6 times slower",
        ),
        _EXECUTORCH,
        replace(
            _EXECUTORCH,
            name="executorch-coreml",
            converter="edge_vos.converters.executorch.coreml",
            packages=(*_EXECUTORCH.packages, "coremltools"),
            extra="convert",
            precisions=("fp16",),
            target="ios",
            sampler_reason=_DENSE,
            delegate="CoreMLBackend",
            on_cpu=False,
            executes=False,
        ),
        replace(
            _EXECUTORCH,
            name="executorch-vulkan",
            converter="edge_vos.converters.executorch.vulkan",
            precisions=("fp32",),
            sampler_reason=f"{_DENSE}; native sampling cuts the graph into three delegates",
            delegate="VulkanBackend",
            on_cpu=False,
            executes=False,
        ),
        Engine(
            name="coreml",
            title="Core ML",
            install="pip install coremltools",
            modules=(("coremltools",),),
            distributions=("coremltools",),
            runner="edge_vos.runtime.backends.coreml",
            converter="edge_vos.converters.coreml.lower",
            packages=(*_TORCH, "coremltools", "torchao", "scikit-learn"),
            extra="convert-coreml",
            model_file="model.mlpackage",
            precisions=("fp16", "fp32", "int8", "palette6", "palette4", "w8a8"),
            target="ios",
            sampler="matmul",
            sampler_reason=f"{_DENSE}; resample is reported off the neural engine",
            system="Darwin",
            weights_only=("int8",),
            on_cpu=False,
            executes=False,
            stand_in="edge_vos.converters.coreml.mil",
            stand_in_name="the MIL evaluator",
        ),
        Engine(
            name="tensorrt",
            title="TensorRT",
            install="pip install tensorrt cuda-python",
            modules=(("tensorrt", "cuda"),),
            system_modules=("tensorrt",),
            # JetPack 6, whose Python is 3.10, has CUDA 12; cuda-python 13 wants a driver for 13:
            # https://github.com/NVIDIA/cutlass/issues/2866
            requires=(
                "cuda-python<13; python_version < '3.11'",
                "cuda-python; python_version >= '3.11'",
            ),
            distributions=("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
            runner="edge_vos.runtime.backends.tensorrt",
            converter="edge_vos.converters.tensorrt.lower",
            packages=_EXPORT,
            extra="convert-onnx",
            model_file="model.onnx",
            precisions=("fp16", "fp32"),
            target="jetson",
            sampler="matmul",
            sampler_reason=(
                f"{_DENSE}; GridSample needs TensorRT 8.5 and is reported broken from 10.14"
            ),
            also_run_by=("onnx",),
            on_cpu=False,
            executes=False,
            stand_in="edge_vos.runtime.backends.onnx",
            stand_in_name="ONNX Runtime",
        ),
    )
)
"""By name. On a Jetson, TensorRT's bindings come with JetPack, for the system's own Python."""
