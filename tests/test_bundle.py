"""A bundle is written whole or not at all, and read only when it is what its manifest says."""

import gc
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_vos.bundle import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    SHIPPED_SIZES,
    Bundle,
    FileEntry,
    Manifest,
    read_bundle,
    shipped_bundle_path,
    write_bundle,
)
from edge_vos.errors import BundleError, SinkError, UsageError
from edge_vos.manifest_json import MAX_FILES, check_path, digest, parse, serialize

FILES: dict[str, bytes | Path] = {"model.onnx": b"model" * 100, "extra/notes.txt": b"notes"}


@pytest.fixture
def bundle(tmp_path: Path, tiny_manifest: Manifest) -> Bundle:
    return write_bundle(tmp_path / "a.bundle", tiny_manifest, FILES)


def _sign(data: dict[str, Any]) -> bytes:
    """Serialize a changed manifest with a digest that fits, as somebody who means it would."""
    rest = {key: value for key, value in data.items() if key != "manifest_sha256"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return json.dumps({**rest, "manifest_sha256": _sha256(canonical.encode())}).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _data(bundle: Bundle) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((bundle.folder / MANIFEST_FILE).read_bytes())
    return data


def _zipped(bundle: Bundle, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.folder.rglob("*")):
            archive.write(file, prefix + str(file.relative_to(bundle.folder)))
    return path


def test_what_is_written_is_read_again(bundle: Bundle, tiny_manifest: Manifest) -> None:
    assert read_bundle(bundle.path) == bundle
    assert replace(bundle.manifest, files={}) == tiny_manifest
    assert bundle.manifest.files["model.onnx"] == FileEntry(_sha256(b"model" * 100), 500)
    assert bundle.file("extra/notes.txt").read_bytes() == b"notes"
    assert bundle.size_bytes == 505
    assert bundle.sha256 == digest(bundle.manifest) == _data(bundle)["manifest_sha256"]


def test_a_model_may_be_a_folder(tmp_path: Path, tiny_manifest: Manifest) -> None:
    files: dict[str, bytes | Path] = {
        "model.mlpackage/Manifest.json": b"{}",
        "model.mlpackage/Data/weights.bin": b"weights",
        "golden.npz": b"golden",
    }
    manifest = replace(tiny_manifest, model_file="model.mlpackage")
    write_bundle(tmp_path / "b.zip", manifest, files)
    bundle = read_bundle(tmp_path / "b.zip")
    assert bundle.model_path.is_dir()
    assert (bundle.model_path / "Data" / "weights.bin").read_bytes() == b"weights"
    assert (bundle.model_bytes, bundle.size_bytes) == (9, 15)


@pytest.mark.parametrize(
    ("report", "verdict", "failed"),
    [
        ({"executed": True, "passed": True}, "passed", False),
        ({"executed": True, "passed": False}, "FAILED", True),
        ({"executed": False, "passed": False, "failures": ["x"]}, "FAILED", True),
        ({"executed": False, "passed": False, "failures": []}, "NOT EXECUTED", False),
        ({"executed": False, "passed": False}, "NOT EXECUTED", False),
    ],
)
def test_only_what_was_executed_has_passed(
    tiny_manifest: Manifest, report: dict[str, Any], verdict: str, failed: bool
) -> None:
    manifest = replace(tiny_manifest, report=report)
    assert manifest.verdict == verdict
    assert manifest.gate_failed is failed
    assert manifest.gate_passed is (verdict == "passed")


def test_a_manifest_survives_its_bytes(bundle: Bundle) -> None:
    assert parse(serialize(bundle.manifest)) == bundle.manifest


def test_a_file_may_be_given_by_its_path(tmp_path: Path, tiny_manifest: Manifest) -> None:
    (tmp_path / "model").write_bytes(b"model" * 100)
    files = {**FILES, "model.onnx": tmp_path / "model"}
    assert write_bundle(tmp_path / "b.bundle", tiny_manifest, files).size_bytes == 505


@pytest.mark.parametrize("name", ["b.bundle", "b.zip"])
def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, tiny_manifest: Manifest, name: str
) -> None:
    def written(folder: str) -> dict[str, bytes]:
        path = write_bundle(tmp_path / folder / name, tiny_manifest, FILES).path
        files = path.rglob("*") if path.is_dir() else [path]
        return {file.name: file.read_bytes() for file in files if file.is_file()}

    assert written("one") == written("two")


@pytest.mark.parametrize("prefix", ["", "a.bundle/"])
def test_a_zip_is_read_and_its_folder_goes_with_it(
    bundle: Bundle, tmp_path: Path, prefix: str
) -> None:
    opened = read_bundle(_zipped(bundle, tmp_path / "a.zip", prefix))
    folder = opened.folder
    assert opened.manifest == bundle.manifest
    assert opened.file("model.onnx").read_bytes() == FILES["model.onnx"]
    del opened
    gc.collect()
    assert not folder.exists()


