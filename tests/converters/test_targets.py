"""The tables agree with each other, with what is installed and with the page made from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_vos.converters import targets
from edge_vos.converters.quantize import Scheme
from edge_vos.converters.targets import (
    BACKENDS,
    TARGETS,
    load_converter,
    load_evaluator,
    quantization,
    require_packages,
)
from edge_vos.converters.targets_page import page
from edge_vos.errors import EngineError
from edge_vos.model.config import SAMPLERS, check_size
from edge_vos.runtime import backends

REPOSITORY = Path(__file__).parents[2]


def _needs(backend: str) -> None:
    try:
        require_packages(backend)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_names_what_there_is(target: str) -> None:
    row = TARGETS[target]
    assert row.precision in BACKENDS[row.backend].precisions
    assert row.deployment
    check_size(row.size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_names_what_there_is(backend: str) -> None:
    row = BACKENDS[backend]
    assert row.sampler in SAMPLERS
    assert row.target in TARGETS
    assert row.executes or bool(row.evaluator) == bool(row.evaluator_name)
    assert backend in backends.BACKENDS


@pytest.mark.parametrize("backend", BACKENDS)
def test_its_modules_offer_what_is_promised(backend: str) -> None:
    _needs(backend)
    assert callable(load_converter(backend).lower)
    evaluator = load_evaluator(backend)
    assert (evaluator is None) == (not BACKENDS[backend].evaluator)
    if evaluator is not None:
        assert callable(evaluator.open_runner)
        assert bool(evaluator.name) != BACKENDS[backend].executes


def test_precisions_say_what_they_need() -> None:
    assert quantization("onnx", "fp16") is quantization("coreml", "fp32") is None
    assert quantization("litert", "int8") == quantization("coreml", "w8a8") == Scheme(8)
    assert quantization("coreml", "int8") == Scheme(8, activations=False)
    palette = quantization("coreml", "palette6")
    assert palette == Scheme(6, palette=True, activations=False)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = targets.installed_version
    monkeypatch.setattr(
        targets, "installed_version", lambda name: None if name == "torch" else found(name)
    )
    for backend, row in BACKENDS.items():
        wanted = rf'{backend} needs torch.*pip install "edge-vos\[{row.extra}\]"'
        with pytest.raises(EngineError, match=wanted):
            require_packages(backend)


def test_refusing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from edge_vos.converters import targets\n"
        "targets.installed_version = lambda name: None\n"
        "for name in targets.BACKENDS:\n"
        "    try:\n"
        "        targets.require_packages(name)\n"
        "    except targets.EngineError:\n"
        "        continue\n"
        "    sys.exit(f'{name} was not refused')\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'executorch', 'coremltools', 'litert_torch'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_is_that_of_the_tables() -> None:
    written = (REPOSITORY / "docs" / "targets.md").read_text()
    assert written == page(), "run: python -m edge_vos.converters.targets_page > docs/targets.md"


def test_the_page_names_everything() -> None:
    for name in (*TARGETS, *BACKENDS, "palette6", "NOT EXECUTED", "issues/5197"):
        assert name in page()
