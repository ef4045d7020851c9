"""Run a bundle's ONNX file with TensorRT, on an NVIDIA GPU.

Not executed where it was written: it needs an NVIDIA GPU. It is written against the documented
Python API of TensorRT 8.5 to 11 and of cuda-python, and tested against a stand-in of exactly the
calls that it makes. Elsewhere the same file is checked through ONNX Runtime.
"""

import importlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.version import Version

from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError, MissingPackageError, ShapeError
from edge_vos.graph import TensorSpec
from edge_vos.runtime.backends.runner import ModelSpec, Runner, Tensors, check_inputs, closed
from edge_vos.runtime.backends.tensorrt_engine import (
    EngineKey,
    build_with_python,
    build_with_trtexec,
    default_cache,
    find_engine,
    hash_model,
    keep_engine,
    trtexec_version,
)

ENGINE = ENGINES["tensorrt"]

_CUDA_MODULES = ("cuda.bindings.runtime", "cuda.cudart")
_FLOAT32_BYTES = 4


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
    """Load a model's engine, and build it first where the cache has none.

    Args:
        model_path: the ONNX file.
        manifest: what the file has to offer.
        threads: not used; the work is the GPU's.

    Raises:
        EngineError: if TensorRT or CUDA is missing or fails, or the kept engine is stale.
        ShapeError: if the engine's tensors are not the manifest's.
    """
    del threads
    try:
        import tensorrt as trt
    except ImportError as error:
        raise MissingPackageError(
            f"TensorRT's Python bindings cannot be imported: {error}",
            "the package tensorrt",
            f"{ENGINE.install}; on a Jetson use the system's own Python",
        ) from error
    cuda = Cuda()
    engine_path = prepare_engine(model_path, manifest.precision, cuda, default_cache())
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(engine_path.read_bytes())
    if engine is None:
        raise EngineError(
            f"TensorRT {trt.__version__} refuses the engine {engine_path}",
            "an engine of this device",
            f"Delete it: rm {engine_path}",
        )
    _check(trt, engine, manifest.inputs, trt.TensorIOMode.INPUT, "input")
    _check(trt, engine, manifest.outputs, trt.TensorIOMode.OUTPUT, "output")
    return TensorRTRunner(engine, manifest, cuda)


def prepare_engine(model_path: Path, precision: str, cuda: "Cuda", cache: Path) -> Path:
    """Return the kept engine of a model for this device, built first where there is none.

    Without TensorRT's Python bindings ``trtexec`` builds it, so that it lies ready for a Python
    that has them.

    Args:
        model_path: the ONNX file.
        precision: the bundle's.
        cuda: the device.
        cache: the folder of engines.

    Raises:
        EngineError: if there is no TensorRT, it fails, or the kept engine is stale.
    """
    try:
        import tensorrt as trt
    except ImportError:
        trt = None
    if trt is not None:
        found = ".".join(map(str, Version(trt.__version__).release[:3]))
    else:
        found = trtexec_version()
    gpu, capability = cuda.describe()
    key = EngineKey(hash_model(model_path), found, gpu, capability, precision)
    path = cache / key.file_name
    if find_engine(key, cache) is not None:
        return path
    if trt is not None:
        return keep_engine(key, build_with_python(trt, model_path, key), cache)
    cache.mkdir(parents=True, exist_ok=True)
    return keep_engine(key, build_with_trtexec(model_path, key, cache), cache)