def test_an_unknown_file_is_refused_by_name(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"holds no other\.bin.*model\.onnx"):
        bundle.file("other.bin")


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ("fast", "student-240x432.bundle"),
        ("quality", "student-352x640.bundle"),
        ("352x640", "student-352x640.bundle"),
    ],
)
def test_two_sizes_ship(size: str, name: str) -> None:
    path = shipped_bundle_path(size)
    assert path.parts[-3:] == ("edge_vos", "weights", name)
    assert read_bundle(path).manifest.size == SHIPPED_SIZES.get(size, (352, 640))


def test_both_sizes_have_the_same_weights() -> None:
    manifests = [read_bundle(shipped_bundle_path(size)).manifest for size in SHIPPED_SIZES]
    assert len({manifest.weights_sha256 for manifest in manifests}) == 1


def test_a_size_that_does_not_ship_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'128x128'.*fast \(240x432\).*--size 128x128"):
        shipped_bundle_path("128x128")


# Writing


def test_an_existing_path_is_refused(bundle: Bundle, tiny_manifest: Manifest) -> None:
    with pytest.raises(SinkError, match=r"a\.bundle exists.*--overwrite"):
        write_bundle(bundle.path, tiny_manifest, FILES)


@pytest.mark.parametrize("name", ["a.bundle", "a.zip"])
def test_overwrite_replaces_a_bundle(tmp_path: Path, tiny_manifest: Manifest, name: str) -> None:
    write_bundle(tmp_path / name, tiny_manifest, FILES)
    changed = replace(tiny_manifest, macs=2)
    again = write_bundle(tmp_path / name, changed, {"model.onnx": b"2"}, overwrite=True)
    assert read_bundle(tmp_path / name).manifest == again.manifest
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_overwrite_refuses_what_is_no_bundle(tmp_path: Path, tiny_manifest: Manifest) -> None:
    (tmp_path / "precious").write_text("thesis")
    for path in (tmp_path, tmp_path / "precious"):
        with pytest.raises(SinkError, match="is not a bundle"):
            write_bundle(path, tiny_manifest, FILES, overwrite=True)
    assert (tmp_path / "precious").read_text() == "thesis"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failing_write_leaves_all_as_it_was(
    tmp_path: Path, tiny_manifest: Manifest, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    path = tmp_path / "a.bundle"
    if overwrite:
        write_bundle(path, tiny_manifest, FILES)
    before = sorted(tmp_path.rglob("*"))
    original = Path.write_bytes

    def full_disk(self: Path, data: bytes) -> int:
        if self.name == "model.onnx":
            raise OSError(28, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(SinkError, match="No space left"):
        write_bundle(path, tiny_manifest, FILES, overwrite=overwrite)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_written_where_no_folder_can_be(tmp_path: Path, tiny_manifest: Manifest) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="Cannot write"):
        write_bundle(tmp_path / "file" / "a.bundle", tiny_manifest, FILES)


def test_a_manifest_that_could_not_be_read_is_not_written(
    tmp_path: Path, tiny_manifest: Manifest
) -> None:
    with pytest.raises(BundleError, match="size is"):
        write_bundle(tmp_path / "a.bundle", replace(tiny_manifest, size=(65, 96)), FILES)
    with pytest.raises(BundleError, match="not inside the bundle"):
        write_bundle(tmp_path / "a.bundle", tiny_manifest, {**FILES, "../evil": b""})
    with pytest.raises(BundleError, match="lists itself"):
        write_bundle(tmp_path / "a.bundle", tiny_manifest, {**FILES, MANIFEST_FILE: b""})
    assert list(tmp_path.iterdir()) == []


# Reading what was tampered with


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="There is no bundle at"):
        read_bundle(tmp_path / "none.bundle")
    with pytest.raises(BundleError, match=r"holds no manifest\.json"):
        read_bundle(tmp_path)


def test_a_changed_file_is_refused(bundle: Bundle) -> None:
    bundle.file("model.onnx").write_bytes(b"MODEL" * 100)
    with pytest.raises(BundleError, match=r"model\.onnx .* has the sha256"):
        read_bundle(bundle.path)


def test_a_file_of_another_size_is_refused(bundle: Bundle) -> None:
    bundle.file("model.onnx").write_bytes(b"model")
    with pytest.raises(BundleError, match=r"model\.onnx .* has 5 bytes\. Expected: 500 bytes"):
        read_bundle(bundle.path)


