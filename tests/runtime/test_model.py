import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.bundle import (
    Bundle,
    Manifest,
    write_bundle,
)
from edge_vos.engines import ENGINES, Engine
from edge_vos.errors import BundleError, EngineError, MissingPackageError, ShapeError, UsageError
from edge_vos.runtime.model import choose_engine, open_bundle

pytest.importorskip("onnxruntime")


def test_an_open_bundle_says_what_it_is(tiny_bundle: Bundle) -> None:
    model = open_bundle(tiny_bundle.path, threads=1)
    assert (model.engine, model.threads, model.path) == ("onnx", 1, tiny_bundle.path)
    assert model.engine_version == ENGINES["onnx"].version != ""
    assert model.manifest == tiny_bundle.manifest
    assert model.load_ms > 0


def test_a_zip_works_after_its_folder_is_gone(
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_onnx: bytes,
    tiny_inputs: dict[str, NDArray[np.float32]],
) -> None:
    write_bundle(tmp_path / "tiny.zip", tiny_manifest, {"model.onnx": tiny_onnx})
    assert set(open_bundle(tmp_path / "tiny.zip").runner.run(tiny_inputs)) == {
        "probability",
        "key",
        "value",
    }


def test_an_unknown_engine_is_refused_with_the_list(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"onxx.*one of .*litert, onnx"):
        open_bundle(tiny_bundle.path, engine="onxx")


def test_an_engine_of_another_bundle_is_refused(
    tmp_path: Path, tiny_manifest: Manifest, tiny_onnx: bytes
) -> None:
    manifest = replace(tiny_manifest, backend="litert")
    bundle = write_bundle(tmp_path / "other.bundle", manifest, {"model.onnx": tiny_onnx})
    for engine in ("onnx", "executorch"):
        with pytest.raises(EngineError, match=rf"'{engine}'.*'litert'"):
            open_bundle(bundle.path, engine=engine)
    manifest = replace(tiny_manifest, backend="abacus")
    bundle = write_bundle(tmp_path / "unknown.bundle", manifest, {"model.onnx": tiny_onnx})
    with pytest.raises(EngineError, match="Unknown engine 'abacus'"):
        open_bundle(bundle.path)


def _only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let no other engines be installed."""
    monkeypatch.setattr(Engine, "is_available", property(lambda engine: engine.name in names))


def test_what_is_installed_is_used(
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_onnx: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest = replace(tiny_manifest, backend="tensorrt")
    bundle = write_bundle(tmp_path / "a.bundle", manifest, {"model.onnx": tiny_onnx})
    _only(monkeypatch, "onnx", "executorch-xnnpack")
    with caplog.at_level(logging.INFO):
        model = open_bundle(bundle.path)
    assert model.engine == "onnx"
    assert model.engine_reason.startswith("for tensorrt,")
    assert model.engine_reason in caplog.text
    assert choose_engine("onnx")[1] == "which the bundle was made for"
    assert choose_engine("onnx", "onnx")[1] == "as asked for"
    assert choose_engine("executorch-xnnpack", "executorch-xnnpack")[0].name == "executorch-xnnpack"
    assert choose_engine("executorch-xnnpack", "executorch")[0].name == "executorch-xnnpack"


@pytest.mark.parametrize("report", [{}, {"failures": ["off"]}])
def test_a_bundle_that_has_not_passed_says_so(
    tmp_path: Path,
    tiny_manifest: Manifest,
    tiny_onnx: bytes,
    report: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest = replace(
        tiny_manifest, report={"executed": False, "passed": False, "failures": [], **report}
    )
    bundle = write_bundle(tmp_path / "a.bundle", manifest, {"model.onnx": tiny_onnx})
    open_bundle(bundle.path, threads=1).runner.close()
    assert ("FAILED" if report else "NOT EXECUTED") in caplog.text


def test_no_bundle_and_no_threads_are_refused(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="nothing"):
        open_bundle(tmp_path / "nothing.bundle")
    with pytest.raises(UsageError, match="0 threads"):
        open_bundle(tiny_bundle.path, threads=0)


def test_a_model_with_other_shapes_than_its_manifest_is_refused(
    tmp_path: Path, tiny_manifest: Manifest, tiny_onnx: bytes
) -> None:
    graph = replace(tiny_manifest.graph, slots=3)
    manifest = replace(tiny_manifest, inputs=graph.inputs, outputs=graph.outputs)
    bundle = write_bundle(tmp_path / "three.bundle", manifest, {"model.onnx": tiny_onnx})
    with pytest.raises(ShapeError, match=r"'memory_key'.*as the manifest says"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_missing_engine_names_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(monkeypatch)
    with pytest.raises(MissingPackageError, match=re.escape(ENGINES[name].install)):
        choose_engine(name)
