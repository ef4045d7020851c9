"""Run a bundle's ``.mlpackage`` with Core ML, on a Mac.

Not executed where it was written: prediction needs macOS. It is written against coremltools'
documented ``MLModel`` and tested against a stand-in of the calls that it makes. Elsewhere a bundle
for Core ML is checked by ``edge_vos.converters.coreml.mil``, which evaluates the same package.
"""

import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError
from edge_vos.runtime.backends.runner import EngineRunner, ModelSpec, Runner, Tensors, check_tensors

ENGINE = ENGINES["coreml"]

SPECIFICATION_VERSION = 8
"""The newest that is opened: iOS 17 and macOS 14."""

_FLOAT32 = 65568  # ArrayFeatureType.FLOAT32 of Core ML's FeatureTypes.proto


def open_runner(model_path: Path, manifest: ModelSpec, threads: int | None) -> Runner:
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
    if platform.system() != ENGINE.system:
        raise EngineError(
            f"Core ML does not run on {platform.system()}",
            "a Mac",
            "Check the bundle here without running it: edge-vos verify BUNDLE",
        )
    try:
        import coremltools as ct
    except ImportError as error:
        raise ENGINE.missing(error) from error
    try:
        with warnings.catch_warnings():
            # A package that cannot be compiled is a warning to coremltools until it is run.
            warnings.simplefilter("error", RuntimeWarning)
            model = ct.models.MLModel(str(model_path), compute_units=ct.ComputeUnit.ALL)
    except Exception as error:  # its exceptions share no base class but this one
        raise ENGINE.refused(model_path, error) from error
    check_specification(model.get_spec(), manifest)
    names = [spec.name for spec in manifest.outputs]

    def call(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        found = model.predict(given)
        return {name: np.array(found[name], np.float32) for name in names}

    return EngineRunner(ENGINE, manifest, call)


def check_specification(specification: Any, manifest: ModelSpec) -> None:
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
            f"The package is a {specification.WhichOneof('Type')}",
            "an mlProgram",
            ENGINE.convert_again,
        )
    if specification.specificationVersion > SPECIFICATION_VERSION:
        raise EngineError(
            f"The package has specification version {specification.specificationVersion}",
            f"at most {SPECIFICATION_VERSION}, which iOS 17 and macOS 14 run",
            ENGINE.convert_again,
        )
    description = specification.description
    for features, specs, kind in (
        (description.input, manifest.inputs, "input"),
        (description.output, manifest.outputs, "output"),
    ):
        tensors = {feature.name: _tensor(feature) for feature in features}
        check_tensors(ENGINE, tensors, specs, kind)


def _tensor(feature: Any) -> tuple[tuple[int, ...], str]:
    kind = feature.type.WhichOneof("Type")
    if kind != "multiArrayType":
        return (), str(kind)
    array = feature.type.multiArrayType
    dtype = "float32" if array.dataType == _FLOAT32 else f"type {array.dataType}"
    return tuple(array.shape), dtype
