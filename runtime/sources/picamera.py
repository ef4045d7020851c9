"""A Raspberry Pi's camera through its own library: `picamera2://0?width=1280&height=720&fps=30`."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.camera import FALLBACK_FPS, CameraMode, parse_mode
from edge_vos.runtime.sources.frame import Source
from edge_vos.runtime.sources.reconnect import LiveFeed, Notice, ReconnectPolicy, live_source

PICAMERA = "picamera2://"
INSTALL = (
    "sudo apt-get install python3-picamera2, and make the environment with "
    "`python3 -m venv --system-site-packages`"
)
_NEW_JPEG = "pip install --upgrade simplejpeg"
_EXAMPLE = f"{PICAMERA}0?width=1280&height=720&fps=30"


class PicameraCapture:
    """Read the camera; see ``Capture``.

    Args:
        uri: what the user asked for.
        index: which camera, as `rpicam-hello --list-cameras` counts them.
        mode: what it shall give.

    Raises:
        SourceError: if picamera2 is missing or cannot be loaded, or the camera cannot be opened.
    """

    def __init__(self, uri: str, index: int, mode: CameraMode) -> None:
        try:
            library = import_module("picamera2")
        except ImportError as error:
            raise SourceError(
                f"{uri!r} needs picamera2, the library of the Raspberry Pi's cameras ({error})",
                "Raspberry Pi OS, and an environment that sees its packages",
                INSTALL,
            ) from error
        except ValueError as error:
            # The system's simplejpeg may be built for numpy 1, and then fails so:
            # https://github.com/raspberrypi/picamera2/issues/1211
            raise SourceError(
                f"{uri!r} needs picamera2, which cannot be loaded ({error})",
                "a simplejpeg that is built for numpy 2, in the environment of edge-vos",
                _NEW_JPEG,
            ) from error
        try:
            self._camera: Any = library.Picamera2(index)
            wanted = {
                # The library names formats by the order in a word: this one is BGR in an array.
                "main": {"size": (mode.width or 1280, mode.height or 720), "format": "RGB888"},
                "controls": {"FrameRate": mode.fps or FALLBACK_FPS},
            }
            self._camera.configure(self._camera.create_video_configuration(**wanted))
            self._camera.start()
        except (RuntimeError, IndexError, OSError, ValueError) as error:
            raise SourceError(
                f"The camera {uri!r} cannot be opened ({error})",
                "a camera on the ribbon that no other program uses",
                "rpicam-hello --list-cameras",
            ) from error
        self._image: NDArray[np.uint8] | None = None

    def grab(self) -> bool:
        """Wait for the next frame."""
        try:
            self._image = np.array(self._camera.capture_array("main")[..., :3], np.uint8)
        except (RuntimeError, OSError):
            return False
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Return the frame that was grabbed: (H, W, 3) uint8, BGR."""
        return self._image is not None, self._image

    def release(self) -> None:
        """Give the camera back."""
        self._camera.stop()
        self._camera.close()


def open_picamera(uri: str, policy: ReconnectPolicy, notice: Notice | None = None) -> Source:
    """Open a Raspberry Pi's camera.

    Args:
        uri: ``picamera2://0?width=1280&height=720&fps=30``; each part may be left out.
        policy: how long to wait for frames, and for a camera that is lost.
        notice: is told when it is lost and when it is back.

    Raises:
        SourceError: if it is written wrong, picamera2 is missing, or the camera gives no frame.
    """
    place, _, query = uri.removeprefix(PICAMERA).partition("?")
    mode = parse_mode(uri, query)
    if not (place or "0").isdecimal() or mode.format is not None:
        raise SourceError(f"The camera {uri!r} cannot be read", _EXAMPLE)
    index = int(place or "0")
    capture = PicameraCapture(uri, index, mode)
    image = capture.retrieve()[1] if capture.grab() else None
    if image is None:
        capture.release()
        raise SourceError(f"The camera {uri!r} gives no frame", "a camera on the ribbon")

    def connect() -> PicameraCapture:
        return PicameraCapture(uri, index, mode)

    feed = LiveFeed(f"Camera {index}", capture, connect, policy, notice)
    return live_source(uri, feed, mode.fps or FALLBACK_FPS, (image.shape[0], image.shape[1]))
