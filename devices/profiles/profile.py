"""Profiles of devices: what a device is, which engines it has, what to convert for it, and traps.

A profile is a TOML file in ``profiles/``, by ``profiles/schema.json``. Its facts carry the page
that they were found on; what it recommends has been measured by nobody unless it says so.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import tomli

from edge_vos.devices.telemetry.probe import DeviceInfo
from edge_vos.engines import ENGINES
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from importlib.abc import Traversable

FOLDER = files("edge_vos.devices.profiles")  # also where the package is one zip
GENERIC = "generic-cpu"

BOARDS = {
    "NVIDIA Orin Nano": "jetson-orin-nano",
    "NVIDIA Xavier NX": "jetson-xavier-nx",
    "NVIDIA AGX Orin": "jetson-agx-orin",
    "NVIDIA AGX Thor": "jetson-agx-thor",
    "Raspberry Pi Compute Module 5": "raspberry-pi-5",
}
"""How boards call themselves where that is not their profile's title, with the profile's name."""


@dataclass(frozen=True)
class Choice:
    """Hold what ``edge-vos convert`` should make for a device.

    Args:
        target: as ``--target`` takes it.
        backend: as ``--backend`` takes it; one of the profile's engines.
        precision: as ``--precision`` takes it.
        size: (height, width) of the image.
        sampler: as ``--sampler`` takes it, "auto" included.
        reason: why.
        source: URL of a public page that the reason stands on.
    """

    target: str
    backend: str
    precision: str
    size: tuple[int, int]
    sampler: str
    reason: str
    source: str


@dataclass(frozen=True)
class Trap:
    """Describe what goes wrong on a device.

    Args:
        what: happens, and how to avoid it.
        source: URL of a public page about it.
    """

    what: str
    source: str


@dataclass(frozen=True)
class Profile:
    """Describe a device.

    Args:
        name: of the file, as ``--device`` takes it.
        title: as its maker calls it.
        soc: chip and CPU.
        gpu: GPU, and what else computes.
        memory_gb: sizes that it comes with.
        system: operating system that its engines need.
        engines: names of the backends whose engine exists for it.
        sources: URLs of public pages that the facts stand on.
        choice: what to convert for it.
        traps: what goes wrong on it.
    """

    name: str
    title: str
    soc: str
    gpu: str
    memory_gb: tuple[int, ...]
    system: str
    engines: tuple[str, ...]
    sources: tuple[str, ...]
    choice: Choice
    traps: tuple[Trap, ...] = ()


def profile_names(folder: "Traversable" = FOLDER) -> tuple[str, ...]:
    """Return the names of all profiles, sorted."""
    names = (each.name for each in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_profile(name: str, folder: "Traversable" = FOLDER) -> Profile:
    """Read a profile.

    Raises:
        UsageError: if there is none of that name, or its file breaks the schema.
    """
    if name not in profile_names(folder):
        raise UsageError(
            f"There is no device {name!r}",
            f"one of {', '.join(profile_names(folder))}",
            "edge-vos devices list",
        )
    path = folder.joinpath(f"{name}.toml")
    try:
        document = tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "a TOML file") from error
    return parse_profile(name, document)


def parse_profile(name: str, document: Mapping[str, Any]) -> Profile:
    """Check a profile's document, as TOML gives it.

    Raises:
        UsageError: if a field is missing, unknown or wrong.
    """
    _check_fields(name, document, Profile, given=("name",))
    choice, traps = document["choice"], document.get("traps", [])
    _check_fields(f"{name}: choice", choice, Choice)
    _require(isinstance(traps, list), name, "traps", "a list of tables")
    for trap in traps:
        _check_fields(f"{name}: traps", trap, Trap)
    texts = [
        *((key, document[key]) for key in ("title", "soc", "gpu", "system")),
        *((key, value) for key, value in choice.items() if key != "size"),
        *(("traps", trap["what"]) for trap in traps),
    ]
    for key, value in texts:
        _require(isinstance(value, str) and value.strip() != "", name, key, "a text")
    urls = [*_list(name, document, "sources", str), choice["source"]]
    for url in [*urls, *(trap["source"] for trap in traps)]:
        fits = isinstance(url, str) and url.startswith("https://") and " " not in url
        _require(fits, name, f"source {url!r}", "a URL, https://…")
    engines = _list(name, document, "engines", str)
    for engine in engines:
        _require(engine in ENGINES, name, f"engine {engine!r}", f"one of {', '.join(ENGINES)}")
    _require(choice["backend"] in engines, name, "choice.backend", "one of the profile's engines")
    sizes = _list(name, document, "memory_gb", int)
    _require(min(sizes) > 0, name, "memory_gb", "positive numbers")
    size = _list(name, choice, "size", int)
    _require(len(size) == 2 and min(size) > 0, name, "choice.size", "[height, width]")
    return Profile(
        name=name,
        title=document["title"],
        soc=document["soc"],
        gpu=document["gpu"],
        memory_gb=tuple(sizes),
        system=document["system"],
        engines=tuple(engines),
        sources=tuple(document["sources"]),
        choice=Choice(**{**choice, "size": (size[0], size[1])}),
        traps=tuple(Trap(**trap) for trap in traps),
    )


def profile_of(device: DeviceInfo, folder: "Traversable" = FOLDER) -> Profile:
    """Return the profile that fits a machine: its board's, or that of its kind."""
    names = {load_profile(name, folder).title: name for name in profile_names(folder)} | BOARDS
    if fitting := [text for text in names if text.lower() in device.name.lower()]:
        return load_profile(names[max(fitting, key=len)], folder)
    if device.system.startswith("Darwin") and device.machine == "arm64":
        return load_profile("m-series-mac", folder)
    x86 = device.machine.lower() in ("x86_64", "amd64")
    return load_profile("x86-laptop" if x86 else GENERIC, folder)


def _check_fields(
    where: str, document: Any, kind: type[Profile | Choice | Trap], given: tuple[str, ...] = ()
) -> None:
    _require(isinstance(document, dict), where, "it", "a table")
    known = [field for field in fields(kind) if field.name not in given]
    needed = {field.name for field in known if field.default is MISSING}
    if lacking := sorted(needed - set(document)):
        raise UsageError(f"The profile {where} lacks {', '.join(lacking)}", "every field")
    if unknown := sorted(set(document) - {field.name for field in known}):
        names = ", ".join(field.name for field in known)
        raise UsageError(f"The profile {where} has {unknown[0]!r}", f"one of {names}")


def _list(name: str, document: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    value = document[key]
    fits = isinstance(value, list) and value and all(type(each) is kind for each in value)
    _require(bool(fits), name, key, f"a list of {kind.__name__}, not empty")
    return list(value)


def _require(holds: bool, name: str, what: str, expected: str) -> None:
    if not holds:
        raise UsageError(f"The profile {name} is wrong in {what}", expected)
