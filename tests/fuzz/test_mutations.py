"""A bundle that was changed anywhere is refused by name, or says the same; nothing else happens.

Some 10,000 changes, the same ones every time.
"""

import hashlib
import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_vos.bundle import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    Bundle,
    FileEntry,
    Manifest,
    read_bundle,
    write_bundle,
)
from edge_vos.converters.verify.golden import run_script
from edge_vos.errors import BundleError
from edge_vos.manifest_json import parse, serialize
from edge_vos.runtime.golden import Golden, Script
from edge_vos.runtime.model import LoadedModel
from tests.fuzz.mutation import change_one, copied

SIGNED, UNSIGNED, ZIPS, FILES, GOLDENS = 3500, 1500, 2500, 1500, 1000
ODD = (None, True, -1, 0, 1.5, 1e300, 2**70, "", "..", "x" * 99, [], {}, [[]], "\ud800")
EVIL = ("../evil", "/evil", "a/../../evil", "C:\\evil", "a//b", "./a", "model.onnx", "", "a\0b")


def test_they_are_ten_thousand() -> None:
    assert SIGNED + UNSIGNED + ZIPS + FILES + GOLDENS >= 10_000


@pytest.fixture
def bundle(tmp_path: Path, tiny_manifest: Manifest) -> Bundle:
    contents: dict[str, bytes | Path] = {"model/a.bin": b"model" * 9, "model/b": b"weights"}
    manifest = replace(tiny_manifest, model_file="model")
    return write_bundle(tmp_path / "a.bundle", manifest, contents)


@pytest.fixture(autouse=True)
def _nothing_else_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that no file appears outside the bundles, temporary ones included."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    around = sorted(path.name for path in tmp_path.parent.iterdir())
    yield
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == around
    assert {path.name for path in tmp_path.iterdir()} <= {"temporary", "a.bundle", "a.zip", "b.zip"}


def _refused(read: Callable[[], Bundle], check: Callable[[Bundle], bool]) -> bool:
    """Tell whether reading is refused by name; what is not refused must pass the check."""
    try:
        opened = read()
    except BundleError:
        return True
    assert check(opened)
    return False


def _sign(data: dict[str, Any]) -> bytes:
    """Serialize with a digest that fits, as somebody who means it would."""
    rest = {key: value for key, value in data.items() if key != "manifest_sha256"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**rest, "manifest_sha256": hashlib.sha256(canonical).hexdigest()}).encode()


