import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_vos.devices import capabilities
from edge_vos.devices.capabilities import (
    executorch_capabilities,
    find_capabilities,
    litert_capabilities,
    parse_providers,
    run_quietly,
)


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("text", "names"),
    [('["CUDAExecutionProvider", "CPUExecutionProvider"]\n', ("CUDA", "CPU")),
     ('a warning\n["CPUExecutionProvider"]', ("CPU",)), ("", ()), ("{}", ()), ("[1]", ()),
     ("[", ())],
)  # fmt: skip
def test_providers_are_read(text: str, names: tuple[str, ...]) -> None:
    assert parse_providers(text) == names


@pytest.mark.parametrize(
    ("look", "files", "found"),
    [
        (litert_capabilities, {"libcommon.so": b"..TfLiteXNNPackDelegateCreate..",
                               "libLiteRtWebGpuAccelerator.so": b"x",
                               "libLiteRtOpenClAccelerator.dylib": b"", "interpreter.py": b""},
         ("XNNPACK", "OpenCl", "WebGpu")),
        (executorch_capabilities, {"lib/libexecutorch_backend_xnnpack.so": b"x",
                                   "lib/libexecutorch_backend_qnn.so": b"x",
                                   "lib/libexecutorch.so": b"x",
                                   "extension/pybindings/_portable_lib.cpython-311.so":
                                   b"\0XnnpackBackend\0VulkanBackend"},
         ("qnn", "vulkan", "xnnpack")),
    ],
)  # fmt: skip
def test_packages_are_looked_at(
    tmp_path: Path,
    look: Callable[[Path], tuple[str, ...]],
    files: dict[str, bytes],
    found: tuple[str, ...],
) -> None:
    assert look(tmp_path) == ()
    assert look(plant(tmp_path, files)) == found


def test_what_is_installed_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capabilities, "_folder", lambda package: None)
    for backend in ("onnx", "litert", "executorch-xnnpack", "tensorrt"):
        assert find_capabilities(backend, lambda command: '["CPUExecutionProvider"]') == ()
    monkeypatch.setattr(capabilities, "_folder", lambda package: tmp_path)
    assert find_capabilities("onnx", lambda command: '["CPUExecutionProvider"]') == ("CPU",)


def test_a_command_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_quietly([sys.executable, "-c", "print(5)"]) == "5\n"
    assert run_quietly([sys.executable, "-c", "print(5); raise SystemExit(3)"]) == ""
    assert run_quietly(["no-such-program-anywhere"]) == ""
    monkeypatch.setattr(capabilities, "_TIMEOUT_S", 0.05)
    assert run_quietly([sys.executable, "-c", "import time; time.sleep(9)"]) == ""
