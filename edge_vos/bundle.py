"""Read, check and write a bundle: one converted student as a folder, or as a zip of that folder.

::

    student.bundle/
      manifest.json   what is inside, how to feed it, how it was verified
      model.onnx      the engine's file
      golden.npz      inputs and outputs of eager PyTorch, to verify again on another machine
      prompt/         the engine's file of the second graph, which makes masks from boxes and clicks
      prompt-golden.npz   its inputs and outputs

The last two are missing where the second graph is. A manifest carries the sha256 of every file and
of itself, so ``read_bundle`` notices any change before an engine sees a byte. Needs only the
standard library.
"""

import hashlib
import shutil
import stat
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge_vos.errors import BundleError, SinkError, UsageError
from edge_vos.manifest import (
    MANIFEST_FILE,
    PREPROCESSING,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
    MemoryPolicy,
)
from edge_vos.manifest_json import (
    CONVERT_AGAIN,
    MAX_FILES,
    check_path,
    digest,
    parse,
    serialize,
)
from edge_vos.written import written_whole

__all__ = [
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "PREPROCESSING",
    "PROMPT_GOLDEN_FILE",
    "SCHEMA_VERSION",
    "SHIPPED_SIZES",
    "Bundle",
    "FileEntry",
    "Manifest",
    "MemoryPolicy",
    "read_bundle",
    "refuse_existing",
    "shipped_bundle_path",
    "write_bundle",
]

GOLDEN_FILE = "golden.npz"
PROMPT_GOLDEN_FILE = "prompt-golden.npz"
MAX_BUNDLE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 1 << 20
MAX_ZIP_RATIO = 100
"""Weights hardly shrink; what unpacks to more than this is meant to fill a disk."""

_COPY_AGAIN = "Copy the bundle again, or convert again: edge-vos convert --target cpu"


@dataclass(frozen=True)
class Bundle:
    """Hold a bundle that was read and checked.

    Args:
        path: the folder or zip that was named.
        folder: where the files lie. For a zip this is a temporary folder that goes when the
            ``Bundle`` does: keep the ``Bundle`` for as long as its files are needed.
    """

    path: Path
    manifest: Manifest
    folder: Path

    def file(self, name: str) -> Path:
        """Return where a file of the bundle lies.

        Raises:
            BundleError: if the manifest does not list it.
        """
        if name not in self.manifest.files:
            listed = ", ".join(self.manifest.files)
            raise BundleError(f"{self.path} holds no {name}", f"one of {listed}", CONVERT_AGAIN)
        return self.folder / name

    @property
    def model_path(self) -> Path:
        """Return the file, or folder, that the engine opens."""
        return self.folder / self.manifest.model_file

    @property
    def model_bytes(self) -> int:
        """Return the size of what the engine opens."""
        return self._bytes_of(self.manifest.model_file)

    @property
    def prompt_head_bytes(self) -> int:
        """Return the size of the second graph's file or folder; 0 where there is none."""
        entry = self.manifest.prompt_head
        return self._bytes_of(entry.model_file) if entry else 0

    def _bytes_of(self, model_file: str) -> int:
        files = self.manifest.files.items()
        inside = f"{model_file}/"
        return sum(entry.size_bytes for name, entry in files if f"{name}/".startswith(inside))

    @property
    def size_bytes(self) -> int:
        """Return the size of all files but the manifest."""
        return sum(entry.size_bytes for entry in self.manifest.files.values())

    @property
    def sha256(self) -> str:
        """Return the manifest's digest, which stands for the whole bundle."""
        return digest(self.manifest)


SHIPPED_SIZES = {"fast": (240, 432), "quality": (352, 640)}
"""The bundles that ship, all with the same weights: (height, width) of the image by name."""


def shipped_bundle_path(size: str = "quality") -> Path:
    """Return where a bundle that ships with the package lies.

    Args:
        size: a name in ``SHIPPED_SIZES``, or a size of one as HxW.

    Raises:
        UsageError: if none of that size ships.
        BundleError: if this copy of the package was packed without one, as `deploy` packs it.
    """
    by_size = {f"{height}x{width}": name for name, (height, width) in SHIPPED_SIZES.items()}
    name = by_size.get(size, size)
    if name not in SHIPPED_SIZES:
        raise UsageError(
            f"no bundle of size {size!r} ships",
            " or ".join(f"{name} ({text})" for text, name in by_size.items()),
            f"Convert one: edge-vos convert --target cpu --size {size}, and give it with --model",
        )
    height, width = SHIPPED_SIZES[name]
    path = Path(__file__).parent / "weights" / f"student-{height}x{width}.bundle"
    if path.is_dir():
        return path
    beside = Path(__file__).parents[2] / "bundles"
    there = [str(found) for found in sorted(beside.glob("*.bundle"))]
    raise BundleError(
        "This edge-vos has no bundle of its own",
        f"the path of one, such as {there[0]}" if there else "the path of one",
        f"ls {beside}",
    )


