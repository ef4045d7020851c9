"""Cameras behind a network or a GStreamer pipeline: `rtsp://`, `http://`, `udp://`, `csi://0`."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import cv2

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.camera import CameraMode, parse_mode
from edge_vos.runtime.sources.frame import Source
from edge_vos.runtime.sources.reconnect import LiveFeed, Notice, ReconnectPolicy
from edge_vos.runtime.sources.video_file import FALLBACK_FPS, open_video

NETWORK = ("rtsp://", "rtsps://", "http://", "https://", "udp://")
CSI = "csi://"
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
    capture = _connect_network(uri, policy)
    if 0 < capture.get(cv2.CAP_PROP_FRAME_COUNT) < _MOST_FRAMES:
        capture.release()
        suffix = PurePosixPath(urlsplit(uri).path).suffix
        return open_video(without_secrets(uri), uri, suffix, loop)
    return _live(
        uri, without_secrets(uri), capture, lambda: _connect_network(uri, policy), policy,
        notice,
    )  # fmt: skip


def open_csi(uri: str, policy: ReconnectPolicy, notice: Notice | None = None) -> Source:
    """Open a Jetson's camera.

    Args:
        uri: ``csi://0?width=1280&height=720&fps=30``.
        policy: how long to wait for frames.
        notice: is told when it is lost and when it is back.

    Raises:
        SourceError: if it is written wrong, OpenCV has no GStreamer, or the camera gives no frame.
    """
    place, _, query = uri.removeprefix(CSI).partition("?")
    mode = parse_mode(uri, query)
    if not place.isdecimal() or mode.format is not None:
        raise SourceError(
            f"The camera {uri!r} cannot be read", "csi://0?width=1280&height=720&fps=30"
        )
    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise SourceError(
            f"{uri!r} needs an OpenCV that was built with GStreamer; that of pip is not",
            "the system's OpenCV, in an environment that sees it",
            "sudo apt-get install python3-opencv nvidia-l4t-gstreamer; "
            "pip uninstall opencv-python; and make the environment with "
            "`python3 -m venv --system-site-packages`",
        )
    pipeline = csi_pipeline(int(place), mode)
    capture = _connect_csi(uri, pipeline)
    return _live(uri, uri, capture, lambda: _connect_csi(uri, pipeline), policy, notice)


def csi_pipeline(sensor: int, mode: CameraMode) -> str:
    """Return the GStreamer pipeline of a Jetson's camera; its newest frame waits, no other."""
    width = mode.width if mode.width is not None else 1280
    height = mode.height if mode.height is not None else 720
    fps = mode.fps if mode.fps is not None else FALLBACK_FPS
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), width={width}, "
        f"height={height}, framerate={round(fps * 1000)}/1000, format=NV12 ! nvvidconv ! "
        "video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def _live(
    uri: str,
    name: str,
    capture: cv2.VideoCapture,
    connect: Callable[[], cv2.VideoCapture],
    policy: ReconnectPolicy,
    notice: Notice | None,
) -> Source:
    ok, image = capture.read()
    if not ok or image is None:
        capture.release()
        raise SourceError(f"{name} answers and gives no frame", "a stream of video")
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    feed = LiveFeed(name, capture, connect, policy, notice)
    return Source(
        uri,
        feed,
        fps=fps if 0 < fps <= 1000 else FALLBACK_FPS,
        size=(image.shape[0], image.shape[1]),
        frames=None,
        is_live=True,
        is_endless=True,
        release=feed.close,
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


def _connect_csi(uri: str, pipeline: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"The camera {uri!r} cannot be opened",
            "a camera on the CSI connector that no other program uses",
            "sudo systemctl restart nvargus-daemon",
        )
    return capture


def without_secrets(uri: str) -> str:
    """Leave user and password out of what is printed."""
    return re.sub(r"(?<=://)[^/?#]*@", "", uri)
