"""A bundle for the web in headless Chromium, with ONNX Runtime Web."""

import shutil
from collections.abc import Callable
from pathlib import Path

from edge_vos.bundle import Bundle
from tests.runtime.web.conftest import REPOSITORY, WIDE, Drive, served

EXAMPLE = REPOSITORY / "docs" / "examples" / "onnxruntime_web.js"
PAGE = REPOSITORY / "runtime" / "web" / "page"


def test_the_recordings_of_a_web_bundle_pass(
    convert: Callable[..., Bundle], tools: Path, drive: Drive, tmp_path: Path
) -> None:
    bundle = convert("fp32", WIDE, target="web")
    folder = tmp_path / "page"
    shutil.copytree(bundle.folder, folder / "bundle")
    for module in PAGE.glob("*.js"):
        shutil.copy(module, folder)
    shutil.copy(EXAMPLE, folder / "example.js")
    dist = tools / "node_modules" / "onnxruntime-web" / "dist"
    shutil.copy(dist / "ort.wasm.bundle.min.mjs", folder / "ort.js")
    shutil.copy(dist / "ort-wasm-simd-threaded.wasm", folder)
    (folder / "index.html").write_text('<!doctype html><link rel="icon" href="data:,">')

    with served(folder) as server:
        found = drive("onnx", server.address)

    assert found["step"]["passed"]
    assert found["step"]["frames"] > 1
    assert found["promptHead"]["passed"]
    assert found["promptHead"]["calls"] > 1
