"""Run a bundle's ``.mlpackage`` with Core ML, on a Mac.

Not executed where it was written: prediction needs macOS. It is written against coremltools'
documented ``MLModel`` and tested against a stand-in of the calls that it makes. Elsewhere a bundle
for Core ML is checked by ``edge_vos.converters.coreml.mil``, which evaluates the same package.
"""

import importlib.metadata
import importlib.util
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Manifest, TensorSpec
from edge_vos.errors import EngineError, ShapeError
from edge_vos.runtime.backends.runner import Runner, Tensors, check_inputs, closed

INSTALL = "pip install coremltools"
SYSTEM = "Darwin"

SPECIFICATION_VERSION = 8
"""The newest that is opened: iOS 17 and macOS 14."""

_AGAIN = "Convert again: edge-vos convert --target ios"
_FLOAT32 = 65568  # ArrayFeatureType.FLOAT32 of Core ML's FeatureTypes.proto


def is_available() -> bool:
    """Tell whether this is a Mac with coremltools, without importing it."""
    return platform.system() == SYSTEM and importlib.util.find_spec("coremltools") is not None


def version() -> str:
    """Return coremltools' version, or an empty string when it is not installed."""
    try:
        return importlib.metadata.version("coremltools")
    except importlib.metadata.PackageNotFoundError:
        return ""


def open_runner(model_path: Path, manifest: Manifest, threads: int | None) -> Runner:
    """Compile and load a package, for the neural engine, the GPU and the CPU.

    Args:
        model_path: the ``.mlpackage`` folder.
        manifest: what it has to offer.
        threads: not used; Core ML chooses for itself.

    Raises:
        EngineError: if this is no Mac, coremltools is missing, or Core ML refuses the package.
        ShapeError: if the package's tensors are not the manifest's.
    """
    del threads
    if platform.system() != SYSTEM:
        raise EngineError(
            f"Core ML does not run on {platform.system()}",
            "a Mac",
            "Check the bundle here without running it: edge-vos verify BUNDLE",
        )
    try:
        import coremltools as ct
    except ImportError as error:
        raise EngineError(
            f"coremltools cannot be imported: {error}", "the package coremltools", INSTALL
        ) from error
    try:
        with warnings.catch_warnings():
            # A package that cannot be compiled is a warning to coremltools until it is run.
            warnings.simplefilter("error", RuntimeWarning)
            model = ct.models.MLModel(str(model_path), compute_units=ct.ComputeUnit.ALL)
    except Exception as error:  # its exceptions share no base class but this one
        raise EngineError(
            f"Core ML (coremltools {version()}) refuses {model_path.name}: {_line(error)}",
            "a package that it can run",
            _AGAIN,
        ) from error
    check_specification(model.get_spec(), manifest)
    return CoreMLRunner(model, manifest)


class CoreMLRunner:
    """Hold a loaded package. Inputs are only read, outputs are new arrays."""

    def __init__(self, model: Any, manifest: Manifest) -> None:
        self._model = model
        self._specs = manifest.inputs
        self._outputs = [spec.name for spec in manifest.outputs]

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        if self._model is None:
            raise closed("coreml")
        check_inputs(inputs, self._specs)
        try:
            found = self._model.predict(
                {name: np.ascontiguousarray(array) for name, array in inputs.items()}
            )
        except Exception as error:
            raise EngineError(
                f"Core ML failed: {_line(error)}", "a step that runs", "edge-vos verify BUNDLE"
            ) from error
        return {name: np.array(found[name], np.float32) for name in self._outputs}

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


def check_specification(specification: Any, manifest: Manifest) -> None:
    """Compare what a package says of itself with the manifest.

    Args:
        specification: Core ML's ``Model`` message.
        manifest: what the package has to offer.

    Raises:
        EngineError: if it is no program, or for a later system than iOS 17.
        ShapeError: if its tensors are not the manifest's.
    """
    if specification.WhichOneof("Type") != "mlProgram":
        raise EngineError(
            f"The package is a {specification.WhichOneof('Type')}", "an mlProgram", _AGAIN
        )
    if specification.specificationVersion > SPECIFICATION_VERSION:
        raise EngineError(
            f"The package has specification version {specification.specificationVersion}",
            f"at most {SPECIFICATION_VERSION}, which iOS 17 and macOS 14 run",
            _AGAIN,
        )
    description = specification.description
    _check(description.input, manifest.inputs, "input")
    _check(description.output, manifest.outputs, "output")


def _check(found: Any, specs: tuple[TensorSpec, ...], kind: str) -> None:
    tensors = {feature.name: _tensor(feature) for feature in found}
    for spec in specs:
        expected = (spec.shape, spec.dtype)
        if tensors.get(spec.name) != expected:
            raise ShapeError(
                f"The model's {kind} {spec.name!r} is {tensors.get(spec.name, 'missing')}",
                f"{expected}, as the manifest says",
                _AGAIN,
            )
    if extra := sorted(set(tensors) - {spec.name for spec in specs}):
        raise ShapeError(
            f"The model has another {kind}, {extra[0]!r}",
            f"the manifest's {kind}s: {', '.join(spec.name for spec in specs)}",
            _AGAIN,
        )


def _tensor(feature: Any) -> tuple[tuple[int, ...], str]:
    kind = feature.type.WhichOneof("Type")
    if kind != "multiArrayType":
        return (), str(kind)
    array = feature.type.multiArrayType
    dtype = "float32" if array.dataType == _FLOAT32 else f"type {array.dataType}"
    return tuple(array.shape), dtype


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
