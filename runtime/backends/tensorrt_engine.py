"""Build a TensorRT engine on the device that will run it, and keep it.

Not executed where it was written: it needs an NVIDIA GPU. It is written against the documented
Python API of TensorRT 8.5 to 11 and ``trtexec``'s command line, and tested against a stand-in of
exactly the calls that it makes.

An engine belongs to one model file, one TensorRT, one GPU and one way of building. All four stand
beside it in the cache, and an engine that was built for others is refused by name.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError, MissingPackageError

TRTEXEC = "trtexec"
TRTEXEC_FOLDER = "/usr/src/tensorrt/bin"
"""Where JetPack puts it, which is on no path."""
STRONGLY_TYPED_SINCE = 10
"""The first TensorRT that takes every precision from the graph."""


@dataclass(frozen=True)
class EngineKey:
    """Say what an engine belongs to.

    Args:
        model_sha256: of the ONNX file.
        tensorrt: version, as in 10.3.0.
        gpu: its name.
        compute_capability: as in 8.7.
        precision: of the graph, "fp16" or "fp32", which decides how the engine is built.
    """

    model_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str

    @property
    def file_name(self) -> str:
        """Return the engine's name in the cache: readable, and another one for every key."""
        text = json.dumps(asdict(self), sort_keys=True)
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.gpu).strip("-").lower()
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{gpu}-trt{self.tensorrt}-{self.precision}-{digest}.engine"

    @property
    def strongly_typed(self) -> bool:
        """Return whether this TensorRT takes the precision from the graph alone."""
        return Version(self.tensorrt).major >= STRONGLY_TYPED_SINCE


def default_cache() -> Path:
    """Return the folder of the user's engines."""
    return Path.home() / ".cache" / "edge-vos" / "tensorrt"


def hash_model(model_path: Path) -> str:
    """Return the sha256 of a model file."""
    return hashlib.sha256(model_path.read_bytes()).hexdigest()


def find_engine(key: EngineKey, cache: Path) -> bytes | None:
    """Return a kept engine, or ``None`` where there is none.

    Raises:
        EngineError: if the file under the key's name was built for another key, or is not whole.
    """
    path = cache / key.file_name
    if not path.is_file():
        return None
    try:
        record = json.loads(_record(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _stale(path, f"has no record of what it was built for ({error})") from error
    content, expected = path.read_bytes(), {**asdict(key), "sha256": None}
    for name, value in expected.items():
        found = record.get(name) if isinstance(record, dict) else None
        if name == "sha256":
            value = hashlib.sha256(content).hexdigest()
        if found != value:
            raise _stale(path, f"was built for {name} {found!r} and this is {value!r}")
    return content


def keep_engine(key: EngineKey, content: bytes, cache: Path) -> Path:
    """Write an engine and what it belongs to into the cache; nothing half-written stays.

    Raises:
        EngineError: if the folder cannot be written.
    """
    path = cache / key.file_name
    record = {**asdict(key), "sha256": hashlib.sha256(content).hexdigest()}
    try:
        cache.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=2, sort_keys=True).encode()
        for target, part in ((_record(path), text), (path, content)):
            beside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
            beside.write_bytes(part)
            os.replace(beside, target)
    except OSError as error:
        raise EngineError(
            f"The engine cannot be kept in {cache}: {error}", "a folder that can be written"
        ) from error
    return path


def build_with_python(trt: Any, model_path: Path, key: EngineKey) -> bytes:
    """Build an engine through TensorRT's Python API; this takes minutes on a Jetson.

    Args:
        trt: the module ``tensorrt``.
        model_path: the ONNX file.
        key: what the engine is for.

    Raises:
        EngineError: if TensorRT refuses the file or fails.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    kinds = trt.NetworkDefinitionCreationFlag
    # 8.5 wants the first and lacks the second, 11 may lack the first.
    known = [name for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(kinds, name)]
    flags = sum(1 << int(getattr(kinds, name)) for name in known)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model_path.read_bytes()):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise _failed(f"TensorRT {key.tensorrt} refuses {model_path.name}: {reasons}")
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # it would round float32 to 10 bits
    if key.precision == "fp16" and "STRONGLY_TYPED" not in known:
        _obey_graph(trt, network, config)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _failed(f"TensorRT {key.tensorrt} could not build {model_path.name}")
    return bytes(engine)


def build_with_trtexec(model_path: Path, key: EngineKey, cache: Path) -> bytes:
    """Build an engine with ``trtexec``, for a Python that has no bindings.

    Args:
        model_path: the ONNX file.
        key: what the engine is for.
        cache: an existing folder, for the engine while it is built.

    Raises:
        EngineError: if there is no trtexec, it fails, or it cannot keep the graph's precision.
    """
    if key.precision != "fp32" and not key.strongly_typed:
        raise EngineError(
            f"trtexec of TensorRT {key.tensorrt} cannot build {key.precision}: it would round "
            "coordinates too",
            f"TensorRT's Python bindings, TensorRT {STRONGLY_TYPED_SINCE}, or fp32",
            "Convert for this device: edge-vos convert --target jetson --precision fp32",
        )
    output = cache / f"{key.file_name}.{os.getpid()}.tmp"
    typed = ["--stronglyTyped"] if key.strongly_typed else []
    command = [_trtexec(), f"--onnx={model_path}", f"--saveEngine={output}", "--noTF32", *typed]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not output.is_file():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise _failed(f"trtexec could not build {model_path.name}: {' '.join(lines[-2:])}")
        return output.read_bytes()
    finally:
        output.unlink(missing_ok=True)


def trtexec_version() -> str:
    """Return the version of the installed ``trtexec``, as in 8.5.2.

    Raises:
        EngineError: if there is none, or it does not say.
    """
    done = subprocess.run([_trtexec(), "--help"], capture_output=True, text=True, check=False)
    found = re.search(r"\[TensorRT v(\d+)\]", done.stdout + done.stderr)
    if found is None:
        raise _failed("trtexec does not say its version")
    number = int(found[1])  # 8502 is 8.5.2, 100300 is 10.3.0
    if number >= 10_000:
        return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    return f"{number // 1_000}.{number // 100 % 10}.{number % 100}"


def _trtexec() -> str:
    for folder in (None, TRTEXEC_FOLDER):
        found = shutil.which(TRTEXEC, path=folder)
        if found:
            return found
    raise MissingPackageError(
        "There is no TensorRT here: neither its Python bindings nor trtexec",
        "TensorRT 8.5 or newer, as JetPack 5.1 brings it",
        "On a Jetson: sudo apt install tensorrt",
    )


def _obey_graph(trt: Any, network: Any, config: Any) -> None:
    """Make a TensorRT that types weakly keep in float32 what the graph keeps there."""
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        if layer.type != trt.LayerType.CONSTANT and all(o.dtype == trt.float32 for o in outputs):
            layer.precision = trt.float32


def _record(path: Path) -> Path:
    return path.with_suffix(".json")


def _stale(path: Path, why: str) -> EngineError:
    return EngineError(
        f"The engine {path} is stale: it {why}",
        "the engine of this device",
        f"Delete it: rm {path}",
    )


def _failed(what: str) -> EngineError:
    return EngineError(what, "an engine", ENGINES["tensorrt"].convert_again)
