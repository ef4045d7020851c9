"""TensorRT's runner and Python builder against a stand-in of exactly the calls that they make.

The stand-in computes with ONNX Runtime; its GPU memory is numpy's. It has no attribute that the
documented API lacks, so a call by a wrong name fails here too.
"""

import ctypes
import hashlib
import json
import sys
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import (
    Bundle,
    Manifest,
)
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import TensorSpec
from edge_vos.runtime.backends import tensorrt, tensorrt_engine
from edge_vos.runtime.backends.tensorrt import Cuda, open_runner
from edge_vos.runtime.backends.tensorrt_engine import EngineKey
from edge_vos.runtime.model import LoadedModel

onnxruntime = pytest.importorskip("onnxruntime")
PREFIX = b"engine:"


class Status(IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815


class MemcpyKind(Enum):
    cudaMemcpyHostToDevice = 1  # noqa: N815
    cudaMemcpyDeviceToHost = 2  # noqa: N815


@dataclass
class FakeCuda:
    """What is used of ``cuda.bindings.runtime``; every answer begins with a status."""

    buffers: dict[int, Any] = field(default_factory=dict)
    streams: int = 0
    full: bool = False
    cudaMemcpyKind: type[MemcpyKind] = MemcpyKind  # noqa: N815

    def cudaStreamCreate(self) -> tuple[Status, int]:  # noqa: N802
        self.streams += 1
        return Status.cudaSuccess, 77

    def cudaStreamDestroy(self, stream: int) -> tuple[Status]:  # noqa: N802
        self.streams -= 1
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Status]:  # noqa: N802
        assert stream == 77
        return (Status.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple[Status, int]:  # noqa: N802
        if self.full:
            return Status.cudaErrorMemoryAllocation, 0
        buffer = ctypes.create_string_buffer(size)
        self.buffers[ctypes.addressof(buffer)] = buffer
        return Status.cudaSuccess, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[Status]:  # noqa: N802
        del self.buffers[address]
        return (Status.cudaSuccess,)

    def cudaMemcpyAsync(  # noqa: N802
        self, target: int, source: int, count: int, kind: MemcpyKind, stream: int
    ) -> tuple[Status]:
        device = target if kind is MemcpyKind.cudaMemcpyHostToDevice else source
        assert len(self.buffers[device]) == count
        ctypes.memmove(target, source, count)
        return (Status.cudaSuccess,)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Status, Any]:  # noqa: N802
        assert device == 0
        return Status.cudaSuccess, SimpleNamespace(name=b"Orin (nvgpu)", major=8, minor=7)


class Context:
    def __init__(self, session: Any) -> None:
        self._session, self._addresses = session, dict[str, int]()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == 77
        inputs = {node.name: self._view(node) for node in self._session.get_inputs()}
        outputs = self._session.run(None, inputs)
        for node, array in zip(self._session.get_outputs(), outputs, strict=True):
            self._view(node)[:] = array
        return True

    def _view(self, node: Any) -> NDArray[np.float32]:
        floats = (ctypes.c_float * int(np.prod(node.shape))).from_address(
            self._addresses[node.name]
        )
        return np.frombuffer(floats, np.float32).reshape(node.shape)


class Engine:
    def __init__(self, model: bytes) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]
        nodes = [*self._session.get_inputs(), *self._session.get_outputs()]
        self._shapes = {node.name: tuple(node.shape) for node in nodes}
        self.num_io_tensors = len(nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._shapes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def get_tensor_dtype(self, name: str) -> str:
        return "float32"

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self._inputs else "output"

    def create_execution_context(self) -> Context:
        return Context(self._session)


class Config:
    def __init__(self) -> None:
        self.flags = {"TF32"}

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)


class Network:
    """Two layers in float32, one of them a constant, and one in fp16."""

    def __init__(self, flags: int) -> None:
        self.flags, self.model = flags, b""
        kinds = (("CONSTANT", "float32"), ("MATRIX_MULTIPLY", "float32"), ("CONVOLUTION", "half"))
        self.layers = [
            SimpleNamespace(
                type=kind,
                num_outputs=1,
                precision=None,
                get_output=lambda i, t=dtype: SimpleNamespace(dtype=t),
            )
            for kind, dtype in kinds
        ]
        self.num_layers = len(self.layers)

    def get_layer(self, index: int) -> Any:
        return self.layers[index]


class Parser:
    def __init__(self, network: Network, logger: object) -> None:
        self._network = network
        self.num_errors = 1

    def parse(self, model: bytes) -> bool:
        self._network.model = model
        return model != b"no model"

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "no supported operator")