def _mutated(data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Change, remove, copy or double one value anywhere in the manifest."""
    changed: dict[str, Any] = copied(data)
    change_one(list(_places(changed)), ODD, rng)
    return changed


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def test_manifests_that_are_signed(bundle: Bundle) -> None:
    rng, refused = random.Random(0), 0
    data = json.loads((bundle.folder / MANIFEST_FILE).read_bytes())
    for _ in range(SIGNED):
        text = _sign(_mutated(data, rng))
        (bundle.folder / MANIFEST_FILE).write_bytes(text)
        said = json.loads(text)
        # Somebody said so and signed it: then it says just that.
        refused += _refused(
            lambda: read_bundle(bundle.path),
            lambda opened, said=said: json.loads(serialize(opened.manifest)) == said,  # type: ignore[misc]
        )
    assert refused > SIGNED / 2


def test_manifests_that_are_not_signed(bundle: Bundle) -> None:
    rng, refused = random.Random(1), 0
    whole = (bundle.folder / MANIFEST_FILE).read_bytes()
    data, original = json.loads(whole), parse(whole)
    for index in range(UNSIGNED):
        text = bytearray(json.dumps(_mutated(data, rng)).encode() if index % 2 else whole)
        if not index % 2:
            _scramble(text, rng)
        (bundle.folder / MANIFEST_FILE).write_bytes(text)
        refused += _refused(
            lambda: read_bundle(bundle.path), lambda opened: opened.manifest == original
        )
    assert refused > UNSIGNED / 2


def _scramble(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips(bundle: Bundle, tmp_path: Path) -> None:
    rng, refused, path = random.Random(2), 0, tmp_path / "b.zip"
    contents = {
        str(file.relative_to(bundle.folder)): file.read_bytes()
        for file in sorted(bundle.folder.rglob("*"))
        if file.is_file()
    }
    write_bundle(tmp_path / "a.zip", bundle.manifest, _files(bundle))
    whole = (tmp_path / "a.zip").read_bytes()
    for index in range(ZIPS):
        if index % 3:
            data = bytearray(whole)
            _scramble(data, rng)
            path.write_bytes(data)
        else:
            _write_evil(path, contents, rng)
        refused += _refused(
            lambda: read_bundle(path), lambda opened: opened.manifest == bundle.manifest
        )
    assert refused > ZIPS / 2


def _files(bundle: Bundle) -> dict[str, bytes | Path]:
    return {name: bundle.file(name) for name in bundle.manifest.files}


def _write_evil(path: Path, contents: dict[str, bytes], rng: random.Random) -> None:
    """Write a zip in which an entry is renamed, added twice, left out or a link."""
    with zipfile.ZipFile(path, "w") as archive:
        victim, action = rng.choice(sorted(contents)), rng.randrange(3)
        for name, data in contents.items():
            entry = zipfile.ZipInfo(rng.choice(EVIL) if (name, action) == (victim, 0) else name)
            if (name, action) == (victim, 1):
                entry.external_attr = 0o120777 << 16
            if (name, action) != (victim, 2):
                archive.writestr(entry, data)
        if rng.random() < 0.3:
            archive.writestr(zipfile.ZipInfo(rng.choice(EVIL) or "x"), b"evil")


def test_files(bundle: Bundle, tmp_path: Path) -> None:
    rng, refused = random.Random(3), 0
    names = sorted(bundle.manifest.files)
    for _ in range(FILES):
        file = bundle.file(rng.choice(names))
        kept, action = file.read_bytes(), rng.randrange(5)
        data = bytearray(kept)
        if action < 2:
            _scramble(data, rng)
            file.write_bytes(data)
        elif action == 2:
            file.write_bytes(kept + bytes([rng.randrange(256)]))
        else:
            file.unlink()
            if action == 3:
                file.mkdir()
            elif rng.random() < 0.5:
                file.symlink_to("/etc/hostname")
        refused += _refused(
            lambda: read_bundle(bundle.path), lambda opened: opened.manifest == bundle.manifest
        )
        if file.is_dir():
            shutil.rmtree(file)
        file.unlink(missing_ok=True)
        file.write_bytes(kept)
    assert refused > FILES * 0.9


def test_goldens(tmp_path: Path, tiny_model: LoadedModel) -> None:
    """Goldens whose hash fits what they hold, whatever that is."""
    manifest, rng, refused = tiny_model.manifest, random.Random(4), 0
    golden = run_script(tiny_model.runner, manifest.graph, _script(manifest)).to_bytes()
    path = tmp_path / "a.bundle"
    bundle = write_bundle(path, manifest, {"model.onnx": b"", GOLDEN_FILE: golden})
    whole = Golden.load(bundle).to_bytes()
    for _ in range(GOLDENS):
        data = bytearray(golden)
        _scramble(data, rng)
        entry = FileEntry(hashlib.sha256(data).hexdigest(), len(data))
        files = {**bundle.manifest.files, GOLDEN_FILE: entry}
        (path / GOLDEN_FILE).write_bytes(data)
        changed = replace(bundle, manifest=replace(bundle.manifest, files=files))
        try:
            found = Golden.load(changed).to_bytes()
        except BundleError:
            refused += 1
            continue
        assert found == whole
    assert refused > GOLDENS / 2


def _script(manifest: Manifest) -> Script:
    prompt = np.zeros((1, *manifest.shape("prompt")[1:]), np.float32)
    prompt[0, 1, 2:8, 2:10] = 1.0
    flags = np.zeros((1, manifest.channels), np.float32)
    flags[0, :2] = 1.0
    writes = np.ones((1, manifest.slots), np.bool_)
    image = np.random.default_rng(0).integers(0, 256, (1, 3, *manifest.size), np.uint8)
    return Script(image[:, :, ::16, ::16], prompt, flags, flags, writes)
