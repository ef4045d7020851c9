"""Run a bundle's TFLite file with LiteRT, or with its forerunner tflite-runtime, on the CPU."""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.version import Version

from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.native_output import muted_stderr
from edge_vos.runtime.backends.runner import EngineRunner, ModelSpec, Runner, Tensors, check_tensors

ENGINE = ENGINES["litert"]


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
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
        raise ENGINE.refused(model_path, error) from error
    inputs, outputs = signature.get_input_details(), signature.get_output_details()
    check_tensors(ENGINE, _tensors(inputs), manifest.inputs, "input")
    check_tensors(ENGINE, _tensors(outputs), manifest.outputs, "output")
    input_places = {spec.name: int(inputs[spec.name]["index"]) for spec in manifest.inputs}
    output_places = {spec.name: int(outputs[spec.name]["index"]) for spec in manifest.outputs}

    # Inputs are copied into its tensors, outputs are new arrays. One copy each is the least here:
    # its Python interface takes no memory of ours for a tensor, and a view of its own (`tensor()`)
    # would be copied to or from as well, and must not be held during a call.
    def call(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        for name, place in input_places.items():
            interpreter.set_tensor(place, inputs[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in output_places.items()}

    return EngineRunner(ENGINE, manifest, call, (ValueError, RuntimeError))


def _import_interpreter() -> Any:
    names = [name for (name,) in ENGINE.modules if importlib.util.find_spec(name)]
    if not names:
        raise ENGINE.missing()
    package = names[0]
    if package == "tflite_runtime" and Version(np.__version__).major >= 2:
        # Version 2.14 imports, and its interpreter then takes the process down.
        raise EngineError(
            f"tflite-runtime {ENGINE.version} does not work with numpy {np.__version__}",
            "ai-edge-litert, or numpy below 2 for tflite-runtime",
            ENGINE.install,
        )
    try:
        return importlib.import_module(f"{package}.{ENGINE.loads}").Interpreter
    except ImportError as error:
        raise ENGINE.missing(error) from error


def _tensors(found: dict[str, dict[str, Any]]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        name: (tuple(int(side) for side in detail["shape"]), np.dtype(detail["dtype"]).name)
        for name, detail in found.items()
    }
