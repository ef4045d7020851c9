"""Open sinks for results by their URIs."""

import os
from collections.abc import Iterable
from pathlib import Path

from edge_vos.errors import SinkError
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.output import JsonLines, MaskFolder, Nothing, Sink, make_folder
from edge_vos.runtime.recording import CODECS, Recording
from edge_vos.runtime.window import Window

__all__ = ["Sink", "open_sink", "open_sinks"]

KINDS = "clip.mp4, clip.mkv, clip.avi, masks.jsonl, a folder for palette PNGs, window or none"
DAVIS = "davis://"


def open_sinks(
    uris: Iterable[str],
    fps: float,
    size: tuple[int, int],
    *,
    overwrite: bool = False,
    display: bool = True,
    controls: Controls | None = None,
) -> list[Sink]:
    """Open several sinks, or none of them: see :func:`open_sink`.

    Raises:
        SinkError: if one cannot be opened, or two are the same.
    """
    painter = Painter()
    sinks: list[Sink] = []
    try:
        for uri in uris:
            sink = open_sink(
                uri,
                fps,
                size,
                overwrite=overwrite,
                display=display,
                controls=controls,
                painter=painter,
            )
            sinks.append(sink)
            if sum(other.uri == sink.uri for other in sinks) > 1:
                raise SinkError(f"The output {uri} was asked for twice", "each output once")
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
    display: bool = True,
    controls: Controls | None = None,
    painter: Painter | None = None,
) -> Sink:
    """Open a video file, a folder of masks, JSON lines, a window, or nothing.

    Args:
        uri: ``clip.mp4``, ``clip.mkv``, ``clip.avi``: the overlay; ``masks/`` or
            ``davis://masks``: palette PNGs; ``masks.jsonl``: COCO run lengths; ``window``;
            ``none``.
        fps: of a video.
        size: height and width of the frames.
        overwrite: replace what exists.
        display: whether this machine can open a window.
        controls: what a window's keys and mouse act on.
        painter: draws overlays, shared by the sinks that need one.

    Raises:
        SinkError: if it exists, cannot be written, or is of an unknown kind.
    """
    painter = painter if painter is not None else Painter()
    if uri == "none":
        return Nothing()
    if uri == "window":
        if not display:
            raise SinkError(
                "No window can be opened: there is no display",
                "a desktop session",
                "Run it with --headless, and record with `--record clip.mkv`",
            )
        return Window(size, controls if controls is not None else Controls(), painter)
    path = Path(uri.removeprefix(DAVIS))
    suffix = path.suffix.lower()
    as_folder = uri.startswith(DAVIS) or uri.endswith(("/", os.sep)) or path.is_dir()
    if as_folder or not suffix:
        if "://" in uri.removeprefix(DAVIS):
            raise SinkError(f"The output {uri!r} is of an unknown kind", KINDS)
        return MaskFolder(path, overwrite)
    if (suffix not in CODECS and suffix != ".jsonl") or "://" in uri:
        raise SinkError(f"The output {uri!r} is of an unknown kind", KINDS)
    if path.exists() and not overwrite:
        raise SinkError(
            f"The output {path} exists", "a new path", "Add --overwrite, or remove it first"
        )
    make_folder(path.parent)
    return JsonLines(path) if suffix == ".jsonl" else Recording(path, fps, size, painter)
