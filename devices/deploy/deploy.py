"""Put a bundle on another device, check it there, measure it there, and bring the report home.

The bundle takes its place there only after its own recording was repeated on that device and
agreed: what breaks off, or fails, leaves what was there before.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_vos.bundle import GOLDEN_FILE, MANIFEST_FILE, Bundle, read_bundle
from edge_vos.devices.deploy import phone
from edge_vos.devices.deploy.package import (
    OLDEST_PYTHON,
    modules,
    pack,
    requirements,
    system_modules,
)
from edge_vos.devices.deploy.remote import DirRemote, Remote, quote
from edge_vos.devices.deploy.store import (
    Copied,
    DeviceFolder,
    assemble,
    checked,
    copy,
    install,
    remove,
    visit,
)
from edge_vos.errors import DeviceError, GateError

INSTALL_S = 1800.0
BUILD_S = 1800.0  # TensorRT on a Jetson Nano takes many minutes
BENCH_S = 7200.0

_PYTHONS = ("python3.13", "python3.12", "python3.11", "python3")
_PROBE = (
    "import importlib.util as u, json, sys; print(json.dumps([sys.version_info[:3], "
    "[m for m in sys.argv[1:] if u.find_spec(m) is None]]))"
)
_IMPORT = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]"
_PREPARE = """
import sys
sys.path.insert(0, sys.argv[1])
from edge_vos.bundle import read_bundle
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.backends.tensorrt import Cuda, prepare_engine
from edge_vos.runtime.backends.tensorrt_engine import default_cache
try:
    bundle = read_bundle(sys.argv[2])
    precision = bundle.manifest.precision
    print(prepare_engine(bundle.model_path, precision, Cuda(), default_cache()))
except EdgeVosError as error:
    sys.exit(str(error))
"""

OnStep = Callable[[str], None]


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
        verify: what ``edge-vos verify --json`` said there; None where it cannot be checked.
        report: what ``edge-vos bench --json`` said there, or on Android the engine's own tool.
        next_step: the command to type on the device.
    """

    device: str
    system: str
    installed: str
    copied: tuple[str, ...]
    copied_bytes: int
    unchanged: int
    engine: str | None
    verify: dict[str, Any] | None
    report: dict[str, Any]
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


def _deploy(
    request: DeployRequest, bundle: Bundle, device_folder: DeviceFolder, on_step: OnStep
) -> Deployment:
    remote = request.remote
    python = None if remote.is_android else find_python(request, device_folder, bundle, on_step)
    with tempfile.TemporaryDirectory(prefix="edge-vos-deploy-") as scratch:
        runtime = request.runner
        if python is not None:
            runtime = Path(scratch) / "edge-vos.pyz"
            runtime.write_bytes(pack())
        files = {name: bundle.folder / name for name in (MANIFEST_FILE, *bundle.manifest.files)}
        on_step("copying what is not there yet")
        named = files | ({runtime.name: runtime} if runtime else {})
        paths, copied = copy(remote, device_folder, named)
    name = f"{bundle.manifest.name}-{bundle.sha256[:12]}.bundle"
    stored = {file: paths[file] for file in files}
    if python is None:
        tools = [paths[runtime.name]] if runtime else []
        folder = assemble(remote, device_folder, name, stored, tools=tools)
        tool = phone.Tool(remote, device_folder, folder, paths[runtime.name] if runtime else "")
        return _finish_phone(request, bundle, tool, copied, name, on_step)
    folder = assemble(remote, device_folder, name, stored, paths["edge-vos.pyz"])
    command = [python, f"{device_folder.run}/edge-vos.pyz"]
    return _finish(request, bundle, device_folder, command, copied, name, folder, on_step)


