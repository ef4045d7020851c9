"""Open sinks for results by their URIs."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.window import Window
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sinks.labels import label_kinds
from edge_vos.runtime.sinks.labels.label_file import FrameFiles
from edge_vos.runtime.sinks.matte import RENDERS, cut_out
from edge_vos.runtime.sinks.output import JsonLines, MaskFolder, Nothing, Sink, make_folder
from edge_vos.runtime.sinks.output_path import OutputPath, check_apart, check_spares
from edge_vos.runtime.sinks.recorder import Recorder
from edge_vos.runtime.sinks.recording import SUFFIXES, Recording
from edge_vos.runtime.sinks.rerun_log import RerunLog
from edge_vos.runtime.sinks.video.encoders import ALPHA
from edge_vos.runtime.sinks.virtual_camera import VIRTUAL_CAMERA, open_virtual_camera
from edge_vos.runtime.sources.frame import Original

if TYPE_CHECKING:
    from edge_vos.runtime.interactive.page import Page

__all__ = ["Sink", "open_sink", "open_sinks"]

KINDS = (
    "clip.mkv, clip.mp4, clip.mov, clip.webm, clip.avi, matte:clip.mkv, green:clip.mkv, "
    f"blur:clip.mkv, masks.jsonl, session.rrd, a folder for palette PNGs, {label_kinds.KINDS}, "
    "vcam:, window, serve://127.0.0.1:8080 or none"
)
LOGS: dict[str, type[JsonLines | RerunLog]] = {".jsonl": JsonLines, ".rrd": RerunLog}
DAVIS, SERVE = "davis://", "serve://"
_CODEC = re.compile(r"(.*)\?codec=(\w*)", re.DOTALL)


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
    inputs: Iterable[Path] = (),
    original: Original | None = None,
    frame_files: FrameFiles | None = None,
    begun: Collection[str] = (),
) -> list[Sink]:
    """Open several sinks, or none of them: see :func:`open_sink`.

    With a window or a page comes a recorder that the user switches on and off.

    Args:
        uris: as those of :func:`open_sink`.
        fps: nominal, of videos.
        size: height and width of the first frame.
        overwrite: replace what exists.
        controls: of the run that a window or a page shows.
        inputs: files that the run reads, such as ``source.files``: no sink may replace them.
        original: of the source, ``source.original``: what videos take sound and more from.
        frame_files: the frames' own files, which labels name.
        begun: the URIs that a run began which now goes on: they are replaced.

    Raises:
        SinkError: if one cannot be opened, two are the same, or one would replace an input.
    """
    asked = list(uris)
    for index, uri in enumerate(asked):
        if uri in asked[:index]:
            raise SinkError(f"The output {uri} was asked for twice", "each output once")
    output_paths = _output_paths(asked)
    check_apart(output_paths)
    check_spares(output_paths, inputs)
    for output_path in output_paths:
        output_path.check_free(overwrite or output_path.uri in begun)
    interaction, painter = Interaction(controls or Controls()), Painter()
    sinks: list[Sink] = []
    try:
        for uri in asked:
            sinks.append(
                open_sink(
                    uri,
                    fps,
                    size,
                    overwrite=overwrite,
                    interaction=interaction,
                    painter=painter,
                    original=original,
                    frame_files=frame_files,
                    begun=uri in begun,
                )
            )
        if any(is_interactive(uri) for uri in asked):
            sinks.append(Recorder(interaction, fps, size, painter.paint))
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
    interaction: Interaction | None = None,
    painter: Painter | None = None,
    original: Original | None = None,
    frame_files: FrameFiles | None = None,
    begun: bool = False,
) -> Sink:
    """Open a video file, a folder of masks, JSON lines, a camera, a window, a page, or nothing.

    Args:
        uri: ``clip.mkv``, ``clip.mp4``, ``clip.mov``, ``clip.webm``, ``clip.avi``: the overlay;
            the same after ``matte:``, ``green:`` or ``blur:``: the alpha, the objects before green
            or before a blurred background; after ``matte:``, .mov and .webm hold the frame with
            its alpha; ``clip.mkv?codec=av1``: by another codec than the usual one; ``vcam:``,
            ``vcam:blur``: a camera that other programs see; ``masks/`` or ``davis://masks``:
            palette PNGs; ``masks.jsonl``: COCO run lengths; ``session.rrd``: a recording of Rerun;
            ``coco:``, ``ytvis:``, ``mots:``,
            ``cvat:``, ``yolo:`` or ``labelme:`` before a path: labels for other tools; ``window``;
            ``serve://HOST:PORT``: a page; ``none``.
        fps: nominal, of a video.
        size: height and width of the first frame.
        overwrite: replace what exists.
        interaction: what keys, mouse and buttons act on, shared by the sinks that show.
        painter: draws overlays, shared by the sinks that need one.
        original: of the source, for a video.
        frame_files: the frames' own files, which labels name.
        begun: a run that goes on began it: it is replaced.

    Raises:
        SinkError: if it exists, cannot be written, or is of an unknown kind.
    """
    painter = painter if painter is not None else Painter()
    output_path = _output_path(uri)
    if output_path is not None:
        replace = overwrite or begun
        if label_kinds.label_scheme(uri):
            output_path.check_free(replace)
            files = frame_files or FrameFiles()
            return label_kinds.open_labels(uri, output_path.path, files, begun)
        return _open_output_path(output_path, fps, size, replace, painter, original)
    if uri.startswith(VIRTUAL_CAMERA):
        return open_virtual_camera(uri, fps, size, painter.paint)
    if is_interactive(uri):
        interaction = interaction if interaction is not None else Interaction(Controls())
        if uri == "window":
            return Window(size, interaction, painter)
        return _open_page(uri, interaction, painter)
    return Nothing()


def first_output(uris: Iterable[str]) -> Path | None:
    """Return the first file or folder that sinks write to, if there is one.

    Raises:
        SinkError: if one is of an unknown kind.
    """
    output_paths = _output_paths(uris)
    return output_paths[0].path if output_paths else None


def _output_paths(uris: Iterable[str]) -> list[OutputPath]:
    return [output_path for uri in uris if (output_path := _output_path(uri)) is not None]


def _output_path(uri: str) -> OutputPath | None:
    """Return where a sink writes to; a window, a page, a camera and ``none`` write nothing."""
    if uri == "none" or is_interactive(uri) or uri.startswith(VIRTUAL_CAMERA):
        return None
    if labels := label_kinds.label_scheme(uri):
        return _label_path(uri, labels)
    scheme = _scheme(uri)
    place = uri.removeprefix(f"{scheme}:" if scheme else DAVIS)
    codec = None
    if asked := _CODEC.fullmatch(place):
        place, codec = asked[1], asked[2]
    if not place.strip():
        raise SinkError(f"The output {uri!r} has no path", KINDS)
    path = Path(place)
    suffix = path.suffix.lower()
    if not scheme:
        as_folder = uri.startswith(DAVIS) or place.endswith(("/", os.sep)) or os.path.isdir(path)
        if (as_folder or not suffix) and "://" not in place and codec is None:
            return OutputPath(uri, path, is_folder=True)
    is_log = suffix in LOGS and not scheme and codec is None
    if "://" in uri or (suffix not in SUFFIXES and not is_log):
        raise SinkError(f"The output {uri!r} is of an unknown kind", KINDS)
    return OutputPath(uri, path, is_folder=False, codec=codec)


def _label_path(uri: str, scheme: str) -> OutputPath:
    place = uri.removeprefix(f"{scheme}:")
    suffix = label_kinds.FILE_SUFFIXES.get(scheme)
    if not place.strip() or (suffix is not None and Path(place).suffix.lower() != suffix):
        raise SinkError(
            f"The output {uri!r} has no path that ends in {suffix}" if suffix is not None
            else f"The output {uri!r} has no path", label_kinds.KINDS,
        )  # fmt: skip
    return OutputPath(uri, Path(place), is_folder=suffix is None)


def _scheme(uri: str) -> str:
    """Return how a video's pictures are rendered, where the URI says so."""
    scheme, colon, _ = uri.partition(":")
    return scheme if colon and scheme in RENDERS else ""


def _open_output_path(
    output_path: OutputPath,
    fps: float,
    size: tuple[int, int],
    overwrite: bool,
    painter: Painter,
    original: Original | None,
) -> Sink:
    path, uri = output_path.path, output_path.uri
    if output_path.is_folder:
        return MaskFolder(path, overwrite)
    output_path.check_free(overwrite)
    make_folder(path.parent)
    suffix = path.suffix.lower()
    if suffix in LOGS:
        return LOGS[suffix](path)
    scheme = _scheme(uri)
    alpha = scheme == "matte" and suffix in ALPHA
    render = cut_out if alpha else RENDERS[scheme] if scheme else painter.paint
    return Recording(
        path, fps, size, render, uri, codec=output_path.codec, alpha=alpha, original=original
    )


def _open_page(uri: str, interaction: Interaction, painter: Painter) -> "Page":
    from edge_vos.runtime.interactive.page import Page

    parts = urlsplit(uri)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise SinkError(f"The page's address {uri!r} cannot be read", "serve://127.0.0.1:8080")
    return Page(host, port, interaction, painter)