def test_a_missing_file_is_refused(bundle: Bundle) -> None:
    bundle.file("model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_bundle(bundle.path)


def test_a_link_out_of_the_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    shutil.move(bundle.file("model.onnx"), tmp_path / "outside")
    bundle.file("model.onnx").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match=r"model\.onnx leads out of"):
        read_bundle(bundle.path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(bundle: Bundle) -> None:
    bundle.file("model.onnx").chmod(0)
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    "path",
    ["../a", "/a", "a/../../b", "a//b", "./a", "", ".", "..", "a\\..\\b", "c:/a", "a\0", " a"],
)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="is not inside the bundle"):
        check_path(path)


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        node: Any = data
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


def _swap_inputs(data: dict[str, Any]) -> None:
    data["inputs"][0], data["inputs"][1] = data["inputs"][1], data["inputs"][0]


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "schema version": (_set("schema_version", value=3), "schema version 3.*version 1 or 2"),
    "older schema version": (_set("schema_version", value=1), "does not know prompt_head"),
    "schema version true": (_set("schema_version", value=True), "schema version True"),
    "missing field": (lambda data: data.pop("macs"), "lacks or does not know macs"),
    "unknown field": (_set("secret", value=1), "lacks or does not know secret"),
    "name": (_set("name", value="../x"), "name is '../x'"),
    "wrong type": (_set("parameters", value="many"), "parameters is 'many'"),
    "negative": (_set("macs", value=-1), "macs is -1"),
    "shape": (_set("inputs", 1, "shape", 1, value=6), r"prompted is \(1, 5, 1, 1\)"),
    "shape rank": (_set("inputs", 0, "shape", value=[1, 3]), r"image is float32 \(1, 3\)"),
    "shape huge": (_set("inputs", 0, "shape", 3, value=1 << 40), "shape is"),
    "dtype": (_set("outputs", 0, "dtype", value="int8"), "probability is int8"),
    "order": (_swap_inputs, "tensors"),
    "size": (_set("size", value=[65, 96]), r"size is \[65, 96\]"),
    "another size": (_set("size", value=[80, 96]), r"image is \(1, 3, 64, 96\)"),
    "channels": (_set("inputs", 1, "shape", 1, value=1), "1 channels"),
    "slots": (_set("inputs", 6, "shape", 0, value=1), "1 memory slots"),
    "channel order": (_set("preprocessing", "layout", value="BGR"), "preprocessing.*BGR"),
    "memory every": (_set("memory", "mem_every", value=0), "mem_every is 0"),
    "memory confidence": (_set("memory", "write_confidence", value=2), "write_confidence is 2"),
    "model file": (_set("model_file", value="other.onnx"), "model_file 'other.onnx'"),
    "path": (_set("files", "../x", value={"sha256": "0" * 64, "size_bytes": 0}), r"'\.\./x'"),
    "hash": (_set("files", "model.onnx", "sha256", value="0"), "sha256 is '0'"),
    "too many files": (
        lambda data: data["files"].update(
            {f"f{i}": {"sha256": "0" * 64, "size_bytes": 0} for i in range(MAX_FILES)}
        ),
        "files. Expected: at most",
    ),
    "tool": (_set("tools", "torch", value=2), "torch is 2"),
    "report": (_set("report", value={}), "executed is None"),
    "report type": (_set("report", "passed", value="yes"), "passed is 'yes'"),
    "passed unseen": (_set("report", "executed", value=False), "passed, but not executed"),
    "model path": (_set("model_file", value="../model.onnx"), "not inside the bundle"),
    "part of a name": (_set("model_file", value="model"), "model_file 'model'"),
}


def _is_refused(bundle: Bundle, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = _data(bundle)
    change(data)
    (bundle.folder / MANIFEST_FILE).write_bytes(_sign(data))
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle.path)


@pytest.mark.parametrize("what", TAMPERED)
def test_a_signed_manifest_that_is_wrong_is_refused_by_name(bundle: Bundle, what: str) -> None:
    _is_refused(bundle, *TAMPERED[what])


TAMPERED_HEAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no object": (_set("prompt_head", value=[]), "prompt_head is"),
    "unknown field": (_set("prompt_head", "secret", value=1), "does not know secret"),
    "missing field": (lambda data: data["prompt_head"].pop("macs"), "lacks or does not know macs"),
    "size": (_set("prompt_head", "size", value=[48, 96]), r"size is \[48, 96\].*multiples of 32"),
    "path": (_set("prompt_head", "model_file", value="../x"), "not inside the bundle"),
    "file": (_set("prompt_head", "model_file", value="prompt/x"), "model_file 'prompt/x'"),
    "one file": (_set("prompt_head", "model_file", value="model.onnx"), "share 'model.onnx'"),
    "passed unseen": (_set("prompt_head", "report", "executed", value=False), "not executed"),
    "weights": (_set("prompt_head", "weights_sha256", value=""), "weights_sha256 is ''"),
    "count": (_set("prompt_head", "macs", value=-1), "macs is -1"),
}


