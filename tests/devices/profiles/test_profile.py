import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import tomli

from edge_vos.cli.devices import recipe_for_device
from edge_vos.converters.known_bad import check_known_bad
from edge_vos.converters.targets import TARGETS
from edge_vos.devices.profiles.profile import (
    BOARDS,
    FOLDER,
    Choice,
    Profile,
    Trap,
    load_profile,
    parse_profile,
    profile_names,
    profile_of,
)
from edge_vos.devices.telemetry.probe import DeviceInfo
from edge_vos.engines import ENGINES
from edge_vos.errors import UsageError
from edge_vos.model.config import SAMPLERS

PROMISED = {
    "raspberry-pi-5", "jetson-nano", "jetson-xavier-nx", "jetson-orin-nano", "jetson-agx-orin",
    "jetson-agx-thor", "pixel-8", "pixel-9", "galaxy-s22", "galaxy-s25", "iphone-13",
    "iphone-15-pro", "iphone-16-pro", "m-series-mac", "x86-laptop", "generic-cpu",
}  # fmt: skip
NAMES = profile_names()
SCHEMA: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text())


def test_the_promised_devices_are_there() -> None:
    assert set(NAMES) == PROMISED


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_names_only_what_exists(name: str) -> None:
    profile = load_profile(name)
    choice = profile.choice
    assert set(profile.engines) <= set(ENGINES)
    assert choice.target in TARGETS
    assert choice.backend in profile.engines
    assert choice.precision in ENGINES[choice.backend].precisions
    assert choice.sampler in (*SAMPLERS, "auto")
    assert profile.sources
    assert profile.traps


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_becomes_a_recipe_that_is_not_known_to_go_wrong(name: str) -> None:
    recipe = recipe_for_device(name)
    choice = load_profile(name).choice
    assert (recipe.target, recipe.backend, recipe.precision) == (
        choice.target, choice.backend, choice.precision
    )  # fmt: skip
    assert (recipe.size, recipe.sampler) == (choice.size, choice.sampler)
    assert choice.reason in recipe.reason
    check_known_bad(recipe)


def test_what_the_user_asks_for_comes_first() -> None:
    recipe = recipe_for_device(
        "raspberry-pi-5", precision="int8", sampler="matmul", size=(192, 336)
    )
    assert (recipe.precision, recipe.sampler, recipe.size) == ("int8", "matmul", (192, 336))
    assert recipe.reason == recipe.sampler_reason == "as asked for"
    with pytest.raises(UsageError, match="palette4"):
        recipe_for_device("raspberry-pi-5", precision="palette4")


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    return SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule


def _fits(value: Any, rule: dict[str, Any]) -> bool:
    """Tell whether a value keeps a rule; the part of JSON Schema that the schema uses."""
    rule = _rule(rule)
    kind = {"object": dict, "array": list, "string": str, "integer": int}[rule["type"]]
    if type(value) is not kind:
        return False
    if kind is dict:
        return set(rule["required"]) <= set(value) <= set(rule["properties"]) and all(
            _fits(each, rule["properties"][key]) for key, each in value.items()
        )
    if kind is list:
        most = rule.get("maxItems", len(value))
        return rule.get("minItems", 0) <= len(value) <= most and all(
            _fits(each, rule["items"]) for each in value
        )
    if kind is str:
        return re.search(rule["pattern"], value) is not None
    return bool(value >= rule["minimum"])


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_fits_the_schema(name: str) -> None:
    assert _fits(tomli.loads((FOLDER / f"{name}.toml").read_text()), SCHEMA)


def test_the_schema_says_what_the_classes_do() -> None:
    choice = SCHEMA["properties"]["choice"]
    trap = SCHEMA["properties"]["traps"]["items"]
    for rule, kind in ((SCHEMA, Profile), (choice, Choice), (trap, Trap)):
        known = {field.name: field for field in fields(kind) if field.name != "name"}
        assert set(rule["properties"]) == set(known)
        assert set(rule["required"]) == {
            name for name, field in known.items() if field.default is MISSING
        }


def _document() -> dict[str, Any]:
    return tomli.loads((FOLDER / "raspberry-pi-5.toml").read_text())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"soc": None}, "lacks soc"),
        ({"colour": "green"}, "colour"),
        ({"title": ""}, "title"),
        ({"gpu": 7}, "gpu"),
        ({"memory_gb": []}, "memory_gb"),
        ({"memory_gb": [0]}, "memory_gb"),
        ({"memory_gb": [True]}, "memory_gb"),
        ({"engines": ["abacus"]}, "abacus"),
        ({"engines": ["litert"]}, "choice.backend"),
        ({"sources": ["http://example.com"]}, "https"),
        ({"sources": "https://example.com"}, "sources"),
        ({"choice": []}, "a table"),
        ({"choice": {"target": "cpu"}}, "lacks backend"),
        ({"traps": "none"}, "traps"),
        ({"traps": [{"what": "it burns"}]}, "lacks source"),
        ({"traps": [{"what": 3, "source": "https://example.com"}]}, "traps"),
        ({"traps": [{"what": "it burns", "source": 3}]}, "https"),
    ],
)
def test_a_wrong_profile_is_refused(changes: dict[str, Any], says: str) -> None:
    document = {key: value for key, value in {**_document(), **changes}.items() if value != None}  # noqa: E711
    with pytest.raises(UsageError, match=says):
        parse_profile("broken", document)


@pytest.mark.parametrize(
    "change", [{"size": [240]}, {"size": [240, -432]}, {"size": "240x432"}, {"precision": 8}]
)
def test_a_wrong_choice_is_refused(change: dict[str, Any]) -> None:
    document = _document()
    with pytest.raises(UsageError, match=next(iter(change))):
        parse_profile("broken", {**document, "choice": {**document["choice"], **change}})


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("title = ")
    with pytest.raises(UsageError, match=r"broken\.toml cannot be read"):
        load_profile("broken", tmp_path)
    with pytest.raises(UsageError, match="no device 'nokia-3310'"):
        load_profile("nokia-3310")


@pytest.mark.parametrize(
    ("board", "machine", "system", "name"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "Linux 6.6", "raspberry-pi-5"),
        ("NVIDIA Jetson Nano Developer Kit", "aarch64", "Linux 4.9", "jetson-nano"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "aarch64", "Linux 5.15", "jetson-orin-nano"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "aarch64", "Linux 5.15", "jetson-agx-orin"),
        ("arm", "arm64", "Darwin 24.1", "m-series-mac"),
        ("NVIDIA Orin Nano Developer Kit", "aarch64", "Linux 5.15", "jetson-orin-nano"),
        ("Raspberry Pi Compute Module 5 Rev 1.0", "aarch64", "Linux 6.6", "raspberry-pi-5"),
        ("AMD EPYC", "x86_64", "Linux 6.1", "x86-laptop"),
        ("Intel64 Family 6", "AMD64", "Windows 11", "x86-laptop"),
        ("Radxa ROCK 5B", "aarch64", "Linux 6.1", "generic-cpu"),
    ],
)
def test_a_machine_finds_its_profile(board: str, machine: str, system: str, name: str) -> None:
    assert profile_of(DeviceInfo(board, machine, 4, 8 << 30, system, "3.11.9")).name == name


def test_boards_lead_to_profiles() -> None:
    assert set(BOARDS.values()) <= set(NAMES)
