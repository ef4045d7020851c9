"""Check and measure a bundle on an Android phone, with the engines' own command-line tools.

The phone has no Python. ExecuTorch's ``executor_runner`` takes inputs from files and writes outputs
to files, so the bundle's golden is repeated on the phone, a frame a call. LiteRT's
``benchmark_model`` measures, and checks nothing. Both time the network alone: such a figure is no
frame rate.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import Bundle
from edge_vos.devices.bench.report import Accuracy
from edge_vos.devices.deploy.android import parse_powered, parse_throttles
from edge_vos.devices.deploy.remote import Remote, quote
from edge_vos.devices.deploy.store import DeviceFolder, checked
from edge_vos.devices.subject import Subject, subject_of
from edge_vos.errors import DeviceError, UsageError
from edge_vos.runtime.backends.runner import Tensors, check_inputs
from edge_vos.runtime.golden import Golden, check_golden, tolerance_of

EXECUTIONS = 200
WARMUP = 20
RUN_S = 600.0

WHERE = {
    "litert": "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/"
    "lite/tools/nightly/latest/android_aarch64_benchmark_model",
    "executorch": "ExecuTorch's sources, the CMake target executor_runner for Android: "
    "https://docs.pytorch.org/executorch/stable/using-executorch-building-from-source.html",
}
"""Where the tools come from, by the first word of the backend."""

_NUMBER = r"(\d{1,12}(?:\.\d{1,12})?(?:e[+-]?\d{1,2})?)(?![\d.e])"
_EXECUTED = re.compile(rf"Model executed successfully (\d{{1,9}}) time\(s\) in {_NUMBER} ms")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_FOOTPRINT = re.compile(rf"Memory footprint delta .*?overall={_NUMBER}")


@dataclass(frozen=True)
class Tool:
    """Hold what is needed to run a bundle on a phone.

    Args:
        remote: the phone.
        device_folder: our folder there.
        folder: the bundle there.
        path: the executable there.
    """

    remote: Remote
    device_folder: DeviceFolder
    folder: str
    path: str


@dataclass(frozen=True)
class Timing:
    """Hold what a tool printed.

    Args:
        infer_ms: mean of a call.
        first_ms: of the first call; None where it is not told.
        init_ms: to load; None where it is not told.
        memory_mb: what the process grew by; None where it is not told.
    """

    infer_ms: float
    first_ms: float | None = None
    init_ms: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class PhoneInfo:
    """Describe a phone; what it does not tell is empty.

    Args:
        name: such as "Pixel 9".
        soc: its chip.
        android: the version of its system.
    """

    name: str
    soc: str
    android: str


@dataclass(frozen=True)
class PhoneReport(Subject):
    """Hold what an engine's own tool measured on a phone: the network alone, no whole step.

    Args:
        device: the phone.
        latency_ms: the mean of ``infer``.
        first_inference_ms: the first call; None where it is not told.
        load_ms: to load the model; None where it is not told.
        memory_mb: what the process grew by; None where it is not told.
        warnings: what makes these figures untrustworthy.
    """

    device: PhoneInfo
    latency_ms: dict[str, dict[str, float]]
    first_inference_ms: float | None
    load_ms: float | None
    memory_mb: float | None
    warnings: tuple[str, ...]


class PhoneRunner:
    """Run one step on the phone by ``executor_runner``; a call takes seconds.

    Args:
        tool: with ``executor_runner``.
        bundle: an ExecuTorch bundle.
        threads: of the engine; None is its own choice.
    """

    def __init__(self, tool: Tool, bundle: Bundle, threads: int | None) -> None:
        self._tool, self._manifest = tool, bundle.manifest
        self._work = f"{tool.device_folder.run}/work"
        files = [f"{self._work}/{spec.name}.bin" for spec in bundle.manifest.inputs]
        self._command = quote(
            tool.path,
            f"--model_path={tool.folder}/{bundle.manifest.model_file}",
            f"--inputs={','.join(files)}",
            f"--output_file={self._work}/out",
            *_threads("--cpu_threads", threads),
        )

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one step, as ``Runner.run`` says."""
        check_inputs(inputs, self._manifest.inputs)
        remote = self._tool.remote
        clean = quote("rm", "-rf", self._work) + " && " + quote("mkdir", "-p", self._work)
        checked(remote, clean, "no room for the inputs")
        with tempfile.TemporaryDirectory(prefix="edge-vos-phone-") as scratch:
            for spec in self._manifest.inputs:
                local = Path(scratch) / f"{spec.name}.bin"
                local.write_bytes(np.ascontiguousarray(inputs[spec.name]).tobytes())
                remote.push(local, f"{self._work}/{local.name}")
            checked(remote, self._command, "executor_runner failed", RUN_S)
            outputs = {}
            for index, spec in enumerate(self._manifest.outputs):
                local = Path(scratch) / f"out-{index}.bin"
                remote.pull(f"{self._work}/{local.name}", local)
                flat = np.frombuffer(local.read_bytes(), np.float32)
                if flat.size != np.prod(spec.shape):
                    raise DeviceError(
                        f"executor_runner wrote {flat.size} numbers for {spec.name}",
                        f"{spec.shape}, as the manifest says",
                    )
                outputs[spec.name] = flat.reshape(spec.shape).copy()
        return outputs

    def close(self) -> None:
        """Remove the inputs and outputs from the phone."""
        self._tool.remote.run(quote("rm", "-rf", self._work))


