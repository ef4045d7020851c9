"""Give results as a camera that other programs see: `vcam:`, `vcam:blur?device=/dev/video10`."""

from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl

import cv2
import numpy as np

from edge_vos.errors import SinkError
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.matte import RENDERS, Render
from edge_vos.runtime.sinks.output import Sink
from edge_vos.runtime.sources.frame import Frame

VIRTUAL_CAMERA = "vcam:"
INSTALL = 'pip install "edge-vos[vcam]"'
_EXAMPLE = f"{VIRTUAL_CAMERA}, {VIRTUAL_CAMERA}blur or {VIRTUAL_CAMERA}green?device=/dev/video10"


class VirtualCamera(Sink):
    """Send pictures to a camera that is none.

    Args:
        uri: what the user asked for.
        device: of pyvirtualcam: ``send(picture)`` and ``close()``.
        size: height and width of its pictures; a frame of another size is resized.
        render: makes the picture.

    Attributes:
        notes: how other programs call it.
    """

    shows = True

    def __init__(self, uri: str, device: Any, size: tuple[int, int], render: Render) -> None:
        self.uri = uri
        self.notes = (f"Choose the camera {device.device} in the other program",)
        self._device: Any | None = device
        self._size, self._render = size, render

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Send one picture.

        Raises:
            SinkError: if the camera is gone.
        """
        if self._device is None:
            return
        picture = self._render(frame, result)
        if picture.shape[:2] != self._size:
            picture = np.asarray(cv2.resize(picture, self._size[::-1]), np.uint8)
        try:
            self._device.send(np.ascontiguousarray(picture))
        except (RuntimeError, OSError) as error:
            raise SinkError(f"The virtual camera is gone ({error})", "one that stays") from error

    def close(self) -> None:
        """Give the camera back; closing twice does nothing."""
        device, self._device = self._device, None
        if device is not None:
            device.close()


def open_virtual_camera(
    uri: str, fps: float, size: tuple[int, int], overlay: Render
) -> VirtualCamera:
    """Open a virtual camera.

    Args:
        uri: ``vcam:`` for the overlay, ``vcam:blur``, ``vcam:green``, ``vcam:matte``; after it
            ``?device=/dev/video10`` where there are several.
        fps: nominal.
        size: height and width of the frames.
        overlay: makes the overlay.

    Raises:
        SinkError: if it is written wrong, pyvirtualcam is missing, or there is no such camera.
    """
    scheme, _, query = uri.removeprefix(VIRTUAL_CAMERA).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if (scheme and scheme not in RENDERS) or set(options) - {"device"}:
        raise SinkError(f"The virtual camera {uri!r} cannot be read", _EXAMPLE)
    try:
        library = import_module("pyvirtualcam")
    except ImportError as error:
        raise SinkError(
            f"{uri!r} needs pyvirtualcam, which is not installed ({error})", "the package", INSTALL
        ) from error
    try:
        device = library.Camera(
            width=size[1],
            height=size[0],
            fps=fps,
            fmt=library.PixelFormat.BGR,
            device=options.get("device"),
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise SinkError(
            f"No virtual camera can be opened ({error})",
            "v4l2loopback under Linux, OBS Studio's camera under macOS and Windows",
            "sudo apt-get install v4l2loopback-dkms; sudo modprobe v4l2loopback exclusive_caps=1",
        ) from error
    return VirtualCamera(uri, device, size, RENDERS[scheme] if scheme else overlay)
