"""What `edge-vos web` writes, refuses and serves; no browser."""

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from edge_vos.bundle import Bundle, read_bundle, write_bundle
from edge_vos.cli import app
from edge_vos.errors import BundleError, EngineError, GateError, MissingPackageError, SinkError
from edge_vos.graph import GraphSpec
from edge_vos.manifest import Manifest
from edge_vos.runtime.web import package
from edge_vos.runtime.web.package import BUILDS, engine_files, fetched_engine
from edge_vos.runtime.web.serve import SiteServer
from edge_vos.runtime.web.site import read_models, write_site
from tests.runtime.web.conftest import served

ENGINE = {"index.js": b"engine", "wasm/litert_wasm_internal.wasm": b"wasm"}


FILES: dict[str, bytes | Path] = {
    "model.tflite": b"tflite",
    "golden.npz": b"golden",
    "prompt/model.tflite": b"second",
    "prompt-golden.npz": b"its golden",
}


@pytest.fixture
def model(prompted_manifest: Manifest, tmp_path: Path) -> Bundle:
    """The tiny student, said to be LiteRT's."""
    assert prompted_manifest.prompt_head is not None
    head = replace(prompted_manifest.prompt_head, model_file="prompt/model.tflite")
    manifest = replace(
        prompted_manifest, backend="litert", model_file="model.tflite", prompt_head=head
    )
    return write_bundle(tmp_path / "model.bundle", manifest, FILES)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Something like the engine's packages."""
    root = tmp_path / "npm" / "node_modules" / "@litertjs"
    for name in ("core/dist/index.js", "wasm-utils/dist/index.js"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text('import { createWasmLib } from "@litertjs/wasm-utils";')
    (root / "core/wasm").mkdir()
    for build in BUILDS:
        for ending in ("js", "wasm"):
            (root / f"core/wasm/litert_wasm_{build}internal.{ending}").write_text(build)
    return tmp_path / "npm"


def test_a_page_is_whole_and_its_worker_knows_it(model: Bundle, tmp_path: Path) -> None:
    site = write_site(tmp_path / "a", (model,), ENGINE)
    again = write_site(tmp_path / "b", (model,), ENGINE)
    assert site == again
    worker = (tmp_path / "a/sw.js").read_text()
    assert site["version"] in worker
    first = json.loads(worker.split("JSON.parse('")[1].split("')")[0])
    assert {"index.html", "app.js", "worker.js", "site.json", "icon-192.png"} <= set(first)
    for name in (*first, *site["later"], site["clip"]):
        assert (tmp_path / "a" / name).is_file(), name
    assert (tmp_path / "a/models/model/model.tflite").read_bytes() == b"tflite"
    assert (tmp_path / "a/models/model/prompt/model.tflite").read_bytes() == b"second"
    for name in ("tsconfig.json", "live.html", "live.js"):
        assert not (tmp_path / "a" / name).exists()
    page = (tmp_path / "a/index.html").read_text()
    assert "connect-src 'self'" in page
    assert "http" not in page.replace("http-equiv", "")


def test_another_engine_makes_another_version(model: Bundle, tmp_path: Path) -> None:
    one = write_site(tmp_path / "a", (model,), ENGINE)
    other = write_site(tmp_path / "b", (model,), {**ENGINE, "index.js": b"newer"})
    assert one["version"] != other["version"]


def test_a_folder_that_is_no_page_is_not_replaced(model: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(SinkError, match="mine"):
            write_site(folder, (model,), ENGINE, overwrite=overwrite)
    assert (folder / "thesis.txt").read_text() == "years of work"
    write_site(tmp_path / "site", (model,), ENGINE)
    write_site(tmp_path / "site", (model,), ENGINE, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_bundles_that_do_not_fit_are_refused(
    tiny_bundle: Bundle, model: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="edge-vos convert --target android"):
        read_models([tiny_bundle.path])
    with pytest.raises(BundleError, match="Two bundles"):
        read_models([model.path, model.path])
    failed = replace(model.manifest, report={"executed": True, "passed": False, "failures": ["x"]})
    write_bundle(tmp_path / "failed.bundle", failed, FILES)
    with pytest.raises(BundleError, match="failed its verification"):
        read_models([tmp_path / "failed.bundle"])
    for name in ("golden.npz", "prompt-golden.npz"):
        files = {one: content for one, content in FILES.items() if one != name}
        write_bundle(tmp_path / "bare.bundle", model.manifest, files, overwrite=True)
        with pytest.raises(BundleError, match=rf"{name}"):
            read_models([tmp_path / "bare.bundle"])
    headless = replace(model.manifest, prompt_head=None)
    write_bundle(tmp_path / "headless.bundle", headless, FILES)
    with pytest.raises(BundleError, match="no prompt head") as refused:
        read_models([tmp_path / "headless.bundle"])
    assert "edge-vos convert --target android" in str(refused.value)
    assert [bundle.path for bundle in read_models([model.path])] == [model.path]


def test_the_engine_is_read_from_where_npm_installed_it(packages: Path, tmp_path: Path) -> None:
    found = engine_files(packages)
    assert b'"./wasm-utils.js"' in found["index.js"]
    assert set(found) == {
        "index.js",
        "wasm-utils.js",
        *(f"wasm/litert_wasm_{b}internal.{e}" for b in BUILDS for e in ("js", "wasm")),
    }
    (packages / "node_modules/@litertjs/core/wasm/litert_wasm_internal.wasm").unlink()
    with pytest.raises(EngineError, match="not complete"):
        engine_files(packages)
    with pytest.raises(EngineError, match="npm install"):
        engine_files(tmp_path)


def test_npm_that_is_missing_or_serves_something_else_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(package.shutil, "which", lambda _: None)
    with pytest.raises(MissingPackageError, match="apt install npm"), fetched_engine():
        pass
    npm = tmp_path / "npm"
    monkeypatch.setattr(package.shutil, "which", lambda _: str(npm))
    npm.write_text("#!/bin/sh\necho 'npm error code E404' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(EngineError, match="E404"), fetched_engine():
        pass
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz"):
        pass
    (tmp_path / "other.tgz").write_bytes(stream.getvalue())
    npm.write_text(f'#!/bin/sh\ncp {tmp_path}/other.tgz "$4/litertjs-core-2.5.3.tgz"\n')
    with pytest.raises(EngineError, match="not the package that was tested"), fetched_engine():
        pass


@pytest.fixture
def server(model: Bundle, tmp_path: Path) -> Iterator[SiteServer]:
    write_site(tmp_path / "site", (model,), ENGINE)
    with served(tmp_path / "site") as server:
        yield server


def test_the_server_isolates_lists_nothing_and_takes_nothing(server: SiteServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with urlopen(server.address) as answer:
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
    with urlopen(f"{server.address}engine/wasm/litert_wasm_internal.wasm") as answer:
        assert answer.headers["Content-Type"] == "application/wasm"
    for path, code in (("models/", 404), ("../../etc/passwd", 404), ("nothing", 404)):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{server.address}{path}")
        assert refused.value.code == code
        refused.value.close()
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(server.address, data=b"pixels", method="POST"))
    assert refused.value.code == 501
    refused.value.close()
    with pytest.raises(SinkError, match="--port 0"):
        SiteServer(Path("."), server.server_address[1])


def test_the_command_writes_a_page_from_bundles(
    model: Bundle, packages: Path, tmp_path: Path
) -> None:
    arguments = ["web", "-o", str(tmp_path / "out"), "--bundle", str(model.path)]
    done = CliRunner().invoke(app, [*arguments, "--engine", str(packages)])
    assert done.exit_code == 0, done.output
    assert "--serve" in done.output
    assert read_bundle(model.path).manifest.size == model.manifest.size
    description = json.loads((tmp_path / "out/site.json").read_text())
    assert description["models"][0]["size"] == list(model.manifest.size)
    again = CliRunner().invoke(app, [*arguments, "--engine", str(packages)])
    assert isinstance(again.exception, SinkError)


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have a browser open the page once it is served, and Ctrl-C follow; keep what it shows."""
    pages: list[str] = []
    visits: dict[SiteServer, Future[None]] = {}

    def visit(address: str) -> None:
        with urlopen(address, timeout=20) as answer:
            pages.append(answer.read().decode())

    with ThreadPoolExecutor(1) as browser:

        def look(server: SiteServer) -> None:
            if current_thread() is not main_thread():
                return  # the server of another test
            if server not in visits:
                visits[server] = browser.submit(visit, server.address)
            if visits[server].done():
                visits[server].result()
                raise KeyboardInterrupt

        monkeypatch.setattr(SiteServer, "service_actions", look)
        yield pages


def test_the_command_serves_what_it_wrote_and_what_is_there(
    model: Bundle, packages: Path, tmp_path: Path, visited: list[str]
) -> None:
    out = tmp_path / "out"
    serve = ["web", "-o", str(out), "--serve", "--port", "0"]
    done = CliRunner().invoke(app, [*serve, "--bundle", str(model.path), "--engine", str(packages)])
    assert done.exit_code == 0, done.output
    written, opened, ended = done.stdout.splitlines()
    assert written.startswith(f"{out}: 1 models, ")
    assert opened.startswith("Open http://localhost:")
    assert ended == "ended"
    assert visited == [(out / "index.html").read_text()]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = CliRunner().invoke(app, serve)
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[0].startswith("Open ")
    assert visited[1] == visited[0]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


Asked = list[tuple[str, tuple[int, int]]]


@pytest.fixture
def converted(model: Bundle, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Convert in no time; the upright size fails in int8. Keep what was asked for."""
    conversion = pytest.importorskip("edge_vos.converters.convert", reason="needs torch")
    asked: Asked = []

    def convert(_: object, recipe: Any, output: Path) -> Bundle:
        asked.append((recipe.precision, recipe.size))
        assert (recipe.backend, recipe.target) == ("litert", "android")
        if asked[-1] == ("int8", (432, 240)):
            raise GateError("Nothing was written: key is off by 1", "", "")
        old = model.manifest
        spec = GraphSpec(recipe.size, old.channels, old.slots, 3, old.channels)
        manifest = replace(
            old, size=recipe.size, inputs=spec.inputs, outputs=spec.outputs,
            precision=recipe.precision,
        )  # fmt: skip
        return write_bundle(output, manifest, FILES)

    monkeypatch.setattr(conversion.Conversion, "convert", convert)
    monkeypatch.setattr("edge_vos.engines.installed_version", lambda name: "1")
    return asked


def test_without_bundles_the_command_makes_one_for_each_way_to_hold_the_phone(
    converted: Asked, packages: Path, tmp_path: Path
) -> None:
    arguments = ["web", "-o", str(tmp_path / "out"), "--engine", str(packages)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert converted == [("int8", (240, 432)), ("int8", (432, 240)), ("fp32", (432, 240))]
    assert "Nothing was written: key is off by 1: the next precision is taken" in done.stderr
    site = json.loads((tmp_path / "out/site.json").read_text())
    assert sorted(one["size"] for one in site["models"]) == [[240, 432], [432, 240]]


def test_where_every_precision_fails_no_page_is_left(
    converted: Asked, monkeypatch: pytest.MonkeyPatch, packages: Path, tmp_path: Path
) -> None:
    def fail(_: object, recipe: Any, output: Path) -> object:
        raise GateError(f"{recipe.precision} fails", "", "")

    monkeypatch.setattr("edge_vos.converters.convert.Conversion.convert", fail)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["web", "-o", str(out), "--engine", str(packages)])
    assert isinstance(done.exception, GateError)
    assert "fp32 fails" in str(done.exception)
    assert not out.exists()
