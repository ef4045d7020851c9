"""The tables agree with each other, with what is installed and with the page made from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_vos import engines
from edge_vos.converters.lowering import load_lower
from edge_vos.converters.quantization.quantize import Scheme, scheme_of
from edge_vos.converters.targets import TARGETS
from edge_vos.converters.targets_page import page
from edge_vos.converters.verify.evaluator import find_evaluator
from edge_vos.engines import ENGINES, find_engine
from edge_vos.errors import EngineError, MissingPackageError
from edge_vos.model.config import SAMPLERS, check_size

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_names_what_there_is(target: str) -> None:
    row = TARGETS[target]
    assert row.precision in ENGINES[row.backend].precisions
    assert row.deployment
    check_size(row.size)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_names_what_there_is(name: str) -> None:
    row = ENGINES[name]
    assert row.name == name
    assert row.sampler in SAMPLERS
    assert row.target in TARGETS
    assert bool(row.stand_in) == bool(row.stand_in_name)
    assert not (row.executes and row.stand_in)
    assert set(row.also_run_by) <= set(ENGINES)
    assert set(row.weights_only) <= set(row.precisions)


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match=r"Unknown engine 'abacus'.*coreml, executorch-coreml"):
        find_engine("abacus")


@pytest.mark.parametrize("name", ENGINES)
def test_its_modules_offer_what_is_promised(name: str) -> None:
    row = ENGINES[name]
    try:
        row.require_packages()
    except MissingPackageError as error:
        pytest.skip(str(error))
    assert callable(load_lower(row))
    evaluator = find_evaluator(row)
    assert (evaluator is None) == (not row.executes and not row.stand_in)
    if evaluator is not None:
        assert callable(evaluator.open_runner)
        assert bool(evaluator.name) != row.executes


def test_precisions_say_what_they_need() -> None:
    onnx, litert, coreml = (ENGINES[name] for name in ("onnx", "litert", "coreml"))
    assert scheme_of(onnx, "fp16") is scheme_of(coreml, "fp32") is None
    assert scheme_of(litert, "int8") == scheme_of(coreml, "w8a8") == Scheme(8)
    assert scheme_of(coreml, "int8") == Scheme(8, activations=False)
    assert scheme_of(coreml, "palette6") == Scheme(6, palette=True, activations=False)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = engines.installed_version
    monkeypatch.setattr(
        engines, "installed_version", lambda name: None if name == "torch" else found(name)
    )
    for name, row in ENGINES.items():
        wanted = rf'{name} needs torch.*pip install "edge-vos\[{row.extra}\]"'
        with pytest.raises(MissingPackageError, match=wanted):
            row.require_packages()


def test_refusing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from edge_vos import engines\n"
        "from edge_vos.converters import recipe, targets\n"
        "engines.installed_version = lambda name: None\n"
        "for row in engines.ENGINES.values():\n"
        "    try:\n"
        "        row.require_packages()\n"
        "    except engines.MissingPackageError:\n"
        "        continue\n"
        "    sys.exit(f'{row.name} was not refused')\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'executorch', 'coremltools', 'litert_torch'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_is_that_of_the_tables() -> None:
    written = (REPOSITORY / "docs" / "targets.md").read_text()
    assert written == page(), "run: python -m edge_vos.converters.targets_page > docs/targets.md"


def test_the_page_names_everything() -> None:
    for name in (*TARGETS, *ENGINES, "palette6", "NOT EXECUTED", "issues/5197"):
        assert name in page()
