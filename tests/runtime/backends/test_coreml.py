"""Core ML's runner against a stand-in of the calls that it makes of coremltools: no Mac needed."""

import importlib.util
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import (
    Manifest,
)
from edge_vos.converters.verify.golden import run_script
from edge_vos.errors import EngineError, ShapeError
from edge_vos.graph import TensorSpec
from edge_vos.runtime.backends import coreml
from edge_vos.runtime.golden import Script, check_golden
from edge_vos.runtime.model import LoadedModel

Arrays = dict[str, NDArray[np.float32]]
FLOAT32, FLOAT16 = 65568, 65552  # ArrayFeatureType in Core ML's FeatureTypes.proto


class _Message(SimpleNamespace):
    """A protocol buffer with a oneof, as far as it is read."""

    def WhichOneof(self, group: str) -> str:  # noqa: N802
        assert group == "Type"
        return str(self.which)


def _feature(spec: TensorSpec) -> Any:
    array = SimpleNamespace(shape=list(spec.shape), dataType=FLOAT32)
    return SimpleNamespace(
        name=spec.name, type=_Message(which="multiArrayType", multiArrayType=array)
    )


def _specification(manifest: Manifest) -> Any:
    description = SimpleNamespace(
        input=[_feature(spec) for spec in manifest.inputs],
        output=[_feature(spec) for spec in manifest.outputs],
    )
    return _Message(which="mlProgram", specificationVersion=8, description=description)


class _Model:
    """What coremltools documents of ``MLModel``; it predicts by a function."""

    specification: Any = None
    function: Callable[[Arrays], Arrays]
    warning = ""
    opened: list[tuple[str, str]]

    def __init__(self, model: str, *, compute_units: str) -> None:
        assert isinstance(model, str)
        self.opened.append((model, compute_units))
        if self.warning:
            warnings.warn(self.warning, RuntimeWarning, stacklevel=2)

    def get_spec(self) -> Any:
        return self.specification

    def predict(self, data: Arrays) -> Arrays:
        for name, array in data.items():
            assert array.flags.c_contiguous, name
        found = type(self).function(data)
        # Core ML returns outputs in no order of ours, and may name more.
        return {name: found[name] for name in sorted(found, reverse=True)}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tiny_model: LoadedModel) -> type[_Model]:
    """A Mac whose coremltools runs the tiny student."""

    class Model(_Model):
        specification = _specification(tiny_model.manifest)
        function = staticmethod(tiny_model.runner.run)
        opened: list[tuple[str, str]] = []  # noqa: RUF012

    module = ModuleType("coremltools")
    vars(module)["models"] = SimpleNamespace(MLModel=Model)
    vars(module)["ComputeUnit"] = SimpleNamespace(ALL="all of them")
    monkeypatch.setitem(sys.modules, "coremltools", module)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    return Model


def test_it_answers_as_the_model_does(
    engine: type[_Model], tiny_model: LoadedModel, tiny_inputs: Arrays
) -> None:
    runner = coreml.open_runner(Path("tiny.mlpackage"), tiny_model.manifest, 2)
    assert engine.opened == [("tiny.mlpackage", "all of them")]
    expected = tiny_model.runner.run(tiny_inputs)
    found = runner.run({**tiny_inputs, "image": np.asfortranarray(tiny_inputs["image"])})
    assert list(found) == [spec.name for spec in tiny_model.manifest.outputs]
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_outputs_are_the_callers(
    engine: type[_Model], tiny_model: LoadedModel, tiny_inputs: Arrays
) -> None:
    held = tiny_model.runner.run(tiny_inputs)
    engine.function = staticmethod(lambda _: held)
    runner = coreml.open_runner(Path("tiny.mlpackage"), tiny_model.manifest, None)
    runner.run(tiny_inputs)["key"][:] = -1.0
    assert held["key"].min() >= 0


