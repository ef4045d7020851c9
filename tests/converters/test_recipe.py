"""A recipe fills in what was left open and refuses what does not exist, listing what does."""

import importlib.util

import pytest

from edge_vos.converters import targets
from edge_vos.converters.recipe import Recipe, choose, parse_size
from edge_vos.converters.targets import BACKENDS, TARGETS, load_converter, require_packages
from edge_vos.converters.verify import TOLERANCES
from edge_vos.errors import EngineError, ShapeError, UsageError
from edge_vos.model.config import SAMPLERS
from edge_vos.runtime import backends


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_recipe_a_converter_an_engine_and_a_tolerance(target: str) -> None:
    recipe = choose(target)
    assert recipe.size == TARGETS[target].size
    assert recipe.sampler in SAMPLERS
    assert recipe.sampler_reason
    assert callable(load_converter(recipe.backend).lower)
    assert recipe.backend in backends.BACKENDS
    for precision in BACKENDS[recipe.backend].precisions:
        assert (recipe.backend, precision) in TOLERANCES


def test_what_is_asked_for_is_taken() -> None:
    recipe = choose("web", backend="onnx", precision="fp32", sampler="matmul", size=(64, 96))
    assert recipe == Recipe("web", "onnx", "fp32", "matmul", "as asked for", (64, 96))
    assert recipe.file_name == "student-64x96-web-fp32.bundle"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target": "toaster"},
            r"unknown target 'toaster'\. Expected: one of cpu, raspberrypi, web",
        ),
        ({"target": "ios"}, "unknown target 'ios'"),
        ({"backend": "coreml"}, r"unknown backend 'coreml'\. Expected: one of onnx"),
        ({"precision": "int8"}, r"unknown precision 'int8'\. Expected: one of fp32"),
        ({"sampler": "nearest"}, r"unknown sampler 'nearest'\. Expected: one of native, gather"),
    ],
)
def test_what_does_not_exist_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(**{"target": "cpu", **change})  # type: ignore[arg-type]


def test_a_size_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ShapeError, match="250x432"):
        choose("cpu", size=(250, 432))


def test_sizes_are_read() -> None:
    assert parse_size("240x432") == (240, 432)
    for text in ("240", "240x", "x432", "240X432", "-16x32", "240x432x3", "999999x16", ""):
        with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
            parse_size(text)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages("onnx")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        targets.importlib.util,
        "find_spec",
        lambda name: None if name == "torch" else found(name),
    )
    with pytest.raises(EngineError, match=r'needs torch, .*pip install "edge-vos\[convert\]"'):
        require_packages("onnx")
