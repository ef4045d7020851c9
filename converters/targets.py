"""The kinds of device that can be converted for: each names an engine (``edge_vos.engines``).

``python -m edge_vos.converters.targets_page`` prints both tables as ``docs/targets.md``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Describe a kind of device.

    Args:
        description: what it is.
        backend: a key of ``edge_vos.engines.ENGINES``.
        precision: one of the engine's.
        reason: why this engine and precision.
        deployment: the oldest system that the bundle is made for.
        size: default (height, width) of the image.
    """

    description: str
    backend: str
    precision: str
    reason: str
    deployment: str
    size: tuple[int, int] = (240, 432)


TARGETS: dict[str, Target] = {
    "android": Target(
        "an Android phone or tablet",
        "litert",
        "int8",
        "half of fp32's size and faster on the CPU it was measured on; fp16 suits a GPU delegate",
        "Android 8.0 (API 26)",
    ),
    "ios": Target(
        "an iPhone or iPad",
        "coreml",
        "fp16",
        "what the neural engine computes in",
        "iOS 17",
    ),
    "jetson": Target(
        "an NVIDIA Jetson",
        "tensorrt",
        "fp16",
        "what its tensor cores compute in; the engine is built on the device",
        "JetPack 5.1 (TensorRT 8.5)",
    ),
    "raspberrypi": Target(
        "a Raspberry Pi 4 or 5, on its CPU",
        "onnx",
        "fp32",
        "runs with the base install",
        "64-bit Raspberry Pi OS 12",
    ),
    "cpu": Target(
        "a laptop, desktop or server",
        "onnx",
        "int8",
        "runs with the base install, in half of fp32's time where it was measured",
        "Linux, macOS or Windows, 64 bit",
    ),
    "web": Target(
        "a browser, with onnxruntime-web",
        "onnx",
        "fp32",
        "WebAssembly has no half precision",
        "WebAssembly with SIMD",
    ),
}
