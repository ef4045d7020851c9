"""Open a source of frames by its URI."""

import glob
import os
from pathlib import Path

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.camera import CAMERA, open_camera, parse_mode
from edge_vos.runtime.sources.frame import Frame, Source
from edge_vos.runtime.sources.image_folder import IMAGE_SUFFIXES, open_images
from edge_vos.runtime.sources.picamera import PICAMERA, open_picamera
from edge_vos.runtime.sources.reconnect import Notice, ReconnectPolicy
from edge_vos.runtime.sources.span import Span
from edge_vos.runtime.sources.stream import NETWORK, open_network, without_secrets
from edge_vos.runtime.sources.video_file import open_video

__all__ = ["Frame", "Source", "open_source"]

KINDS = (
    "a video file, an animated picture, a folder of images, a glob such as 'frames/*.png', "
    "a camera (0, /dev/video0, csi://0, picamera2://0), a stream (rtsp://, http://, udp://) or "
    "synthetic://"
)


def open_source(
    uri: str,
    *,
    loop: bool = False,
    reconnect_s: float = 60.0,
    notice: Notice | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Source:
    """Open a camera, a stream, a video file, a folder or glob of images, or a synthetic scene.

    Args:
        uri: ``0``, ``/dev/video0?width=1280&height=720&fps=30&format=MJPG``,
            ``csi://0?width=1280&height=720``, ``picamera2://0``, ``rtsp://camera/stream``,
            ``http://camera/video.mjpg``, ``udp://0.0.0.0:5000``, ``clip.mp4``, ``moving.webp``,
            ``frames/``, ``frames/*.png``,
            ``synthetic://?size=480x640&objects=3&frames=300&seed=0&fps=30``.
        loop: begin again at the end of a file or folder; a synthetic scene for which no
            ``frames`` are given never ends.
        reconnect_s: how long to try to get a lost camera or stream back.
        notice: is told when it is lost and when it is back; by any thread.
        start_s: where in a file to begin, in seconds.
        end_s: where in a file to end; ``None`` is at its end.

    Raises:
        SourceError: if there is no such source, it cannot be read, or has no such part.
    """
    span = Span(start_s, end_s)
    path = Path(uri)
    if not span.is_whole and ("://" in uri or CAMERA.fullmatch(uri)):
        raise SourceError(
            f"{without_secrets(uri)} has no start and end",
            "a file or a folder of this machine",
            "Leave --start and --end out, or save it to a file first",
        )
    policy = ReconnectPolicy(reconnect_s=reconnect_s)
    if uri.startswith("synthetic://"):
        from edge_vos.synthetic.source import open_synthetic  # a camera needs no random numbers

        return open_synthetic(uri, loop)
    if camera := CAMERA.fullmatch(uri):
        mode = parse_mode(uri, camera[2] or "")
        return open_camera(uri, int(camera[1]), mode, policy, notice)
    if uri.startswith("csi://"):
        from edge_vos.runtime.sources.csi import open_csi  # only here another program is started

        return open_csi(uri, policy, notice)
    if uri.startswith(PICAMERA):
        return open_picamera(uri, policy, notice)
    if uri.startswith(NETWORK):
        return open_network(uri, policy, notice, loop)
    if "://" in uri:
        raise SourceError(f"The source {without_secrets(uri)!r} is of an unknown kind", KINDS)
    if path.is_dir():
        return _open_folder(uri, path, loop, span)
    if path.exists():
        return _open_file(uri, path, loop, span)
    if glob.has_magic(uri):
        return _open_glob(uri, loop, span)
    raise SourceError(
        f"There is no source {uri!r}",
        KINDS,
        "Check the path, or try `edge-vos segment synthetic://`",
    )


def _open_folder(uri: str, path: Path, loop: bool, span: Span) -> Source:
    try:
        entries = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise SourceError(
            f"The folder {uri!r} cannot be read ({error.strerror})", "a readable folder of images"
        ) from error
    if not entries:
        raise SourceError(
            f"The folder {uri!r} holds no images",
            f"files that end in {', '.join(IMAGE_SUFFIXES)}",
            "Give the folder that holds the frames themselves",
        )
    return open_images(uri, entries, loop, span)


def _open_glob(uri: str, loop: bool, span: Span) -> Source:
    paths = [Path(match) for match in glob.glob(uri)]
    if not paths:
        raise SourceError(f"Nothing matches {uri!r}", "a glob of images, such as 'frames/*.png'")
    if len(paths) == 1 and paths[0].suffix.lower() not in IMAGE_SUFFIXES:
        return _open_file(uri, paths[0], loop, span)
    for path in paths:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise SourceError(
                f"The glob {uri!r} matches {path}, which is not an image",
                f"files that end in {', '.join(IMAGE_SUFFIXES)}",
            )
    return open_images(uri, paths, loop, span)


def _open_file(uri: str, path: Path, loop: bool, span: Span) -> Source:
    if not os.access(path, os.R_OK):
        raise SourceError(f"The file {uri!r} may not be read", "a readable file", f"ls -l {path}")
    from edge_vos.runtime.sources.animation import is_animated, open_animation  # Pillow with it

    if is_animated(path):
        return open_animation(uri, path, loop, span)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return open_images(uri, [path], loop, span)
    return open_video(uri, str(path), path.suffix, loop, span)
