"""Find a Python on another device that has what the base install has, or make one."""

import json
import sys
from collections.abc import Callable, Sequence

from edge_vos.devices.deploy.package import (
    OLDEST_PYTHON,
    modules,
    requirements,
    system_modules,
)
from edge_vos.devices.deploy.remote import DirRemote, Remote, quote
from edge_vos.devices.deploy.store import DeviceFolder, checked
from edge_vos.errors import DeviceError

INSTALL_S = 1800.0

OnStep = Callable[[str], None]

_PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.10", "python3")
_PROBE = (
    "import importlib.util as u, json, sys; print(json.dumps([sys.version_info[:3], "
    "[m for m in sys.argv[1:] if u.find_spec(m) is None]]))"
)
_IMPORT = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]"


def find_python(
    remote: Remote,
    device_folder: DeviceFolder,
    engine: str,
    asked: str | None,
    on_step: OnStep,
) -> str:
    """Return a Python there that has what the base install has, installed first where it must be.

    Args:
        remote: the device.
        device_folder: our folder there.
        engine: the backend of the bundle that is to run.
        asked: the interpreter to take; None looks for one.
        on_step: told what is done now.

    Raises:
        DeviceError: if there is none that is new enough, or pip fails.
    """
    own = f"{device_folder.own}/venv/bin/python"
    here = [sys.executable] if isinstance(remote, DirRemote) else []
    names = [asked, own] if asked else [own, *here, *_PYTHONS]
    given = system_modules(engine)
    lacking: list[tuple[str, list[str]]] = []
    found: list[str] = []
    for name in names:
        done = remote.run(quote(name, "-c", _PROBE, *modules(engine), *given))
        try:
            version, missing = json.loads(done.out)
        except ValueError:  # there is no such interpreter, or it is not one
            if name == asked:
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