def find_python(
    request: DeployRequest, device_folder: DeviceFolder, bundle: Bundle, on_step: OnStep
) -> str:
    """Return a Python there that has what the base install has, installed first where it must be.

    Raises:
        DeviceError: if there is none that is new enough, or pip fails.
    """
    remote, own = request.remote, f"{device_folder.own}/venv/bin/python"
    here = [sys.executable] if isinstance(remote, DirRemote) else []
    names = [request.python, own] if request.python else [own, *here, *_PYTHONS]
    engine = bundle.manifest.backend
    given = system_modules(engine)
    lacking: list[tuple[str, list[str]]] = []
    found: list[str] = []
    for name in names:
        done = remote.run(quote(name, "-c", _PROBE, *modules(engine), *given))
        try:
            version, missing = json.loads(done.out)
        except ValueError:  # there is no such interpreter, or it is not one
            if name == request.python:
                raise DeviceError(
                    f"--python {name} is no Python on {remote.name}: {done.last_line}",
                    "the path of an interpreter there",
                    "Leave --python out to have one looked for",
                ) from None
            continue
        able = not set(given) & set(missing)
        has = "".join(f", with {module}" for module in given if able)
        found.append(".".join(map(str, version)) + has)
        if tuple(version) < OLDEST_PYTHON:
            continue
        if not missing:
            return name
        if able and name != own:  # a venv that lacks something is made anew
            lacking.append((name, missing))
    if not lacking:
        raise _no_python(remote, engine, given, "; ".join(dict.fromkeys(found)) or "none")
    name, missing = lacking[0]
    on_step(f"installing on {remote.name}, once: {', '.join(missing)}")
    # The system's packages stay visible: on a Jetson TensorRT is one of them.
    new, venv = f"{device_folder.run}/venv", f"{device_folder.own}/venv"
    steps = (
        quote(name, "-m", "venv", "--system-site-packages", new),
        quote(f"{new}/bin/python", "-m", "pip", "install", "--quiet",
              "--disable-pip-version-check", *requirements(engine)),
        quote(f"{new}/bin/python", "-c", _IMPORT, *modules(engine), *given),
        quote("rm", "-rf", venv),
        quote("mv", new, venv),
    )  # fmt: skip
    checked(remote, " && ".join(steps), "pip could not install what runs a bundle", INSTALL_S)
    return own


def _no_python(remote: Remote, engine: str, given: Sequence[str], found: str) -> DeviceError:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    what = f"The Python of {remote.name} is {found}"
    if given:
        return DeviceError(
            f"{what}: a bundle for {engine} cannot run there",
            f"a Python {oldest} or later that imports {', '.join(given)}",
            "Deploy one for another engine, as made by: edge-vos convert --target cpu -o DIR",
        )
    return DeviceError(
        what, f"{oldest} or later",
        "Install one there, as in: uv python install 3.12; then name it with --python",
    )  # fmt: skip


def _finish(
    request: DeployRequest,
    bundle: Bundle,
    device_folder: DeviceFolder,
    command: Sequence[str],
    copied: Copied,
    name: str,
    folder: str,
    on_step: OnStep,
) -> Deployment:
    remote = request.remote
    engine = None
    if bundle.manifest.backend == "tensorrt":
        on_step("building TensorRT's engine there, unless it is kept; this takes minutes")
        program = quote(command[0], "-c", _PREPARE, command[1], folder)
        engine = checked(remote, program, "no engine", BUILD_S).out.strip().splitlines()[-1]
    on_step("repeating the bundle's recording there")
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
    on_step("measuring there")
    report_path = f"{device_folder.run}/report.json"
    bench = quote(*command, "bench", folder, *threads, *request.bench_options, "-o", report_path)
    checked(remote, bench, "the benchmark failed", BENCH_S)
    report = _fetch(remote, report_path)
    installed = install(remote, device_folder, name)
    return Deployment(
        device=remote.name,
        system=device_folder.system,
        installed=installed,
        copied=copied.names,
        copied_bytes=copied.size_bytes,
        unchanged=copied.unchanged,
        engine=engine,
        verify=verdict,
        report=report,
        next_step=quote(command[0], device_folder.runtime, "live", "--model", installed),
    )


def _finish_phone(
    request: DeployRequest,
    bundle: Bundle,
    tool: phone.Tool,
    copied: Copied,
    name: str,
    on_step: OnStep,
) -> Deployment:
    checkable = bundle.manifest.backend.startswith("executorch") and (
        GOLDEN_FILE in bundle.manifest.files
    )
    verdict = None
    if checkable:
        on_step("repeating the bundle's recording there")
        verdict = phone.verify(tool, bundle, request.threads)
        if not verdict["passed"]:
            raise GateError(
                f"{bundle.path} FAILED on {tool.remote.name}: mask IoU {verdict['mask_iou']}",
                "the recorded masks",
                "Nothing was installed there",
            )
    on_step("measuring there")
    report = phone.measure(tool, bundle, request.threads)
    installed = install(tool.remote, tool.device_folder, name)
    return Deployment(
        device=tool.remote.name,
        system=tool.device_folder.system,
        installed=installed,
        copied=copied.names,
        copied_bytes=copied.size_bytes,
        unchanged=copied.unchanged,
        engine=None,
        verify=verdict,
        report=report,
        next_step="Open it in an app: docs/phone.md",
    )


def _fetch(remote: Remote, path: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edge-vos-report-") as scratch:
        home = Path(scratch) / "report.json"
        remote.pull(path, home)
        return _document(remote, "bench", home.read_text(encoding="utf-8"), "a broken file")


def _document(remote: Remote, command: str, text: str, said: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DeviceError(f"edge-vos {command} failed on {remote.name}: {said}") from error
    if not isinstance(document, dict):
        raise DeviceError(f"edge-vos {command} on {remote.name} answered no object")
    return document
