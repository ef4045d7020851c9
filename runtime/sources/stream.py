"""Cameras behind a network: `rtsp://`, `http://`, `udp://`."""

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import cv2

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.frame import Source
from edge_vos.runtime.sources.reconnect import LiveFeed, Notice, ReconnectPolicy, live_source
from edge_vos.runtime.sources.video_file import FALLBACK_FPS, open_video

NETWORK = ("rtsp://", "rtsps://", "http://", "https://", "udp://")
_OPEN_MS = 5000
_MOST_FRAMES = 10**9  # FFmpeg announces nonsense for what has no end


def open_network(
    uri: str, policy: ReconnectPolicy, notice: Notice | None = None, loop: bool = False
) -> Source:
    """Open a camera's stream, MJPEG or RTSP, or a video file on a server.

    Args:
        uri: ``rtsp://camera/stream``, ``http://camera/video.mjpg``, ``http://host/clip.mp4``,
            ``udp://0.0.0.0:5000``.
        policy: how long to wait for frames, and for a stream that broke off.
        notice: is told when it is lost and when it is back.
        loop: begin a file again at its end.

    Raises:
        SourceError: if nothing answers, or what answers is no video.
    """
    name = without_secrets(uri)
    capture = _connect_network(uri, policy)
    if 0 < capture.get(cv2.CAP_PROP_FRAME_COUNT) < _MOST_FRAMES:
        capture.release()
        suffix = PurePosixPath(urlsplit(uri).path).suffix
        return open_video(name, uri, suffix, loop)
    ok, image = capture.read()
    if not ok or image is None:
        capture.release()
        raise SourceError(f"{name} answers and gives no frame", "a stream of video")
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    feed = LiveFeed(name, capture, lambda: _connect_network(uri, policy), policy, notice)
    return live_source(
        uri, feed, fps if 0 < fps <= 1000 else FALLBACK_FPS, (image.shape[0], image.shape[1])
    )


def _connect_network(uri: str, policy: ReconnectPolicy) -> cv2.VideoCapture:
    # The watchdog comes first; FFmpeg's own limit ends the read that it left behind.
    read_ms = round(1000 * (policy.stall_s + 5))
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms,
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    capture = cv2.VideoCapture(uri, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"No video comes from {without_secrets(uri)}",
            "the address of an RTSP, MJPEG or MPEG-TS stream",
            "Try the address in another player, such as ffplay or VLC",
        )
    return capture


def without_secrets(uri: str) -> str:
    """Leave user and password out of what is printed."""
    return re.sub(r"(?<=://)[^/?#]*@", "", uri)
