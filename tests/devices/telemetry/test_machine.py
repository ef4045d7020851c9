from pathlib import Path

import pytest

from edge_vos.devices.telemetry import cameras
from edge_vos.devices.telemetry.cameras import best_modes, find_cameras, parse_modes
from edge_vos.devices.telemetry.machine import (
    find_gpus,
    parse_instructions,
    parse_jetpack,
    parse_os_release,
    probe_machine,
)
from edge_vos.runtime.sources.camera import CameraMode

FORMATS = """ioctl: VIDIOC_ENUM_FMT
\tType: Video Capture

\t[0]: 'MJPG' (Motion-JPEG, compressed)
\t\tSize: Discrete 1280x720
\t\t\tInterval: Discrete 0.033s (30.000 fps)
\t\t\tInterval: Discrete 0.067s (15.000 fps)
\t\tSize: Discrete 640x480
\t\t\tInterval: Discrete 0.008s (120.101 fps)
\t[1]: 'YUYV' (YUYV 4:2:2)
\t\tSize: Discrete 1280x720
\t\t\tInterval: Discrete 0.100s (10.000 fps)
\t[2]: 'RG10' (10-bit Bayer RGRG/GBGB)
\t\tSize: Stepwise 16x16 - 16376x16376 with step 1/1
"""


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """Plant what a Jetson Orin Nano shows, with a camera."""
    root = tmp_path / "orin"
    write(root, "proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    write(root, "proc/cpuinfo", "processor : 0\nFeatures : fp asimd fphp asimddp\n")
    write(root, "etc/os-release", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\nID=ubuntu\n')
    write(root, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: x")
    write(root, "sys/class/drm/card0/device/uevent", "DRIVER=nvgpu\nOF_NAME=gpu\n")
    write(root, "sys/class/drm/card0-DP-1/status", "connected\n")
    for number, name, index in ((10, "Second", 0), (2, "USB Camera", 0), (3, "USB Camera", 1)):
        write(root, f"sys/class/video4linux/video{number}/name", f"{name}\n")
        write(root, f"sys/class/video4linux/video{number}/index", f"{index}\n")
    write(root, "dev/video2", "")
    return root


def test_a_jetson_is_described(orin: Path) -> None:
    machine = probe_machine(orin)
    assert machine.soc == "nvidia,tegra234"
    assert machine.system == "Ubuntu 22.04.5 LTS"
    assert machine.instructions == ("dot product", "half precision")
    assert machine.gpus == ("nvgpu",)
    assert machine.jetpack == "6 (Jetson Linux 36.4.3)"


def test_an_empty_tree_tells_nothing(tmp_path: Path) -> None:
    machine = probe_machine(tmp_path)
    assert (machine.soc, machine.system, machine.jetpack) == ("", "", "")
    assert (machine.instructions, machine.gpus) == ((), ())
    assert find_cameras(tmp_path) == ()


def test_gpus_of_a_pc(tmp_path: Path) -> None:
    card = "sys/class/drm/card"
    write(tmp_path, f"{card}0/device/uevent", "DRIVER=i915\nPCI_ID=8086:9A49\n")
    write(tmp_path, f"{card}0/device/vendor", "0x8086\n")
    write(tmp_path, f"{card}1/device/uevent", "DRIVER=nvidia\n")
    write(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information",
          "Model: \t\t NVIDIA GeForce RTX 4070\nIRQ: 12\n")  # fmt: skip
    assert find_gpus(tmp_path) == ("NVIDIA GeForce RTX 4070", "Intel (i915)")


@pytest.mark.parametrize(
    ("text", "jetpack"),
    [("# R32 (release), REVISION: 7.1, GCID: 29818004", "4 (Jetson Linux 32.7.1)"),
     ("# R35 (release), REVISION: 4.1, GCID: 33958178", "5 (Jetson Linux 35.4.1)"),
     ("# R99 (release), REVISION: 1.0", "Jetson Linux 99.1.0"), ("", ""), ("# R32", ""),
     ("# Rxx (release), REVISION: 7.1", "")],
)  # fmt: skip
def test_jetpack(text: str, jetpack: str) -> None:
    assert parse_jetpack(text) == jetpack


def test_malformed_system_files_tell_nothing() -> None:
    assert parse_os_release("NAME=Ubuntu\n") == ""
    assert parse_os_release("PRETTY_NAME=Arch Linux\n") == "Arch Linux"
    assert parse_instructions("processor : 0\n") == ()
    assert parse_instructions("flags\t\t: fpu avx2 avx512f avx512_vnni\n") == (
        "AVX2", "AVX-512", "AVX-512 VNNI"
    )  # fmt: skip


def test_cameras_are_nodes_that_give_pictures(orin: Path) -> None:
    asked: list[list[str]] = []

    def run(command: list[str]) -> str:
        asked.append(command)
        return FORMATS if command[2].endswith("video2") else ""

    first, second = find_cameras(orin, run)
    assert (first.path, first.name, first.usable) == ("/dev/video2", "USB Camera", True)
    assert (second.path, second.usable, second.modes) == ("/dev/video10", False, ())
    assert first.modes[0] == CameraMode(1280, 720, 30.0, "MJPG")
    assert len(asked) == 2


def test_modes_are_read_and_summed_up() -> None:
    modes = parse_modes(FORMATS)
    assert [(mode.format, mode.width, mode.fps) for mode in modes] == [
        ("MJPG", 1280, 30.0), ("MJPG", 1280, 15.0), ("MJPG", 640, 120.101), ("YUYV", 1280, 10.0)
    ]  # fmt: skip
    assert best_modes(modes) == {
        "MJPG": "1280x720 at 30, 640x480 at 120.101",
        "YUYV": "1280x720 at 10",
    }


def test_nodes_of_other_names_and_sizes_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    for name in ("video1", "video0x", "videoN", "video" + "9" * 200):
        write(tmp_path, f"sys/class/video4linux/{name}/index", "0\n")
    assert [camera.path for camera in find_cameras(tmp_path, lambda command: "")] == ["/dev/video1"]
    many = "9" * 5000
    assert parse_modes(f"[0]: 'MJPG'\nSize: Discrete {many}x480\nInterval: Discrete (30 fps)") == ()
    assert parse_modes(f"[0]: 'MJPG'\nSize: Discrete 1x1\nInterval: Discrete ({many} fps)") == ()


@pytest.mark.parametrize(
    "text", ["", "Cannot open device /dev/video9, exiting.", FORMATS.replace("Discrete", ""),
             "Interval: Discrete 0.033s (30.000 fps)", "[0]: 'MJ'\nSize: Discrete 1x1"]
)  # fmt: skip
def test_malformed_modes_are_none(text: str) -> None:
    assert parse_modes(text) == ()


def test_a_lister_that_is_missing_or_hangs_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cameras._output(["no-such-program-anywhere"]) == ""
    monkeypatch.setattr(cameras, "_TIMEOUT_S", 0.01)
    assert cameras._output(["sleep", "5"]) == ""
    monkeypatch.setattr(cameras, "_TIMEOUT_S", 5.0)
    assert cameras._output(["echo", "hello"]) == "hello\n"
