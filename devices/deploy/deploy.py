"""Put a bundle on another device, check it there, measure it there, and bring the report home.

The bundle takes its place there only after its own golden was repeated on that device and
agreed: what breaks off, or fails, leaves what was there before.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_vos.bundle import GOLDEN_FILE, MANIFEST_FILE, Bundle, read_bundle
from edge_vos.devices.bench.report import Accuracy, BenchReport
from edge_vos.devices.deploy import phone, prepare
from edge_vos.devices.deploy.device_python import OnStep, find_python
from edge_vos.devices.deploy.package import pack
from edge_vos.devices.deploy.phone import PhoneReport
from edge_vos.devices.deploy.remote import Remote, quote
from edge_vos.devices.deploy.store import (
    DeviceFolder,
    assemble,
    checked,
    copy,
    install,
    remove,
    visit,
)
from edge_vos.devices.report_json import read_report_as
from edge_vos.errors import DeviceError, GateError

PACKED = "edge-vos.pyz"
BUILD_S = 1800.0  # TensorRT on a Jetson Nano takes many minutes
BENCH_S = 7200.0


@dataclass(frozen=True)
class DeployRequest:
    """Say what to put where.

    Args:
        bundle: its folder or zip.
        remote: the device.
        python: the interpreter there; None looks for one. Android has none.
        runner: for Android: ``executor_runner`` or ``benchmark_model``, built for the device.
        threads: of the engine; None is its own choice.
        bench_options: further options of ``edge-vos bench`` there.
    """

    bundle: Path
    remote: Remote
    python: str | None = None
    runner: Path | None = None
    threads: int | None = None
    bench_options: Sequence[str] = ("--quick",)


@dataclass(frozen=True)
class Deployment:
    """Say what was done.

    Args:
        device: the device's URI.
        system: its kernel and instruction set.
        installed: the bundle's path there.
        copied: names of the files that were copied.
        copied_bytes: of all of these.
        unchanged: files that were there already.
        engine: the path of the engine that was built there; None where none has to be.
        verify: how the masks agreed with the recorded ones there; None where it cannot be checked.
        report: of ``edge-vos bench`` there, or on Android of the engine's own tool.
        next_step: the command to type on the device.
    """

    device: str
    system: str
    installed: str
    copied: tuple[str, ...]
    copied_bytes: int
    unchanged: int
    engine: str | None
    verify: Accuracy | None
    report: BenchReport | PhoneReport
    next_step: str


def deploy(request: DeployRequest, on_step: OnStep = lambda _: None) -> Deployment:
    """Check the device, copy, build the engine, verify, measure, install and clean up.

    Args:
        request: what to put where.
        on_step: told what is done now.

    Raises:
        BundleError: if the bundle is broken.
        DeviceError: if the device cannot be reached, lacks something, or breaks off.
        GateError: if the masks are off there; nothing was installed.
    """
    bundle, remote = read_bundle(request.bundle), request.remote
    if remote.is_android:
        phone.check_runner(bundle.manifest.backend, request.runner)
    on_step(f"looking at {remote.name}")
    device_folder = visit(remote)
    try:
        return _deploy(request, bundle, device_folder, on_step)
    finally:
        remove(remote, quote("rm", "-rf", device_folder.run))


@dataclass(frozen=True)
class _Proof:
    """Hold what was found on the device before anything is installed."""

    verify: Accuracy | None
    report: BenchReport | PhoneReport
    engine: str | None = None


def _deploy(
    request: DeployRequest, bundle: Bundle, device_folder: DeviceFolder, on_step: OnStep
) -> Deployment:
    remote, python, runtime = request.remote, "", request.runner
    with tempfile.TemporaryDirectory(prefix="edge-vos-deploy-") as scratch:
        if not remote.is_android:
            python = find_python(
                remote, device_folder, bundle.manifest.backend, request.python, on_step
            )
            runtime = Path(scratch) / PACKED
            runtime.write_bytes(pack())
        files = {name: bundle.folder / name for name in (MANIFEST_FILE, *bundle.manifest.files)}
        on_step("copying what is not there yet")
        named = files | ({runtime.name: runtime} if runtime else {})
        paths, copied = copy(remote, device_folder, named)
    name = f"{bundle.manifest.name}-{bundle.sha256[:12]}.bundle"
    stored = {file: paths[file] for file in files}
    if python:
        folder = assemble(remote, device_folder, name, stored, paths[PACKED])
        command = [python, f"{device_folder.run}/{PACKED}"]
        proof = _prove(request, bundle, device_folder, command, folder, on_step)
        next_step = quote(
            python, device_folder.runtime, "live", "--model", f"{device_folder.root}/bundles/{name}"
        )
    else:
        tools = [paths[runtime.name]] if runtime else []
        folder = assemble(remote, device_folder, name, stored, tools=tools)
        tool = phone.Tool(remote, device_folder, folder, "".join(tools))
        proof = _prove_on_phone(request, bundle, tool, on_step)
        next_step = "Open it in an app: docs/phone.md"
    return Deployment(
        device=remote.name,
        system=device_folder.system,
        installed=install(remote, device_folder, name),
        copied=copied.names,
        copied_bytes=copied.size_bytes,
        unchanged=copied.unchanged,
        engine=proof.engine,
        verify=proof.verify,
        report=proof.report,
        next_step=next_step,
    )


def _prove(
    request: DeployRequest,
    bundle: Bundle,
    device_folder: DeviceFolder,
    command: Sequence[str],
    folder: str,
    on_step: OnStep,
) -> _Proof:
    """Build the engine where one has to be, repeat the golden, and measure."""
    remote, engine = request.remote, None
    if bundle.manifest.backend == "tensorrt":
        on_step("building TensorRT's engine there, unless it is kept; this takes minutes")
        path = quote("env", f"PYTHONPATH={command[1]}")
        program = f"{path} {quote(command[0], '-m', prepare.__name__, folder)}"
        engine = checked(remote, program, "no engine", BUILD_S).out.strip().splitlines()[-1]
    on_step("repeating the bundle's golden there")
    threads = [] if request.threads is None else ["--threads", str(request.threads)]
    done = remote.run(quote(*command, "verify", folder, *threads, "--json"), BENCH_S)
    verdict = _document(remote, "verify", done.out, done.last_line)
    if done.code or verdict["passed"] is not True:
        raise GateError(
            f"{bundle.path} is {verdict['verdict']} on {remote.name}: "
            f"mask IoU {verdict['mask_iou']}, {verdict['engine']} {verdict['engine_version']}",
            "the recorded masks",
            "Nothing was installed there",
        )
    verify = Accuracy(
        True, verdict["frames"], float(verdict["mask_iou"]), float(verdict["max_abs_error"])
    )
    on_step("measuring there")
    report_path = f"{device_folder.run}/report.json"
    bench = quote(*command, "bench", folder, *threads, *request.bench_options, "-o", report_path)
    checked(remote, bench, "the benchmark failed", BENCH_S)
    return _Proof(verify, _fetch(remote, report_path), engine)


def _prove_on_phone(
    request: DeployRequest, bundle: Bundle, tool: phone.Tool, on_step: OnStep
) -> _Proof:
    """Repeat the golden where the phone's tool can, and measure."""
    verdict = None
    if bundle.manifest.backend.startswith("executorch") and GOLDEN_FILE in bundle.manifest.files:
        on_step("repeating the bundle's golden there")
        verdict = phone.verify(tool, bundle, request.threads)
        if not verdict.passed:
            raise GateError(
                f"{bundle.path} FAILED on {tool.remote.name}: mask IoU {verdict.mask_iou}",
                "the recorded masks",
                "Nothing was installed there",
            )
    on_step("measuring there")
    return _Proof(verdict, phone.measure(tool, bundle, request.threads))


def _fetch(remote: Remote, path: str) -> BenchReport:
    with tempfile.TemporaryDirectory(prefix="edge-vos-report-") as scratch:
        home = Path(scratch) / "report.json"
        remote.pull(path, home)
        text = home.read_text(encoding="utf-8", errors="replace")
    document = _document(remote, "bench", text, "a broken file")
    try:
        return read_report_as(BenchReport, document)
    except ValueError as error:
        raise DeviceError(f"edge-vos bench on {remote.name} wrote no report: {error}") from error


def _document(remote: Remote, command: str, text: str, said: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DeviceError(f"edge-vos {command} failed on {remote.name}: {said}") from error
    if not isinstance(document, dict):
        raise DeviceError(f"edge-vos {command} on {remote.name} answered no object")
    return document
