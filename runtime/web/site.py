"""Write the page: its own code, the engine, the models, and a service worker that knows them all.

::

    FOLDER/
      index.html app.js …   the page
      sw.js                 keeps it for use offline, and isolates it so that threads can run
      site.json             what is there
      engine/               LiteRT.js
      models/NAME/          manifest.json, the two graphs and their recordings, of each bundle
      sample.mp4            a clip for a look without a camera
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from edge_vos import __version__
from edge_vos.bundle import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    PROMPT_GOLDEN_FILE,
    Bundle,
    read_bundle,
)
from edge_vos.errors import BundleError, SinkError
from edge_vos.runtime.web.package import ENGINE_NAME, ENGINE_VERSION
from edge_vos.written import written_whole

SITE_FILE, WORKER_FILE = "site.json", "sw.js"
ENGINE_FOLDER, MODELS_FOLDER, CLIP_FILE = "engine", "models", "sample.mp4"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the browser lets the page do: nothing leaves its own origin."""

_OWN_SUFFIXES = {".html", ".css", ".js", ".svg", ".png", ".webmanifest"}
_LIVE = "live"  # the page of `edge-vos live --serve` lies beside, and shares files with this one


def is_site(folder: Path) -> bool:
    """Return whether a folder holds a page that was written here."""
    return (folder / SITE_FILE).is_file() and (folder / WORKER_FILE).is_file()


def refuse_site(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a folder that must not be written, before anything is made for it.

    Raises:
        SinkError: if it exists, or with ``overwrite``, if it is no page.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise SinkError(
            f"{folder} exists", "a new or empty folder", "Name another with -o, or pass --overwrite"
        )
    if not is_site(folder):
        raise SinkError(f"{folder} is not a page", "a page to overwrite", "Name another with -o")


def read_models(paths: Sequence[Path]) -> tuple[Bundle, ...]:
    """Read the bundles for a page.

    Args:
        paths: of at least one; no two of one size.

    Raises:
        BundleError: if one is broken, for another engine, failed when it was made, holds no
            prompt head or no golden, or has another's size.
    """
    bundles = tuple(read_bundle(path) for path in paths)
    again = "edge-vos convert --target android --precision int8 --size {}x{}"
    for bundle in bundles:
        manifest = bundle.manifest
        if manifest.backend != "litert":
            raise BundleError(
                f"{bundle.path} is for {manifest.backend}, and the page's engine is LiteRT.js",
                "a bundle for litert",
                f"Convert one: {again.format(*manifest.size)}",
            )
        if manifest.gate_failed:
            raise BundleError(
                f"{bundle.path} failed its verification when it was made",
                "a bundle that passed",
                f"Convert again: {again.format(*manifest.size)}",
            )
        if manifest.prompt_head is None:
            raise BundleError(
                f"{bundle.path} has no prompt head, which the page finds objects with",
                "a bundle with one",
                f"Convert again: {again.format(*manifest.size)}",
            )
        bundle.file(GOLDEN_FILE)
        bundle.file(PROMPT_GOLDEN_FILE)
    sizes = [bundle.manifest.size for bundle in bundles]
    if len(set(sizes)) != len(sizes):
        raise BundleError(
            f"Two bundles have one size: {', '.join(f'{h}x{w}' for h, w in sizes)}",
            "one bundle for each way to hold a phone",
            "Leave one of them out",
        )
    return bundles


def write_site(
    output: Path,
    bundles: Sequence[Bundle],
    engine: Mapping[str, bytes],
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the page in one step: either all of it is there afterwards or nothing.

    The same bundles and engine give the same bytes.

    Args:
        output: the folder to make.
        bundles: as :func:`read_models` returned them.
        engine: content by path, as ``engine_files`` returned it.
        overwrite: replace a page that lies there.

    Returns:
        what ``site.json`` holds.

    Raises:
        SinkError: if the folder exists, or cannot be written.
    """
    refuse_site(output, overwrite=overwrite)
    own = _own_files()
    contents = {name: data for name, data in own.items() if name != WORKER_FILE}
    contents[CLIP_FILE] = (files("edge_vos.weights") / "calibration.mp4").read_bytes()
    contents |= {f"{ENGINE_FOLDER}/{name}": data for name, data in engine.items()}
    models = []
    for bundle in bundles:
        folder = f"{MODELS_FOLDER}/{bundle.path.name.removesuffix('.zip').removesuffix('.bundle')}"
        manifest = bundle.manifest
        model = {name: (bundle.folder / name).read_bytes() for name in _model_files(bundle)}
        contents |= {f"{folder}/{name}": data for name, data in model.items()}
        models.append(
            {
                "folder": folder,
                "name": manifest.name,
                "size": list(manifest.size),
                "precision": manifest.precision,
                "manifest_sha256": hashlib.sha256(model[MANIFEST_FILE]).hexdigest(),
            }
        )
    # The wasm of a build is kept when a browser first runs it; all else is there from the start.
    later = sorted(name for name in contents if name not in own and "/wasm/" not in name)
    digest = hashlib.sha256()
    for name, data in sorted({**contents, WORKER_FILE: own[WORKER_FILE]}.items()):
        digest.update(f"{name}\n{hashlib.sha256(data).hexdigest()}\n".encode())
    version = digest.hexdigest()[:16]
    site = {
        "version": version,
        "made_by": f"edge-vos {__version__}",
        "engine": {"name": ENGINE_NAME, "version": ENGINE_VERSION, "folder": ENGINE_FOLDER},
        "models": models,
        "clip": CLIP_FILE,
        "later": later,
    }
    contents[SITE_FILE] = (json.dumps(site, indent=2) + "\n").encode()
    first = sorted({*own, SITE_FILE} - {WORKER_FILE})
    worker = own[WORKER_FILE].decode()
    filled = {"VERSION": version, "FIRST_FILES": json.dumps(first), "PAGE_POLICY": POLICY}
    for word, value in filled.items():
        worker = worker.replace(word, value)
    contents[WORKER_FILE] = worker.encode()
    with written_whole(output, overwrite=True) as partial:
        for name, data in contents.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return site


def _model_files(bundle: Bundle) -> tuple[str, ...]:
    """Return what the page takes of a bundle."""
    entry = bundle.manifest.prompt_head
    second = () if entry is None else (entry.model_file, PROMPT_GOLDEN_FILE)
    return (MANIFEST_FILE, bundle.manifest.model_file, GOLDEN_FILE, *second)


def _own_files() -> dict[str, bytes]:
    page = files("edge_vos.runtime.web") / "page"
    return {
        entry.name: entry.read_bytes()
        for entry in sorted(page.iterdir(), key=lambda entry: entry.name)
        if PurePosixPath(entry.name).suffix in _OWN_SUFFIXES
        and PurePosixPath(entry.name).stem != _LIVE
    }
