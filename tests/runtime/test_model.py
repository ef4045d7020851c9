import gc
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
from edge_vos.graph import TensorSpec
from edge_vos.runtime import model as module
from edge_vos.runtime.backends.onnx import open_runner
from edge_vos.runtime.backends.runner import ModelSpec, Runner
from edge_vos.runtime.model import choose_engine, open_bundle, open_prompt_head

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


def test_a_prompt_head_opens_when_it_is_asked_for(
    prompted_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def note(path: Path, offered: ModelSpec, threads: int | None) -> Runner:
        opened.append((path.name, threads))
        return open_runner(path, offered, threads)

    monkeypatch.setattr(module, "load_opener", lambda _: note)
    model = open_bundle(prompted_bundle.path, threads=1)
    assert opened == [("model.onnx", 1)]
    head = model.prompt_head
    assert head is not None
    assert opened == [("model.onnx", 1)] * 2
    assert model.prompt_head is head
    assert head.size == (64, 96)
    model.close()
    model.close()


def test_a_prompt_head_makes_a_mask(prompted_bundle: Bundle) -> None:
    frame = np.full((64, 96, 3), 90, np.uint8)
    head = open_bundle(prompted_bundle.path, threads=1).prompt_head
    assert head is not None
    mask = head.mask(frame, box_xywh=(24, 16, 40, 24))
    assert mask.shape == (64, 96)
    assert set(np.unique(mask)) == {0, 1}
    inside = mask[18:38, 26:62]
    assert inside.all()
    assert mask.sum() < 1.5 * 40 * 24


def test_a_released_prompt_head_opens_again(prompted_bundle: Bundle) -> None:
    model = open_bundle(prompted_bundle.path, threads=1)
    model.release_prompt_head()  # nothing is open yet
    first = model.prompt_head
    model.release_prompt_head()
    second = model.prompt_head
    assert first is not None
    assert second is not None
    assert first is not second
    inputs = {spec.name: np.zeros(spec.shape, np.float32) for spec in _head_specs(prompted_bundle)}
    with pytest.raises(EngineError, match="closed"):
        first.runner.run(inputs)
    assert set(second.runner.run(inputs)) == {"probability"}


def _head_specs(bundle: Bundle) -> tuple[TensorSpec, ...]:
    entry = bundle.manifest.prompt_head
    assert entry is not None
    return entry.graph.inputs


def test_a_zip_gives_its_prompt_head_after_its_folder_is_gone(
    tmp_path: Path, prompted_bundle: Bundle, prompted_manifest: Manifest
) -> None:
    files: dict[str, bytes | Path] = {
        name: prompted_bundle.file(name) for name in prompted_bundle.manifest.files
    }
    write_bundle(tmp_path / "a.zip", prompted_manifest, files)
    model = open_bundle(tmp_path / "a.zip", threads=1)
    gc.collect()
    assert model.prompt_head is not None


def test_a_bundle_without_a_prompt_head_says_so(tiny_bundle: Bundle) -> None:
    assert open_bundle(tiny_bundle.path, threads=1).prompt_head is None
    with pytest.raises(BundleError, match="holds no prompt head"):
        open_prompt_head(tiny_bundle, ENGINES["onnx"].runner, 1)


def test_a_prompt_head_with_other_shapes_than_its_manifest_is_refused(
    tmp_path: Path, prompted_manifest: Manifest, tiny_onnx: bytes, tiny_prompt_onnx: bytes
) -> None:
    assert prompted_manifest.prompt_head is not None
    other = replace(prompted_manifest.prompt_head, size=(96, 96))
    files = {"model.onnx": tiny_onnx, "prompt/model.onnx": tiny_prompt_onnx}
    manifest = replace(prompted_manifest, prompt_head=other)
    model = open_bundle(write_bundle(tmp_path / "a.bundle", manifest, files).path, threads=1)
    with pytest.raises(ShapeError, match="'image'"):
        _ = model.prompt_head
