"""Say what this machine can run, why not the rest, and which command brings what is missing."""

import platform
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2

from edge_vos.devices.capabilities import Run, find_capabilities, run_quietly
from edge_vos.devices.profiles.profile import Profile, profile_of
from edge_vos.devices.telemetry.cameras import LISTER, Camera, find_cameras
from edge_vos.devices.telemetry.conditions import read_conditions
from edge_vos.devices.telemetry.machine import ROOT, Machine, probe_machine
from edge_vos.devices.telemetry.sysfs import read_text
from edge_vos.devices.telemetry.tegrastats import parse_power_mode
from edge_vos.engines import ENGINES
from edge_vos.runtime import supervision
from edge_vos.runtime.sinks import rerun_log, virtual_camera
from edge_vos.runtime.sources import csi, picamera
from edge_vos.runtime.sources.video_library import INSTALL as INSTALL_VIDEO

Which = Callable[[str], str | None]

_TOOLS = {
    "ssh": "edge-vos deploy to ssh://",
    "scp": "edge-vos deploy to ssh://",
    "adb": "edge-vos deploy to adb://",
}
_PACKAGES = {
    "Linux": {
        "ssh": "sudo apt-get install openssh-client",
        "scp": "sudo apt-get install openssh-client",
        "adb": "sudo apt-get install adb",
        LISTER: "sudo apt-get install v4l-utils",
    },
    "Darwin": {"adb": "brew install android-platform-tools"},
    "Windows": {
        "ssh": "winget install Microsoft.OpenSSH.Preview",
        "scp": "winget install Microsoft.OpenSSH.Preview",
        "adb": "winget install Google.PlatformTools",
    },
}
_GSTREAMER_ELEMENT = (
    "sudo apt-get install python3-gst-1.0 gir1.2-gst-plugins-base-1.0, and make the environment "
    "with `python3 -m venv --system-site-packages`"
)
_LIBRARIES = (  # package, what it is for, the command that brings it
    ("av", "video files with exact times, H.264 and sound", INSTALL_VIDEO),
    ("pyvirtualcam", "-o vcam:, a camera for other programs", virtual_camera.INSTALL),
    ("picamera2", "picamera2://, a Raspberry Pi's camera", picamera.INSTALL),
    ("supervision", "to_supervision(), results as Detections", supervision.INSTALL),
    ("rerun-sdk", "-o session.rrd, a recording for the viewer of Rerun", rerun_log.INSTALL),
    ("PyGObject", "the GStreamer element in docs/examples", _GSTREAMER_ELEMENT),
    ("rclpy", "the ROS 2 node in docs/examples", "source /opt/ros/$ROS_DISTRO/setup.bash"),
)
_LABELS = (  # name, read, written; none of them takes a package
    ("PNG of ids", True, True),
    ("PNG of colours, grey or 16 bits", True, False),
    ("COCO", True, True),
    ("YouTube-VIS", False, True),
    ("MOTS", False, True),
    ("YOLO-seg", True, True),
    ("LabelMe", True, True),
    ("CVAT", True, True),
    ("Label Studio", True, False),
    ("JSON lines", False, True),
)


@dataclass(frozen=True)
class Engine:
    """Describe an engine.

    Args:
        name: of the backend, as ``--engine`` takes it.
        available: whether it runs here; None where it is installed and only tells whether it has
            the delegate that the backend needs once a bundle is opened.
        version: empty where it is not installed.
        install: the command that brings it.
        capabilities: providers, delegates or backends that it was built with; they need not work
            on this machine.
    """

    name: str
    available: bool | None
    version: str
    install: str
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenCv:
    """Describe how OpenCV was built.

    Args:
        version: of OpenCV.
        ffmpeg: whether video files and streams can be read.
        windows: what draws windows, such as QT5; empty where there is nothing.
    """

    version: str
    ffmpeg: bool
    windows: str


@dataclass(frozen=True)
class Library:
    """Describe a package that video or results may need.

    Args:
        name: of the package.
        version: empty where it is not installed.
        purpose: what needs it.
        install: the command that brings it.
    """

    name: str
    version: str
    purpose: str
    install: str


@dataclass(frozen=True)
class LabelFormat:
    """Describe a format of masks and labels.

    Args:
        name: of the format.
        reads: whether ``--mask`` takes it.
        writes: whether ``-o`` makes it.
        needs: the packages that it takes beside this one.
    """

    name: str
    reads: bool
    writes: bool
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """Describe what is missing.

    Args:
        what: is not there.
        why: it would be of use.
        command: that brings it.
    """

    what: str
    why: str
    command: str


@dataclass(frozen=True)
class KnownIssue:
    """Describe what an engine is known to get wrong.

    Args:
        engine: by its package.
        version: that is installed here.
        what: goes wrong.
        consequence: of it.
        remedy: what edge-vos does, or the user can do.
        thread: the public page that tells of it.
    """

    engine: str
    version: str
    what: str
    consequence: str
    remedy: str
    thread: str


@dataclass(frozen=True)
class DoctorReport:
    """Hold everything that was found.

    Args:
        machine: what it is made of.
        profile: the profile that fits it, by name.
        engines: every engine that there is.
        opencv: how it was built.
        cameras: that are connected.
        tools: where each program lies; None for one that is missing.
        display: why no window can be opened; None where one can.
        missing: what is missing here, most important first.
        power: how the machine is set to spend power, such as "nvpmodel MAXN"; empty where it does
            not tell.
        ready: whether there is an engine to run a bundle with.
        known_bad: what is known to go wrong with the engines that are installed.
        libraries: what video in and out, and results, may need.
        label_formats: what masks and labels are read from and written to.
    """

    machine: Machine
    profile: str
    engines: tuple[Engine, ...]
    opencv: OpenCv
    cameras: tuple[Camera, ...]
    tools: dict[str, str | None]
    display: str | None
    missing: tuple[Missing, ...]
    power: tuple[str, ...]
    ready: bool
    libraries: tuple[Library, ...] = ()
    known_bad: tuple[KnownIssue, ...] = ()
    label_formats: tuple[LabelFormat, ...] = ()


