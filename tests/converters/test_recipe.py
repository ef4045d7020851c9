"""A recipe fills in what was left open and refuses what does not exist, listing what does."""

from typing import Any

import pytest

from edge_vos.converters.recipe import AS_ASKED, Recipe, choose, choose_all, parse_size
from edge_vos.converters.targets import TARGETS
from edge_vos.engines import ENGINES
from edge_vos.errors import ShapeError, UsageError


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_fills_in_everything(target: str) -> None:
    recipe = choose(target)
    row = TARGETS[target]
    assert (recipe.backend, recipe.precision, recipe.size) == (row.backend, row.precision, row.size)
    assert recipe.reason == row.reason
    assert recipe.sampler == ENGINES[row.backend].sampler
    assert recipe.sampler_reason


def test_what_is_asked_for_is_taken() -> None:
    recipe = choose("web", backend="onnx", precision="fp16", sampler="matmul", size=(64, 96))
    assert recipe == Recipe("web", "onnx", "fp16", AS_ASKED, "matmul", AS_ASKED, (64, 96))
    assert recipe.file_name == "student-64x96-web-fp16.bundle"


def test_a_backend_alone_has_a_target_and_its_name_in_the_file() -> None:
    recipe = choose(backend="executorch-xnnpack", precision="int8", size=(64, 96))
    assert recipe.target == "android"
    assert recipe.file_name == "student-64x96-android-executorch-xnnpack-int8.bundle"
    assert choose(backend="coreml").precision == "fp16"


def test_several_are_every_combination_once() -> None:
    assert [r.target for r in choose_all(["cpu", "web", "cpu"])] == ["cpu", "web"]
    assert [r.target for r in choose_all(["all"])] == list(TARGETS)
    both = choose_all(["cpu"], precisions=["fp32", "int8"])
    assert [r.precision for r in both] == ["fp32", "int8"]
    everything = choose_all([], ["all"], ["all"])
    assert [(r.backend, r.precision) for r in everything] == [
        (name, precision) for name, row in ENGINES.items() for precision in row.precisions
    ]
    assert len({r.file_name for r in everything}) == len(everything)
    assert len(choose_all(["all"], precisions=["all"])) == 3 * 3 + 3 + 6 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target": "toaster"},
            r"unknown target 'toaster'\. Expected: one of android, ios, jetson, raspberrypi, cpu",
        ),
        ({"backend": "abacus"}, r"unknown backend 'abacus'\. Expected: one of onnx, litert"),
        ({"precision": "int4"}, r"unknown precision 'int4' for onnx\. Expected: one of fp32"),
        ({"sampler": "nearest"}, r"unknown sampler 'nearest'\. Expected: one of native, gather"),
        ({"target": None}, r"Nothing says what to convert for.*--target cpu"),
        ({"target": None, "backend": "abacus"}, "unknown backend 'abacus'"),
    ],
)
def test_what_does_not_exist_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(**{"target": "cpu", **change})


def test_a_size_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ShapeError, match="250x432"):
        choose("cpu", size=(250, 432))


def test_sizes_are_read() -> None:
    assert parse_size("240x432") == (240, 432)
    for text in ("240", "240x", "x432", "240X432", "-16x32", "240x432x3", "999999x16", ""):
        with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
            parse_size(text)