class FakeTensorRT:
    """What is used of ``tensorrt``, as of one version."""

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.built: list[tuple[Network, Config]] = []
        self.fails = False
        major = int(version.split(".")[0])
        creation = {"EXPLICIT_BATCH": 0} if major < 11 else {}
        self.NetworkDefinitionCreationFlag = SimpleNamespace(
            **creation, **({"STRONGLY_TYPED": 1} if major >= 10 else {})
        )
        weak = {"FP16": "FP16", "OBEY_PRECISION_CONSTRAINTS": "OBEY"} if major < 11 else {}
        self.BuilderFlag = SimpleNamespace(TF32="TF32", **weak)
        self.LayerType = SimpleNamespace(CONSTANT="CONSTANT")
        self.TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
        self.float32 = "float32"
        self.OnnxParser = Parser

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None:
            assert severity == self.ERROR

    def Builder(self, logger: object) -> Any:  # noqa: N802
        def build(network: Network, config: Config) -> bytes | None:
            self.built.append((network, config))
            return None if self.fails else PREFIX + network.model

        return SimpleNamespace(
            create_network=Network, create_builder_config=Config, build_serialized_network=build
        )

    def Runtime(self, logger: object) -> Any:  # noqa: N802
        def deserialize(content: bytes) -> Engine | None:
            return Engine(content.removeprefix(PREFIX)) if content.startswith(PREFIX) else None

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(tensorrt, "_cuda_api", lambda: fake)
    return fake


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: FakeCuda) -> FakeTensorRT:
    """TensorRT 10.3 with an empty cache."""
    fake = FakeTensorRT("10.3.0.30")
    monkeypatch.setitem(sys.modules, "tensorrt", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(tensorrt, "default_cache", lambda: tmp_path / "cache")
    return fake


@pytest.fixture
def model_path(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.file("model.onnx")


Inputs = dict[str, NDArray[np.float32]]


def test_it_gives_the_numbers_in_arrays_of_their_own(
    trt: FakeTensorRT,
    cuda: FakeCuda,
    model_path: Path,
    tiny_manifest: Manifest,
    tiny_inputs: Inputs,
    tiny_model: LoadedModel,
) -> None:
    runner = open_runner(model_path, tiny_manifest, None)
    first = runner.run(tiny_inputs)
    kept = {name: array.copy() for name, array in first.items()}
    for name, array in tiny_model.runner.run(tiny_inputs).items():
        np.testing.assert_allclose(first[name], array, atol=1e-5, err_msg=name)
    buffers = set(cuda.buffers)
    strided = np.ascontiguousarray(tiny_inputs["image"][..., ::-1])[..., ::-1]
    second = runner.run({**tiny_inputs, "image": strided})
    assert set(cuda.buffers) == buffers
    assert len(buffers) == 10
    for name, array in second.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
        array[:] = -1
        np.testing.assert_array_equal(first[name], kept[name], err_msg=name)
    with pytest.raises(ShapeError, match="'active' is missing"):
        runner.run({name: array for name, array in tiny_inputs.items() if name != "active"})
    runner.close()
    runner.close()
    assert (cuda.buffers, cuda.streams) == ({}, 0)
    with pytest.raises(EngineError, match="was closed"):
        runner.run(tiny_inputs)


def test_an_engine_is_built_once_and_kept(
    trt: FakeTensorRT, cuda: FakeCuda, model_path: Path, tiny_manifest: Manifest, tmp_path: Path
) -> None:
    for _ in range(2):
        open_runner(model_path, tiny_manifest, None).close()
    assert len(trt.built) == 1
    (engine,) = (tmp_path / "cache").glob("*.engine")
    assert engine.name.startswith("orin-nvgpu-trt10.3.0-fp32-")
    record = json.loads(engine.with_suffix(".json").read_text())
    assert record["model_sha256"] == hashlib.sha256(model_path.read_bytes()).hexdigest()
    assert (record["gpu"], record["compute_capability"]) == ("Orin (nvgpu)", "8.7")
    trt.__version__ = "10.13.3"  # the device was updated
    open_runner(model_path, tiny_manifest, None).close()
    assert len(trt.built) == 2


@pytest.mark.parametrize(
    ("version", "precision", "network_flags", "builder_flags", "pinned"),
    [
        ("8.5.2", "fp32", 0b01, set(), 0),
        ("8.5.2", "fp16", 0b01, {"FP16", "OBEY"}, 1),
        ("10.3.0", "fp16", 0b11, set(), 0),
        ("11.4.0", "fp16", 0b10, set(), 0),
    ],
)
def test_each_version_is_told_the_precision_its_own_way(
    model_path: Path,
    version: str,
    precision: str,
    network_flags: int,
    builder_flags: set[str],
    pinned: int,
) -> None:
    fake = FakeTensorRT(version)
    key = EngineKey("ab" * 32, version, "Orin", "8.7", precision)
    content = tensorrt_engine.build_with_python(fake, model_path, key)
    assert content == PREFIX + model_path.read_bytes()
    ((network, config),) = fake.built
    assert network.flags == network_flags
    assert config.flags == builder_flags  # TF32 is gone
    assert [layer.type for layer in network.layers if layer.precision] == (
        ["MATRIX_MULTIPLY"] if pinned else []
    )


def test_what_tensorrt_refuses_is_a_named_error(
    trt: FakeTensorRT, cuda: FakeCuda, model_path: Path, tiny_manifest: Manifest, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"refuses bad\.onnx: no supported operator"):
        open_runner(bad, tiny_manifest, None)
    trt.fails = True
    with pytest.raises(EngineError, match="could not build"):
        open_runner(model_path, tiny_manifest, None)
    assert not list((tmp_path / "cache").glob("*"))
    trt.fails = False
    wrong = TensorSpec("image", (1, 3, 8, 8), "float32", "")
    with pytest.raises(ShapeError, match="The engine's inputs are"):
        open_runner(model_path, replace(tiny_manifest, inputs=(wrong,)), None)
    cuda.full = True
    with pytest.raises(EngineError, match="cudaErrorMemoryAllocation"):
        open_runner(model_path, tiny_manifest, None)


def test_without_bindings_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, model_path: Path, tiny_manifest: Manifest
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match=r"bindings cannot be imported.*pip install tensorrt"):
        open_runner(model_path, tiny_manifest, None)
    monkeypatch.setattr(tensorrt, "_CUDA_MODULES", ("edge_vos.no_such_module",))
    with pytest.raises(EngineError, match=r"CUDA cannot be called.*cuda-python"):
        Cuda()