@pytest.mark.parametrize("what", TAMPERED_HEAD)
def test_a_signed_prompt_head_that_is_wrong_is_refused_by_name(
    prompted_bundle: Bundle, what: str
) -> None:
    _is_refused(prompted_bundle, *TAMPERED_HEAD[what])


def test_a_prompt_head_is_read_again(prompted_bundle: Bundle, prompted_manifest: Manifest) -> None:
    read = read_bundle(prompted_bundle.path)
    assert read.manifest.prompt_head == prompted_manifest.prompt_head
    assert read.manifest.schema_version == 2
    files = read.manifest.files
    assert read.prompt_head_bytes == files["prompt/model.onnx"].size_bytes
    assert read.model_bytes == files["model.onnx"].size_bytes
    assert read.manifest.gate_passed


def test_a_changed_prompt_head_is_refused(prompted_bundle: Bundle) -> None:
    file = prompted_bundle.folder / "prompt" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"prompt/model\.onnx of .* sha256"):
        read_bundle(prompted_bundle.path)


def test_a_bundle_is_as_good_as_the_worse_of_its_graphs(prompted_manifest: Manifest) -> None:
    head = prompted_manifest.prompt_head
    assert head is not None
    for report, verdict in (
        ({"executed": True, "passed": True}, "passed"),
        ({"executed": True, "passed": False}, "FAILED"),
        ({"executed": False, "passed": False}, "NOT EXECUTED"),
        ({"executed": False, "passed": False, "failures": ["it is off"]}, "FAILED"),
    ):
        manifest = replace(prompted_manifest, prompt_head=replace(head, report=report))
        assert manifest.verdict == verdict
        assert manifest.gate_failed == (verdict == "FAILED")


def test_a_bundle_of_version_1_still_opens(tmp_path: Path, tiny_manifest: Manifest) -> None:
    bundle = write_bundle(tmp_path / "old.bundle", replace(tiny_manifest, schema_version=1), FILES)
    data = _data(bundle)
    assert data["schema_version"] == 1
    assert "prompt_head" not in data
    read = read_bundle(bundle.path)
    assert read.manifest.prompt_head is None
    assert read.prompt_head_bytes == 0
    assert read.sha256 == data["manifest_sha256"]


def test_a_manifest_of_version_1_takes_no_prompt_head(
    tmp_path: Path, prompted_manifest: Manifest
) -> None:
    old = replace(prompted_manifest, schema_version=1)
    with pytest.raises(BundleError, match="schema version 1 with prompt_head"):
        write_bundle(tmp_path / "old.bundle", old, FILES)
    assert not (tmp_path / "old.bundle").exists()


def test_a_manifest_that_was_edited_is_refused(bundle: Bundle) -> None:
    data = _data(bundle)
    data["report"]["passed"] = False
    (bundle.folder / MANIFEST_FILE).write_text(json.dumps(data))
    with pytest.raises(BundleError, match="manifest_sha256"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut", "list", "null", "nan", "bytes", "deep", "long number"],
)
def test_a_manifest_that_is_no_object_of_json_is_refused(bundle: Bundle, text: bytes) -> None:
    (bundle.folder / MANIFEST_FILE).write_bytes(text)
    with pytest.raises(BundleError, match=r"manifest\.json of"):
        read_bundle(bundle.path)


def test_a_manifest_that_is_too_large_is_refused(bundle: Bundle) -> None:
    (bundle.folder / MANIFEST_FILE).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="at most"):
        read_bundle(bundle.path)


# Zips that mean harm


def _evil(name: str) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, b"evil")


def _link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


def _many(archive: zipfile.ZipFile) -> None:
    for i in range(MAX_FILES + 1):
        archive.writestr(f"file{i}", b"")


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("bomb", b"")
    archive.getinfo("bomb").file_size = 1 << 40


def _packed(archive: zipfile.ZipFile) -> None:
    archive.writestr("zeros", bytes(1 << 20), zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (_evil("../evil"), "not inside the bundle"),
        (_evil("/evil"), "not inside the bundle"),
        (_evil("extra/../../evil"), "not inside the bundle"),
        (_link, "as a link"),
        (_many, "at most"),
        (_bomb, "at most"),
        (_packed, "at most 100 times its size"),
    ],
    ids=["up", "absolute", "up inside", "link", "many", "bomb", "ratio"],
)
def test_a_zip_that_means_harm_is_refused(
    bundle: Bundle, tmp_path: Path, add: Callable[[zipfile.ZipFile], None], message: str
) -> None:
    path = _zipped(bundle, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(BundleError, match=message):
        read_bundle(path)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    with pytest.raises(BundleError, match="cannot be unpacked"):
        read_bundle(tmp_path / "a.zip")