def test_a_golden_is_met_and_a_wrong_engine_is_noticed(
    engine: type[_Model], tiny_model: LoadedModel
) -> None:
    manifest, frames = tiny_model.manifest, 3
    (height, width), channels = manifest.size, manifest.channels
    prompt = np.zeros((frames, *manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 2:8, 2:10] = 1.0
    prompt[0, 0] = 1.0 - prompt[0].sum(0)
    prompted, active = np.zeros((2, frames, channels), np.float32)
    prompted[0, :2], active[:, :2] = 1.0, 1.0
    writes = np.zeros((frames, manifest.slots), np.bool_)
    writes[0, 0], writes[:, 1] = True, True
    image = np.random.default_rng(0).integers(0, 256, (frames, 3, height, width), np.uint8)
    golden = run_script(
        tiny_model.runner, manifest.graph, Script(image, prompt, prompted, active, writes)
    )
    runner = coreml.open_runner(Path("tiny.mlpackage"), manifest, None)
    limits = {"mask_iou": 0.999, "max_abs_error": 1e-4, "mean_abs_error": 1e-5, "norm_error": 1e-4}
    report = check_golden(runner, manifest.graph, golden, **limits)  # type: ignore[arg-type]
    assert (report.passed, report.frames) == (True, frames)

    right = engine.function
    engine.function = staticmethod(
        lambda data: right({**data, "image": data["image"][:, ::-1].copy()})
    )
    assert not check_golden(runner, manifest.graph, golden, **limits).passed  # type: ignore[arg-type]


def test_what_coremltools_only_warns_of_is_refused(
    engine: type[_Model], tiny_manifest: Manifest
) -> None:
    engine.warning = "You will not be able to run predict() on this Core ML model."
    with pytest.raises(EngineError, match=r"refuses tiny\.mlpackage: You will not be able"):
        coreml.open_runner(Path("tiny.mlpackage"), tiny_manifest, None)


def test_a_failed_prediction_is_a_named_error(
    engine: type[_Model], tiny_manifest: Manifest, tiny_inputs: Arrays
) -> None:
    def fail(_: Arrays) -> Arrays:
        raise RuntimeError("Error computing\nNN outputs")

    engine.function = staticmethod(fail)
    runner = coreml.open_runner(Path("tiny.mlpackage"), tiny_manifest, None)
    with pytest.raises(EngineError, match="Core ML failed: Error computing NN outputs"):
        runner.run(tiny_inputs)
    with pytest.raises(ShapeError, match="'image' is missing"):
        runner.run({})
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="was closed"):
        runner.run(tiny_inputs)


def test_a_package_that_is_not_the_manifests_is_refused(
    engine: type[_Model], tiny_manifest: Manifest
) -> None:
    def refused(manifest: Manifest = tiny_manifest) -> str:
        with pytest.raises((EngineError, ShapeError)) as caught:
            coreml.open_runner(Path("tiny.mlpackage"), manifest, None)
        return str(caught.value)

    fewer = replace(tiny_manifest, outputs=tiny_manifest.outputs[:-1])
    assert "another output, 'value'" in refused(fewer)
    key = engine.specification.description.output[1]
    key.type.multiArrayType.dataType = FLOAT16
    assert "output 'key' is ((1, 3, 4, 6), 'type 65552')" in refused()
    key.type.multiArrayType.dataType = FLOAT32
    image = engine.specification.description.input[0]
    image.type.which = "imageType"
    assert "input 'image' is ((), 'imageType')" in refused()
    image.type.which = "multiArrayType"
    engine.specification.specificationVersion = 9
    assert "specification version 9. Expected: at most 8" in refused()
    engine.specification.which = "neuralNetwork"
    assert "is a neuralNetwork" in refused()


def test_elsewhere_it_is_not_available_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tiny_manifest: Manifest
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "coremltools")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert not coreml.ENGINE.is_available
    with pytest.raises(EngineError, match=r"does not run on Linux\. Expected: a Mac"):
        coreml.open_runner(Path("tiny.mlpackage"), tiny_manifest, None)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert coreml.ENGINE.is_available
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(EngineError, match="pip install coremltools"):
        coreml.open_runner(Path("tiny.mlpackage"), tiny_manifest, None)
