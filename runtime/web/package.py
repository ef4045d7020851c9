"""The page's engine, LiteRT.js, out of its npm packages: a certain version, its digest checked."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_vos.errors import EngineError, MissingPackageError

ENGINE_NAME, ENGINE_VERSION = "LiteRT.js", "2.5.3"
SCOPE = "@litertjs"
BUILDS = ("threaded_", "", "compat_")
"""LiteRT.js's: with threads, with one thread, and for browsers without relaxed SIMD."""


@dataclass(frozen=True)
class NpmPackage:
    """Name one version of an npm package.

    Args:
        name: inside the scope.
        sha512: of the packed file, in base64, as npm states it.
    """

    name: str
    sha512: str


PACKAGES = (
    NpmPackage(
        "core",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    ),
    NpmPackage(
        "wasm-utils",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    ),
)


def engine_files(folder: Path) -> dict[str, bytes]:
    """Read the engine as the page loads it.

    Args:
        folder: holds both packages, unpacked: ``node_modules``, or what holds that.

    Returns:
        content by path: two modules, and a script with its wasm for each build.

    Raises:
        EngineError: if a file is missing.
    """
    roots = (folder, folder / SCOPE, folder / "node_modules" / SCOPE)
    root = next((root for root in roots if (root / "core" / "dist").is_dir()), None)
    if root is None:
        raise EngineError(
            f"{folder} holds no {SCOPE}/core",
            f"a folder into which {SCOPE}/core {ENGINE_VERSION} was installed",
            f"npm install --prefix {folder} {SCOPE}/core@{ENGINE_VERSION}",
        )
    names = [
        f"litert_wasm_{build}internal.{ending}" for build in BUILDS for ending in ("js", "wasm")
    ]
    try:
        index = (root / "core/dist/index.js").read_text(encoding="utf-8")
        files = {f"wasm/{name}": (root / "core/wasm" / name).read_bytes() for name in names}
        files["wasm-utils.js"] = (root / "wasm-utils/dist/index.js").read_bytes()
    except OSError as error:
        raise EngineError(
            f"The engine in {root} is not complete: {error}",
            f"{SCOPE}/core {ENGINE_VERSION} with {SCOPE}/wasm-utils",
            f"npm install --prefix FOLDER {SCOPE}/core@{ENGINE_VERSION}, and --engine FOLDER",
        ) from error
    # A browser finds no package by its name.
    files["index.js"] = index.replace(f'"{SCOPE}/wasm-utils"', '"./wasm-utils.js"').encode()
    return files


@contextmanager
def fetched_engine() -> Iterator[Path]:
    """Fetch the engine's packages with npm into a folder that goes away.

    Raises:
        MissingPackageError: if npm is not installed.
        EngineError: if npm cannot fetch a package, or it is not the one that was tested.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPackageError(
            f"npm is not installed, which brings the page's engine {SCOPE}/core {ENGINE_VERSION}",
            "Node.js with npm, or the unpacked packages with --engine FOLDER",
            "Install it: apt install npm",
        )
    with tempfile.TemporaryDirectory(prefix="edge-vos-engine-") as text:
        folder = Path(text)
        for package in PACKAGES:
            _unpack(_pack(npm, package, folder), package, folder / package.name)
        yield folder


def _pack(npm: str, package: NpmPackage, folder: Path) -> Path:
    wanted = f"{SCOPE}/{package.name}@{ENGINE_VERSION}"
    command = [npm, "pack", wanted, "--pack-destination", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL
    )
    packed = folder / f"{SCOPE[1:]}-{package.name}-{ENGINE_VERSION}.tgz"
    if done.returncode or not packed.is_file():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise EngineError(
            f"npm could not fetch {wanted}: {said[-1] if said else 'it said nothing'}",
            "a network that reaches the npm registry, or --engine FOLDER",
            f"npm pack {wanted}",
        )
    return packed


def _unpack(packed: Path, package: NpmPackage, folder: Path) -> None:
    digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    if digest != package.sha512:
        raise EngineError(
            f"{packed.name} is not the package that was tested: its sha512 is {digest[:16]}…",
            f"{package.sha512[:16]}…",
            "Check what the npm registry in use serves: npm config get registry",
        )
    unpacked = folder.with_name(f"{folder.name}.unpacked")
    with tarfile.open(packed) as archive:
        archive.extractall(unpacked, filter="data")
    (unpacked / "package").rename(folder)
