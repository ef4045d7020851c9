"""Run a bundle's TFLite file with LiteRT, or with its forerunner tflite-runtime, on the CPU."""

import importlib
import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest, TensorSpec
from edge_vos.errors import EngineError, ShapeError
from edge_vos.runtime.backends.native_output import muted_stderr
from edge_vos.runtime.backends.runner import Runner, Tensors, check_inputs, closed

INSTALL = 'pip install "edge-vos[litert]"'

_PACKAGES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
"""Import name to distribution, the better one first."""


def is_available() -> bool:
    """Tell whether LiteRT or tflite-runtime is installed, without importing it."""
    return _package() is not None


def version() -> str:
    """Return the engine's version, or an empty string when none is installed."""
    for distribution in _PACKAGES.values():
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def open_runner(model_path: Path, manifest: Manifest, threads: int | None) -> Runner:
    """Load a TFLite file; XNNPACK takes the operators that it knows.

    Args:
        model_path: the file. It is mapped into memory, so it must stay while the runner is open.
        manifest: what the file has to offer.
        threads: threads for one call; ``None`` is one a core.

    Raises:
        EngineError: if there is no engine that works, or it refuses the file.
        ShapeError: if the file's tensors are not the manifest's.
    """
    interpreter_class = _import_interpreter()
    try:
        with muted_stderr():
            interpreter = interpreter_class(
                model_path=str(model_path), num_threads=threads or os.cpu_count()
            )
            interpreter.allocate_tensors()
            signature = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise EngineError(
            f"LiteRT {version()} refuses {model_path.name}: {_line(error)}",
            "a model that it can run",
            "Convert again: edge-vos convert --backend litert",
        ) from error
    inputs = _indices(signature.get_input_details(), manifest.inputs, "input")
    outputs = _indices(signature.get_output_details(), manifest.outputs, "output")
    return LiteRtRunner(interpreter, manifest, inputs, outputs)


class LiteRtRunner:
    """Hold an interpreter. Inputs are copied into its tensors, outputs are new arrays.

    One copy each is the least here: its Python interface takes no memory of ours for a tensor, and
    a view of its own (``tensor()``) would be copied to or from as well, and must not be held
    during a call.
    """

    def __init__(
        self,
        interpreter: Any,
        manifest: Manifest,
        inputs: dict[str, int],
        outputs: dict[str, int],
    ) -> None:
        self._interpreter = interpreter
        self._specs = manifest.inputs
        self._inputs = inputs
        self._outputs = outputs

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        interpreter = self._interpreter
        if interpreter is None:
            raise closed("litert")
        check_inputs(inputs, self._specs)
        try:
            for name, index in self._inputs.items():
                interpreter.set_tensor(index, inputs[name])
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in self._outputs.items()}
        except (ValueError, RuntimeError) as error:
            raise EngineError(
                f"LiteRT failed: {_line(error)}", "a step that runs", "edge-vos verify BUNDLE"
            ) from error

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None


def _package() -> str | None:
    return next((name for name in _PACKAGES if importlib.util.find_spec(name)), None)


def _import_interpreter() -> Any:
    package = _package()
    if package is None:
        raise EngineError("LiteRT is not installed", "the package ai-edge-litert", INSTALL)
    if package == "tflite_runtime" and int(np.__version__.split(".")[0]) >= 2:
        # Version 2.14 imports, and its interpreter then takes the process down.
        raise EngineError(
            f"tflite-runtime {version()} does not work with numpy {np.__version__}",
            "ai-edge-litert, or numpy below 2 for tflite-runtime",
            INSTALL,
        )
    try:
        return importlib.import_module(f"{package}.interpreter").Interpreter
    except ImportError as error:
        raise EngineError(
            f"LiteRT cannot be imported: {error}", "the package ai-edge-litert", INSTALL
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _indices(
    found: dict[str, dict[str, Any]], specs: tuple[TensorSpec, ...], kind: str
) -> dict[str, int]:
    """Return the tensor index of every spec in the manifest's order, or refuse the file."""
    shapes = {
        name: (tuple(int(side) for side in detail["shape"]), np.dtype(detail["dtype"]).name)
        for name, detail in found.items()
    }
    for spec in specs:
        expected = (spec.shape, spec.dtype)
        if shapes.get(spec.name) != expected:
            raise ShapeError(
                f"The model's {kind} {spec.name!r} is {shapes.get(spec.name, 'missing')}",
                f"{expected}, as the manifest says",
                "Convert again: edge-vos convert --backend litert",
            )
    if extra := sorted(set(shapes) - {spec.name for spec in specs}):
        raise ShapeError(
            f"The model has another {kind}, {extra[0]!r}",
            f"the manifest's {kind}s: {', '.join(spec.name for spec in specs)}",
            "Convert again: edge-vos convert --backend litert",
        )
    return {spec.name: int(found[spec.name]["index"]) for spec in specs}