class Cuda:
    """Hold one stream of the first GPU; every call is checked.

    Raises:
        EngineError: if cuda-python is missing, or there is no GPU.
    """

    def __init__(self) -> None:
        self._api = _cuda_api()
        (stream,) = self._call(self._api.cudaStreamCreate())
        self.stream = int(stream)

    def describe(self) -> tuple[str, str]:
        """Return the GPU's name and compute capability, as in ("Orin", "8.7")."""
        (properties,) = self._call(self._api.cudaGetDeviceProperties(0))
        name = properties.name
        text = name.decode() if isinstance(name, bytes) else str(name)
        return text.rstrip("\0"), f"{properties.major}.{properties.minor}"

    def allocate(self, size_bytes: int) -> int:
        """Return the address of a new buffer on the GPU."""
        (address,) = self._call(self._api.cudaMalloc(size_bytes))
        return int(address)

    def free(self, address: int) -> None:
        """Give a buffer back."""
        self._call(self._api.cudaFree(address))

    def upload(self, address: int, array: NDArray[np.float32]) -> None:
        """Start to copy an array to a buffer; it must stay alive until ``wait``."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(address, array.ctypes.data, array.nbytes, kind)

    def download(self, array: NDArray[np.float32], address: int) -> None:
        """Start to copy a buffer to an array; it is filled after ``wait``."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, address, array.nbytes, kind)

    def wait(self) -> None:
        """Wait until everything that was started has ended."""
        self._call(self._api.cudaStreamSynchronize(self.stream))

    def close(self) -> None:
        """Give the stream back."""
        self._call(self._api.cudaStreamDestroy(self.stream))

    def _copy(self, target: int, source: int, size_bytes: int, kind: Any) -> None:
        self._call(self._api.cudaMemcpyAsync(target, source, size_bytes, kind, self.stream))

    def _call(self, result: tuple[Any, ...]) -> tuple[Any, ...]:
        """Take cuda-python's (status, value, …) apart."""
        status, *values = result
        if int(status) != 0:
            raise EngineError(
                f"CUDA failed: {getattr(status, 'name', status)}", "an NVIDIA GPU that is free"
            )
        return tuple(values)


class TensorRTRunner:
    """Hold an engine and its buffers on the GPU, which stay the same from call to call."""

    def __init__(self, engine: Any, manifest: ModelSpec, cuda: Cuda) -> None:
        self._inputs, self._outputs = manifest.inputs, manifest.outputs
        self._cuda = cuda
        self._context: Any = engine.create_execution_context()
        if self._context is None:
            raise EngineError("TensorRT gives no execution context", "enough memory on the GPU")
        self._buffers: dict[str, int] = {}
        for spec in (*self._inputs, *self._outputs):
            address = cuda.allocate(prod(spec.shape) * _FLOAT32_BYTES)
            self._buffers[spec.name] = address
            self._context.set_tensor_address(spec.name, address)

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        if self._context is None:
            raise closed("tensorrt")
        check_inputs(inputs, self._inputs)
        given = [np.ascontiguousarray(inputs[spec.name]) for spec in self._inputs]
        for spec, array in zip(self._inputs, given, strict=True):
            self._cuda.upload(self._buffers[spec.name], array)
        if not self._context.execute_async_v3(stream_handle=self._cuda.stream):
            raise EngineError("TensorRT failed", "a step that runs", "edge-vos verify BUNDLE")
        outputs = {spec.name: np.empty(spec.shape, np.float32) for spec in self._outputs}
        for name, array in outputs.items():
            self._cuda.download(array, self._buffers[name])
        self._cuda.wait()
        return outputs

    def close(self) -> None:
        """Free the engine and its buffers."""
        if self._context is None:
            return
        self._context = None
        for address in self._buffers.values():
            self._cuda.free(address)
        self._cuda.close()


def _cuda_api() -> Any:
    for name in _CUDA_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingPackageError("CUDA cannot be called", "the package cuda-python", ENGINE.install)


def _check(trt: Any, engine: Any, specs: Sequence[TensorSpec], mode: Any, kind: str) -> None:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    found = {
        name: tuple(engine.get_tensor_shape(name))
        for name in names
        if engine.get_tensor_mode(name) == mode and engine.get_tensor_dtype(name) == trt.float32
    }
    expected = {spec.name: spec.shape for spec in specs}
    if found != expected:
        raise ShapeError(
            f"The engine's {kind}s are {found}",
            f"{expected} in float32, as the manifest",
            ENGINE.convert_again,
        )
