from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_vos import engines as table
from edge_vos.devices import doctor
from edge_vos.devices.doctor import (
    Engine,
    OpenCv,
    diagnose,
    find_engines,
    find_libraries,
    find_missing,
    find_power,
    is_ready,
    parse_build,
)
from edge_vos.devices.profiles.profile import load_profile
from edge_vos.devices.telemetry.cameras import Camera
from edge_vos.devices.telemetry.machine import Machine
from edge_vos.devices.telemetry.probe import DeviceInfo
from edge_vos.runtime.annotations.reading import KINDS
from edge_vos.runtime.sinks.labels import label_kinds
from edge_vos.runtime.sources.csi import GST_LAUNCH

BUILD = """
  GUI:                           QT5
    QT:                          YES (ver 5.15.19 )
  Video I/O:
    FFMPEG:                      YES
      avcodec:                   YES (59.37.100)
    v4l/v4l2:                    YES (linux/videodev2.h)
"""
PC = Machine(DeviceInfo("a PC", "x86_64", 4, 8 << 30, "Linux 6.1", "3.11.9"), "", "", (), (), "")
ENGINES = tuple(Engine(name, True, "1.0", f"install {name}") for name in table.ENGINES)
COMPLETE = OpenCv("5.0", True, "QT5")
CAMERA = Camera("/dev/video0", "USB", True, ())
TOOLS: dict[str, str | None] = {
    name: f"/bin/{name}" for name in ("ssh", "scp", "adb", "v4l2-ctl", GST_LAUNCH)
}
X86, JETSON = load_profile("x86-laptop"), load_profile("jetson-orin-nano")


def test_opencv_is_read_from_its_build() -> None:
    assert parse_build("5.0.0", BUILD) == OpenCv("5.0.0", True, "QT5")
    assert parse_build("4.5.4", BUILD.replace("QT5", "NONE")).windows == ""
    assert parse_build("4.5.4", "") == OpenCv("4.5.4", False, "")


def test_engines_are_those_that_there_are() -> None:
    engines = {engine.name: engine for engine in find_engines()}
    assert list(engines) == list(table.ENGINES)
    assert engines["onnx"].available is True
    assert engines["onnx"].version
    assert "CPU" in engines["onnx"].capabilities
    assert all(engine.available is not False for engine in engines.values() if engine.capabilities)
    # That the package is there does not say that it was built with the delegate.
    assert engines["executorch-vulkan"].available is not True


def test_nothing_is_missing_where_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert find_missing(PC, X86, ENGINES, COMPLETE, (CAMERA,), TOOLS, None) == ()


def test_what_is_missing_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    gone = tuple(replace(engine, available=False) for engine in ENGINES)
    bare = OpenCv("5.0", True, "")
    tools: dict[str, str | None] = dict.fromkeys(TOOLS)
    jetson = replace(PC, jetpack="6 (Jetson Linux 36.4.3)")
    hidden = replace(CAMERA, usable=False)
    missing = find_missing(jetson, JETSON, gone, bare, (hidden,), tools, None)
    commands = {each.what: each.command for each in missing}
    assert commands["tensorrt"] == "install tensorrt"
    assert "coreml" not in commands  # no Jetson has it
    assert commands["windows"].startswith("pip install")
    assert "nvidia-l4t-gstreamer" in commands[GST_LAUNCH]
    assert commands["camera"] == "sudo usermod -aG video $USER"
    assert commands["adb"] == "sudo apt-get install adb"
    assert commands["ssh"] == commands["scp"] == "sudo apt-get install openssh-client"
    assert commands["v4l2-ctl"] == "sudo apt-get install v4l-utils"
    headless = find_missing(PC, X86, ENGINES, bare, (), TOOLS, "there is no display")
    assert [each.command for each in headless] == [
        "edge-vos live --serve", "edge-vos live synthetic://"
    ]  # fmt: skip


def test_commands_fit_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    tools: dict[str, str | None] = {**TOOLS, "adb": None, "v4l2-ctl": None}
    (adb,) = find_missing(PC, X86, ENGINES, COMPLETE, (CAMERA,), tools, None)
    assert adb.command == "brew install android-platform-tools"


def test_a_machine_is_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_engines", lambda: ENGINES[:1])
    monkeypatch.setattr(doctor, "profile_of", lambda device: replace(X86, engines=("onnx",)))
    found = diagnose(None, tmp_path, lambda name: None)
    assert found.ready
    assert found.tools == dict.fromkeys(TOOLS)
    assert {each.what for each in found.missing} >= {"camera", "ssh", "scp", "adb"}
    unknown = replace(ENGINES[0], available=None)
    assert not is_ready((unknown,))


def test_packages_for_video_are_named_with_what_brings_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        if name == "av":
            return "18.1.0"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    found = {each.name: each for each in find_libraries()}
    assert list(found) == [
        "av", "pyvirtualcam", "picamera2", "supervision", "rerun-sdk", "PyGObject", "rclpy"
    ]  # fmt: skip
    assert [each.version for each in found.values()] == ["18.1.0", *[""] * 6]
    assert found["av"].install == 'pip install "edge-vos[video]"'
    assert found["picamera2"].install.startswith("sudo apt-get install python3-picamera2")
    assert "vcam:" in found["pyvirtualcam"].purpose


def test_every_label_format_that_is_written_or_read_is_a_row(tmp_path: Path) -> None:
    rows = {row.name: row for row in diagnose(None, tmp_path, lambda name: None).label_formats}
    written = {name.lower().replace("-seg", "") for name, row in rows.items() if row.writes}
    schemes = {"ytvis": "youtube-vis"}
    for scheme in (*label_kinds.FILE_SUFFIXES, *label_kinds.FOLDERS):
        assert schemes.get(scheme, scheme) in written
    for name in ("LabelMe", "COCO", "CVAT", "Label Studio", "YOLO-seg"):
        assert rows[name].reads
        assert name in KINDS.replace("YOLO segmentation", "YOLO-seg")
    assert not any(row.needs for row in rows.values())


def test_power_is_read_where_the_machine_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.sensors_battery", lambda: None, raising=False)
    asked: list[list[str]] = []

    def run(command: list[str]) -> str:
        asked.append(command)
        return "NV Power Mode: 15W\n0\n"

    assert find_power(tmp_path, run) == ()
    assert asked == []  # no Jetson
    files = {
        "etc/nvpmodel.conf": "",
        "sys/firmware/acpi/platform_profile": "balanced\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(
        "psutil.sensors_battery", lambda: SimpleNamespace(power_plugged=False), raising=False
    )
    assert find_power(tmp_path, run) == (
        "nvpmodel 15W", "profile balanced", "governor schedutil", "on battery"
    )  # fmt: skip
    assert asked == [["nvpmodel", "-q"]]
    assert "nvpmodel 15W" not in find_power(tmp_path, lambda command: "")