def is_ready(engines: Sequence[Engine]) -> bool:
    """Tell whether there is an engine to run a bundle with."""
    return any(engine.available is True for engine in engines)


def diagnose(display: str | None, root: Path = ROOT, which: Which = shutil.which) -> DoctorReport:
    """Look at this machine; nothing is opened or changed.

    Args:
        display: why no window can be opened; None where one can.
        root: of the tree that holds proc/, sys/, dev/ and etc/.
        which: returns where a program lies.
    """
    machine = probe_machine(root)
    profile = profile_of(machine.device)
    engines = find_engines()
    opencv = parse_build(cv2.__version__, cv2.getBuildInformation())
    cameras = find_cameras(root)
    tools = {name: which(name) for name in (*_TOOLS, LISTER, csi.GST_LAUNCH)}
    missing = find_missing(machine, profile, engines, opencv, cameras, tools, display)
    return DoctorReport(
        machine=machine,
        profile=profile.name,
        engines=engines,
        opencv=opencv,
        cameras=cameras,
        tools=tools,
        display=display,
        missing=missing,
        power=find_power(root),
        libraries=find_libraries(),
        label_formats=tuple(LabelFormat(*row) for row in _LABELS),
        ready=is_ready(engines),
    )


def find_libraries() -> tuple[Library, ...]:
    """Say which packages for video and results are installed; none of them is imported."""
    found = []
    for name, purpose, install in _LIBRARIES:
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = ""
        found.append(Library(name, installed, purpose, install))
    return tuple(found)


def find_power(root: Path = ROOT, run: Run = run_quietly) -> tuple[str, ...]:
    """Say how the machine is set to spend power.

    Args:
        root: of the tree that holds etc/ and sys/.
        run: returns what a command prints, or nothing.
    """
    found = []
    if (root / "etc/nvpmodel.conf").exists() and (
        mode := parse_power_mode(run(["nvpmodel", "-q"]))
    ):
        found.append(f"nvpmodel {mode}")
    if platform_profile := read_text(root / "sys/firmware/acpi/platform_profile"):
        found.append(f"profile {platform_profile}")
    conditions = read_conditions(root / "sys")
    found += [f"governor {governor}" for governor in conditions.governors]
    if conditions.on_battery is not None:
        found.append("on battery" if conditions.on_battery else "plugged in")
    return tuple(found)


def find_engines() -> tuple[Engine, ...]:
    """Ask every backend whether its engine is installed, and see what it was built with.

    None of them is imported into this process.
    """
    found = []
    for name, engine in ENGINES.items():
        installed = engine.is_available
        available = None if installed and engine.delegate else installed
        capabilities = find_capabilities(name) if installed else ()
        found.append(Engine(name, available, engine.version, engine.install, capabilities))
    return tuple(found)


def parse_build(version: str, text: str) -> OpenCv:
    """Read what ``cv2.getBuildInformation`` says."""
    return OpenCv(
        version,
        ffmpeg=_built_with(text, "FFMPEG").startswith("YES"),
        windows=_built_with(text, "GUI").replace("NONE", ""),
    )


def find_missing(
    machine: Machine,
    profile: Profile,
    engines: tuple[Engine, ...],
    opencv: OpenCv,
    cameras: tuple[Camera, ...],
    tools: dict[str, str | None],
    display: str | None,
) -> tuple[Missing, ...]:
    """Say what is missing, with the command that brings it; engines of other machines are not."""
    found = []
    by_name = {engine.name: engine for engine in engines}
    seen: set[str] = set()
    for name in profile.engines:
        engine = by_name[name]
        if engine.available is False and engine.install not in seen:
            seen.add(engine.install)
            found.append(Missing(name, f"to run bundles for {name}", engine.install))
    if display is not None:
        found.append(Missing("display", f"no window: {display}", "edge-vos live --serve"))
    elif not opencv.windows:
        found.append(
            Missing("windows", "OpenCV draws none", "pip install --force-reinstall opencv-python")
        )
    if machine.jetpack and tools[csi.GST_LAUNCH] is None:
        found.append(Missing(csi.GST_LAUNCH, "for csi:// cameras", csi.INSTALL))
    for camera in cameras:
        if not camera.usable:
            why = f"{camera.path} may not be used by this user"
            found.append(Missing("camera", why, "sudo usermod -aG video $USER"))
    if not cameras:
        found.append(Missing("camera", "none is connected", "edge-vos live synthetic://"))
    packages = _PACKAGES.get(platform.system(), {})
    for name, why in _TOOLS.items():
        if tools[name] is None:
            found.append(Missing(name, f"for {why}", packages.get(name, f"install {name}")))
    if cameras and tools[LISTER] is None and LISTER in packages:
        found.append(Missing(LISTER, "to list the cameras' modes", packages[LISTER]))
    return tuple(found)


def _built_with(text: str, name: str) -> str:
    match = re.search(rf"^\s*{name}:[ \t]*(\S.*?)\s*$", text, re.MULTILINE)
    return match[1] if match else ""
