"""Open sinks for results by their URIs."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_vos.errors import SinkError
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.matte import RENDERS
from edge_vos.runtime.output import JsonLines, MaskFolder, Nothing, Sink, make_folder
from edge_vos.runtime.prompting import Prompting
from edge_vos.runtime.recorder import Recorder
from edge_vos.runtime.recording import SUFFIXES, Recording
from edge_vos.runtime.window import Window

if TYPE_CHECKING:
    from edge_vos.runtime.serve import Page

__all__ = ["Sink", "open_sink", "open_sinks"]

KINDS = (
    "clip.mkv, clip.mp4, clip.avi, matte:clip.mkv, green:clip.mkv, blur:clip.mkv, masks.jsonl, "
    "a folder for palette PNGs, window, serve://127.0.0.1:8080 or none"
)
DAVIS, SERVE = "davis://", "serve://"


def is_interactive(uri: str) -> bool:
    """Return whether a sink lets a user prompt while the run goes on."""
    return uri == "window" or uri.startswith(SERVE)


def open_sinks(
    uris: Iterable[str],
    fps: float,
    size: tuple[int, int],
    *,
    overwrite: bool = False,
    controls: Controls | None = None,
) -> list[Sink]:
    """Open several sinks, or none of them: see :func:`open_sink`.

    With a window or a page comes a recorder that the user switches on and off.

    Raises:
        SinkError: if one cannot be opened, or two are the same.
    """
    prompting, painter = Prompting(controls or Controls()), Painter()
    sinks: list[Sink] = []
    asked = list(uris)
    try:
        for uri in asked:
            sink = open_sink(
                uri, fps, size, overwrite=overwrite, prompting=prompting, painter=painter
            )
            sinks.append(sink)
            if sum(other.uri == sink.uri for other in sinks) > 1:
                raise SinkError(f"The output {uri} was asked for twice", "each output once")
            if any(set(sink.files) & set(other.files) for other in sinks[:-1]):
                raise SinkError(f"The output {uri} is a file of another output", "each file once")
        if any(is_interactive(uri) for uri in asked):
            sinks.append(Recorder(prompting, fps, size, painter.paint))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def open_sink(
    uri: str,
    fps: float,
    size: tuple[int, int],
    *,
    overwrite: bool = False,
    prompting: Prompting | None = None,
    painter: Painter | None = None,
) -> Sink:
    """Open a video file, a folder of masks, JSON lines, a window, a page, or nothing.

    Args:
        uri: ``clip.mkv``, ``clip.mp4``, ``clip.avi``: the overlay; the same after ``matte:``,
            ``green:`` or ``blur:``: the alpha, the objects before green or before a blurred
            background; ``masks/`` or ``davis://masks``: palette PNGs; ``masks.jsonl``: COCO run
            lengths; ``window``; ``serve://HOST:PORT``: a page; ``none``.
        fps: nominal, of a video.
        size: height and width of the first frame.
        overwrite: replace what exists.
        prompting: what keys, mouse and buttons act on, shared by the sinks that show.
        painter: draws overlays, shared by the sinks that need one.

    Raises:
        SinkError: if it exists, cannot be written, or is of an unknown kind.
    """
    painter = painter if painter is not None else Painter()
    if uri == "none":
        return Nothing()
    if is_interactive(uri):
        prompting = prompting if prompting is not None else Prompting(Controls())
        if uri == "window":
            return Window(size, prompting, painter)
        return _open_page(uri, prompting, painter)
    scheme, colon, rest = uri.partition(":")
    if colon and scheme in RENDERS:
        path, render = Path(rest), RENDERS[scheme]
    else:
        path, render = Path(uri.removeprefix(DAVIS)), painter.paint
    suffix = path.suffix.lower()
    if scheme not in RENDERS:
        as_folder = uri.startswith(DAVIS) or uri.endswith(("/", os.sep)) or path.is_dir()
        if (as_folder or not suffix) and "://" not in uri.removeprefix(DAVIS):
            return MaskFolder(path, overwrite)
    if "://" in uri or (suffix not in SUFFIXES and (suffix != ".jsonl" or scheme in RENDERS)):
        raise SinkError(f"The output {uri!r} is of an unknown kind", KINDS)
    if path.exists() and not overwrite:
        raise SinkError(
            f"The output {path} exists", "a new path", "Add --overwrite, or remove it first"
        )
    make_folder(path.parent)
    if suffix == ".jsonl":
        return JsonLines(path)
    return Recording(path, fps, size, render, uri)


def _open_page(uri: str, prompting: Prompting, painter: Painter) -> "Page":
    from edge_vos.runtime.serve import Page

    parts = urlsplit(uri)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise SinkError(f"The page's address {uri!r} cannot be read", "serve://127.0.0.1:8080")
    return Page(host, port, prompting, painter)
