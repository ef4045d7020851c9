"""Run a bundle's ONNX file with ONNX Runtime, on the CPU."""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest, TensorSpec
from edge_vos.errors import EngineError, ShapeError
from edge_vos.runtime.backends.runner import Runner, Tensors, check_inputs, closed

INSTALL = "pip install onnxruntime"

_FATAL_ONLY = 4  # its errors come as exceptions
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


def is_available() -> bool:
    """Tell whether ONNX Runtime is installed, without importing it."""
    return importlib.util.find_spec("onnxruntime") is not None


def version() -> str:
    """Return ONNX Runtime's version, or an empty string when it is not installed."""
    try:
        return importlib.metadata.version("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        return ""


def open_runner(model_path: Path, manifest: Manifest, threads: int | None) -> Runner:
    """Load an ONNX file.

    Args:
        model_path: the file.
        manifest: what the file has to offer.
        threads: threads for one call; ``None`` is one a core.

    Raises:
        EngineError: if ONNX Runtime is missing, or refuses the file.
        ShapeError: if the file's tensors are not the manifest's.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be imported: {error}", "the package onnxruntime", INSTALL
        ) from error
    # Its memory arena stays on: without it the heap fragments, and a 3 MB student that takes 132 MB
    # (peak RSS of the process, 480x640 frames) takes 30 MB more, and goes on growing. Its memory
    # plan is off: it is a second block beside the arena, 9 MB, and makes no step faster.
    options = ort.SessionOptions()
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    try:
        session = ort.InferenceSession(
            str(model_path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions share no base class but this one
        raise EngineError(
            f"ONNX Runtime {ort.__version__} refuses {model_path.name}: {_line(error)}",
            "a model that it can run",
            "Convert again: edge-vos convert --target cpu",
        ) from error
    _check(session.get_inputs(), manifest.inputs, "input")
    _check(session.get_outputs(), manifest.outputs, "output")
    return OnnxRunner(session, manifest)


class OnnxRunner:
    """Hold a session of ONNX Runtime; no tensor is copied.

    Inputs are read where they lie. Outputs lie in the arena's blocks, which come back to it when
    the caller lets go of them, so a steady loop asks for no memory. Outputs bound to buffers of
    our own make no step faster, and what a caller keeps would have to be copied out of them.
    """

    def __init__(self, session: Any, manifest: Manifest) -> None:
        self._session = session
        self._specs = manifest.inputs
        self._outputs = [spec.name for spec in manifest.outputs]

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        if self._session is None:
            raise closed("onnx")
        check_inputs(inputs, self._specs)
        try:
            arrays = self._session.run(self._outputs, inputs)
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime failed: {_line(error)}", "a step that runs", "edge-vos verify BUNDLE"
            ) from error
        return dict(zip(self._outputs, arrays, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check(found: list[Any], specs: tuple[TensorSpec, ...], kind: str) -> None:
    shapes = {node.name: (tuple(node.shape), _DTYPES.get(node.type, node.type)) for node in found}
    for spec in specs:
        expected = (spec.shape, spec.dtype)
        if shapes.get(spec.name) != expected:
            raise ShapeError(
                f"The model's {kind} {spec.name!r} is {shapes.get(spec.name, 'missing')}",
                f"{expected}, as the manifest says",
                "Convert again: edge-vos convert --target cpu",
            )
    if extra := sorted(set(shapes) - {spec.name for spec in specs}):
        raise ShapeError(
            f"The model has another {kind}, {extra[0]!r}",
            f"the manifest's {kind}s: {', '.join(spec.name for spec in specs)}",
            "Convert again: edge-vos convert --target cpu",
        )
