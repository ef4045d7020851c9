"""What is known to go wrong is refused, with a thread to read and a way out."""

import re

import pytest

from edge_vos.converters.known_bad import (
    KNOWN_BAD,
    KnownBad,
    check_known_bad,
    in_range,
)
from edge_vos.converters.recipe import Recipe, choose
from edge_vos.converters.targets import TARGETS
from edge_vos.engines import ENGINES
from edge_vos.errors import EngineError


@pytest.mark.parametrize("row", KNOWN_BAD, ids=lambda row: f"{row.engine} {row.what}")
def test_a_row_is_complete(row: KnownBad) -> None:
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", row.thread)
    assert row.consequence
    assert row.remedy
    assert any(name.startswith(row.backends) for name in ENGINES)
    assert isinstance(in_range("1.0", row.versions), bool)
    assert set(row.refused or ()) <= set(Recipe.__dataclass_fields__)


@pytest.mark.parametrize("target", TARGETS)
def test_defaults_are_not_known_to_go_wrong(target: str) -> None:
    check_known_bad(choose(target))


@pytest.mark.parametrize("backend", ENGINES)
def test_every_backend_has_a_default_that_works(backend: str) -> None:
    for precision in ENGINES[backend].precisions:
        check_known_bad(choose(backend=backend, precision=precision))


def test_an_option_that_goes_wrong_is_refused() -> None:
    with pytest.raises(EngineError, match=r"litert with sampler native.*GATHER_ND.*issues/5197"):
        check_known_bad(choose(backend="litert", sampler="native"))
    check_known_bad(choose("cpu", sampler="native"))


def test_a_version_that_goes_wrong_is_refused() -> None:
    recipe = choose(backend="coreml")
    with pytest.raises(EngineError, match=r"numpy 2\.4\.1.*pip install \"numpy<2\.4\""):
        check_known_bad(recipe, lambda name: {"numpy": "2.4.1"}.get(name, "1.0"))
    check_known_bad(recipe, lambda name: {"numpy": "2.3.5"}.get(name, "1.0"))
    check_known_bad(choose("cpu"), lambda name: {"numpy": "2.4.1"}.get(name, "1.0"))


@pytest.mark.parametrize(
    ("version", "conditions", "inside"),
    [
        ("2.4.0", ">=2.4", True),
        ("2.3.5", ">=2.4", False),
        ("2.10", ">=2.4,<3", True),
        ("3.0", ">=2.4,<3", False),
        ("1.5.1", "<1.6", True),
        ("1.5.1rc2", "==1.5.1", True),
        ("2.13.0+cu128", "<=2.13", True),
        ("2.13.1", ">2.13", True),
        ("1.0", "", True),
        (None, ">=10.14", True),
    ],
)
def test_versions_are_compared_by_number(
    version: str | None, conditions: str, inside: bool
) -> None:
    assert in_range(version, conditions) is inside


def test_a_condition_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="about 2"):
        in_range("2.0", "about 2")