def check_runner(backend: str, runner: Path | None) -> None:
    """Refuse a bundle that no tool runs, or a tool that is not there, before anything is copied.

    Raises:
        UsageError: with where the tool comes from.
    """
    family = backend.partition("-")[0]
    if family not in WHERE or backend == "executorch-coreml":
        raise UsageError(
            f"a bundle for {backend} on Android",
            "one for LiteRT or ExecuTorch",
            "edge-vos convert --target android -o DIR",
        )
    if runner is None or not runner.is_file():
        tool = "benchmark_model" if family == "litert" else "executor_runner"
        given = "no tool" if runner is None else f"no file {runner}"
        raise UsageError(
            f"{given} to run a bundle for {backend} on Android",
            f"--runner {tool}, built for the phone",
            f"Get it from {WHERE[family]}",
        )


def verify(tool: Tool, bundle: Bundle, threads: int | None) -> Accuracy:
    """Repeat an ExecuTorch bundle's golden on the phone.

    Raises:
        DeviceError: if the tool fails, or writes something else.
    """
    golden, limits = Golden.load(bundle), tolerance_of(bundle)
    _make_executable(tool)
    runner = PhoneRunner(tool, bundle, threads)
    try:
        found = check_golden(runner, bundle.manifest.graph, golden, **limits)
    finally:
        runner.close()
    return Accuracy(found.passed, found.frames, found.mask_iou, found.max_abs_error)


def measure(tool: Tool, bundle: Bundle, threads: int | None) -> PhoneReport:
    """Time the network alone, and say how the phone was meanwhile.

    Raises:
        DeviceError: if the tool fails, or prints no timing.
    """
    manifest = bundle.manifest
    _make_executable(tool)
    litert = manifest.backend == "litert"
    model = f"{tool.folder}/{manifest.model_file}"
    if litert:
        arguments = [f"--graph={model}", f"--num_runs={EXECUTIONS}", f"--warmup_runs={WARMUP}",
                     *_threads("--num_threads", threads)]  # fmt: skip
    else:
        arguments = [f"--model_path={model}", f"--num_executions={EXECUTIONS}",
                     *_threads("--cpu_threads", threads)]  # fmt: skip
    done = checked(tool.remote, quote(tool.path, *arguments), "the tool failed", RUN_S)
    said = f"{done.out}\n{done.err}"
    timing = parse_benchmark_model(said) if litert else parse_executor_runner(said)
    if timing is None:
        raise DeviceError(
            f"{Path(tool.path).name} printed no timing on {tool.remote.name}: {done.last_line}",
            "executor_runner of ExecuTorch 0.7 or later, or benchmark_model",
        )
    warnings = ["The network alone, without pre- and post-processing: no frame rate."]
    if parse_throttles(tool.remote.run("dumpsys thermalservice").out):
        warnings.append("The phone throttles for its heat: let it cool and measure again.")
    if parse_powered(tool.remote.run("dumpsys battery").out) is False:
        warnings.append("The phone runs on its battery: plug it in and measure again.")
    named = tool.remote.run(
        "getprop ro.product.model; getprop ro.soc.model; getprop ro.build.version.release"
    ).out.splitlines()
    return PhoneReport(
        **vars(subject_of(bundle, manifest.backend, threads)),
        device=PhoneInfo(*(named + [""] * 3)[:3]),
        latency_ms={"infer": {"mean": timing.infer_ms}},
        first_inference_ms=timing.first_ms,
        load_ms=timing.init_ms,
        memory_mb=timing.memory_mb,
        warnings=tuple(warnings),
    )


def parse_executor_runner(text: str) -> Timing | None:
    """Read what ``executor_runner`` logs; None if it holds no timing."""
    found = _EXECUTED.search(text)
    if found is None or int(found[1]) == 0:
        return None
    return Timing(float(found[2]) / int(found[1]))


def parse_benchmark_model(text: str) -> Timing | None:
    """Read what ``benchmark_model`` prints; None if it holds no timing."""
    found = _TIMINGS.search(text)
    if found is None:
        return None
    init, first, _, mean = (float(value) / 1e3 for value in found.groups())
    footprint = _FOOTPRINT.search(text)
    return Timing(mean, first, init, float(footprint[1]) if footprint else None)


def _make_executable(tool: Tool) -> None:
    checked(tool.remote, quote("chmod", "755", tool.path), "the tool cannot be made executable")


def _threads(option: str, threads: int | None) -> list[str]:
    return [] if threads is None else [f"{option}={threads}"]