def read_bundle(path: str | Path) -> Bundle:
    """Open a bundle and check schema, shapes, paths, sizes and hashes.

    Args:
        path: a bundle's folder, or a zip of it.

    Raises:
        BundleError: if anything is not as the manifest says.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, path)
    if not path.is_file():
        raise BundleError(
            f"There is no bundle at {path}", "a bundle's folder or .zip", CONVERT_AGAIN
        )
    extracted = Path(tempfile.mkdtemp(prefix="edge-vos-bundle-"))
    try:
        _extract(path, extracted)
        bundle = _read_folder(path, extracted)
    except BaseException:
        shutil.rmtree(extracted, ignore_errors=True)
        raise
    weakref.finalize(bundle, shutil.rmtree, extracted, ignore_errors=True)
    return bundle


def write_bundle(
    path: str | Path,
    manifest: Manifest,
    files: Mapping[str, bytes | Path],
    *,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle in one step: either all of it is there afterwards or nothing.

    The same manifest and files give the same bytes.

    Args:
        path: the folder to make; with the ending ``.zip`` a zip file.
        manifest: what to write; its ``files`` are filled in.
        files: content, or a file to copy, by path inside the bundle.
        overwrite: replace a bundle that lies there already.

    Raises:
        SinkError: if the path exists, or cannot be written.
        BundleError: if the manifest does not describe a valid bundle.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    contents = {
        name: data if isinstance(data, bytes) else data.read_bytes()
        for name, data in sorted(files.items())
    }
    manifest = replace(
        manifest,
        files={
            name: FileEntry(hashlib.sha256(data).hexdigest(), len(data))
            for name, data in contents.items()
        },
    )
    text = serialize(manifest)
    _parse(text, path)
    with written_whole(path, overwrite=overwrite) as partial:
        if path.suffix == ".zip":
            _write_zip(partial, {MANIFEST_FILE: text, **contents})
        else:
            partial.mkdir()
            for name, data in {MANIFEST_FILE: text, **contents}.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(data)
    return read_bundle(path)


def refuse_existing(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that exists; with ``overwrite``, only one that is not a bundle.

    Raises:
        SinkError: if there is something that must not be replaced.
    """
    if not path.exists():
        return
    if not overwrite:
        raise SinkError(f"{path} exists", "a new path", "Name another with -o, or pass --overwrite")
    if not (path / MANIFEST_FILE).is_file() and not zipfile.is_zipfile(path):
        raise SinkError(f"{path} is not a bundle", "a bundle to overwrite", "Name another with -o")


def _write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def _extract(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _zip_entries(archive, path)
            for name, entry in entries.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise BundleError(
            f"{path} cannot be unpacked: {error}", "a bundle's folder or .zip", _COPY_AGAIN
        ) from error


def _zip_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's files by path inside the bundle; nothing is unpacked before this."""
    # Not is_dir(), which stumbles over a nameless member.
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or total > MAX_BUNDLE_BYTES:
        raise BundleError(
            f"{path} holds {len(members)} files of {total} bytes",
            f"at most {MAX_FILES} files and {MAX_BUNDLE_BYTES} bytes",
            _COPY_AGAIN,
        )
    packed = sum(member.compress_size for member in members)
    if total > MAX_ZIP_RATIO * max(1, packed):
        raise BundleError(
            f"{path} unpacks from {packed} to {total} bytes",
            f"at most {MAX_ZIP_RATIO} times its size",
            _COPY_AGAIN,
        )
    entries: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        check_path(member.filename)
        if member.filename in entries or stat.S_ISLNK(member.external_attr >> 16):
            raise BundleError(
                f"{path} holds {member.filename} twice or as a link", "plain files", _COPY_AGAIN
            )
        entries[member.filename] = member
    # `zip -r x.zip student.bundle` puts the folder's own name in front.
    first = {name.split("/", 1)[0] for name in entries}
    if MANIFEST_FILE not in entries and len(first) == 1:
        entries = {name.split("/", 1)[-1]: member for name, member in entries.items()}
    return entries


def _read_folder(path: Path, folder: Path) -> Bundle:
    manifest_path = folder / MANIFEST_FILE
    if not manifest_path.is_file():
        raise BundleError(f"{path} holds no {MANIFEST_FILE}", "a bundle's folder", CONVERT_AGAIN)
    try:
        size_bytes = manifest_path.stat().st_size
        if size_bytes > MAX_MANIFEST_BYTES:
            raise BundleError(
                f"{MANIFEST_FILE} of {path} has {size_bytes} bytes",
                f"at most {MAX_MANIFEST_BYTES}",
                _COPY_AGAIN,
            )
        manifest = _parse(manifest_path.read_bytes(), path)
        for name, entry in manifest.files.items():
            _check_file(path, folder, name, entry)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}", "files that can be read", _COPY_AGAIN
        ) from error
    return Bundle(path, manifest, folder)


def _check_file(path: Path, folder: Path, name: str, entry: FileEntry) -> None:
    file = folder / name
    if not file.is_file():
        raise BundleError(f"{name} is missing from {path}", "every listed file", _COPY_AGAIN)
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{name} leads out of {path}", "files inside the bundle", _COPY_AGAIN)
    size_bytes = file.stat().st_size
    if size_bytes != entry.size_bytes:
        raise BundleError(
            f"{name} of {path} has {size_bytes} bytes", f"{entry.size_bytes} bytes", _COPY_AGAIN
        )
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if sha256 != entry.sha256:
        raise BundleError(f"{name} of {path} has the sha256 {sha256}", entry.sha256, _COPY_AGAIN)


def _parse(text: bytes, path: Path) -> Manifest:
    try:
        return parse(text)
    except BundleError as error:
        raise BundleError(
            f"{MANIFEST_FILE} of {path}: {error.what}", error.expected, error.next_step
        ) from error
