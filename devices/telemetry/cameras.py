"""List the cameras of a Linux machine and their modes, without taking a picture."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_vos.devices.telemetry.machine import ROOT
from edge_vos.devices.telemetry.sysfs import read_text
from edge_vos.runtime.sources.camera import CameraMode

Run = Callable[[list[str]], str]

LISTER = "v4l2-ctl"
_NODE = re.compile(r"video([0-9]{1,6})")
_FORMAT = re.compile(r"\[[0-9]{1,4}\]: '(.{4})'")
_SIZE = re.compile(r"Size: Discrete ([0-9]{1,5})x([0-9]{1,5})(?![0-9])")
_FPS = re.compile(r"Interval: Discrete .*\(([0-9]{1,5}(?:\.[0-9]{1,6})?) fps\)")
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Camera:
    """Describe a camera.

    Args:
        path: such as /dev/video0.
        name: as its driver calls it.
        usable: whether this user may open it.
        modes: what it gives; none where ``v4l2-ctl`` is missing or its sizes are continuous.
    """

    path: str
    name: str
    usable: bool
    modes: tuple[CameraMode, ...]


def find_cameras(root: Path = ROOT, run: Run | None = None) -> tuple[Camera, ...]:
    """List the cameras that the kernel knows; nodes of metadata are none.

    Args:
        root: of the tree that holds sys/ and dev/.
        run: returns what a command prints, or nothing; by default it is run.
    """
    output = run or _output
    found = []
    nodes = [
        (int(match[1]), node)
        for node in root.glob("sys/class/video4linux/video*")
        if (match := _NODE.fullmatch(node.name))
    ]
    for _, node in sorted(nodes):
        if read_text(node / "index") not in ("", "0"):
            continue
        device = root / "dev" / node.name
        listing = output([LISTER, "--device", str(device), "--list-formats-ext"])
        found.append(
            Camera(
                f"/dev/{node.name}",
                read_text(node / "name"),
                os.access(device, os.R_OK | os.W_OK),
                parse_modes(listing),
            )
        )
    return tuple(found)


def parse_modes(text: str) -> tuple[CameraMode, ...]:
    """Read the answer of ``v4l2-ctl --list-formats-ext``; what is malformed is left out."""
    modes: list[CameraMode] = []
    pixels, size = "", None
    for line in text.splitlines():
        if match := _FORMAT.search(line):
            pixels, size = match[1], None
        elif match := _SIZE.search(line):
            size = int(match[1]), int(match[2])
        elif (match := _FPS.search(line)) and pixels and size:
            modes.append(CameraMode(*size, fps=float(match[1]), format=pixels))
    return tuple(modes)


def best_modes(modes: tuple[CameraMode, ...]) -> dict[str, str]:
    """Return the sizes that each pixel format comes in, with the highest rate of each, as text."""
    rates: dict[tuple[str, str], float] = {}
    for mode in modes:
        key = str(mode.format), f"{mode.width}x{mode.height}"
        rates[key] = max(rates.get(key, 0.0), mode.fps or 0.0)
    found: dict[str, str] = {}
    for (pixels, size), fps in rates.items():
        text = f"{size} at {fps:g}"
        found[pixels] = f"{found[pixels]}, {text}" if pixels in found else text
    return found


def _output(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
