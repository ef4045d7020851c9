"""The JSON Schema that ships says of manifests what ``parse`` does, as far as it goes."""

import json
import random
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import edge_vos.manifest
from edge_vos.bundle import MANIFEST_FILE, shipped_bundle_path
from edge_vos.errors import BundleError
from edge_vos.manifest import SCHEMA_FILE, Manifest, PromptHeadEntry
from edge_vos.manifest_json import parse, serialize

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KEYWORDS = {
    "$schema", "title", "description", "$defs", "$ref", "type", "const", "pattern", "required",
    "properties", "additionalProperties", "propertyNames", "maxProperties", "items", "minItems",
    "maxItems", "minimum", "maximum", "multipleOf",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    path = Path(edge_vos.manifest.__file__).with_name(SCHEMA_FILE)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _wrong(value: Any, rule: Any, root: dict[str, Any], where: str = "") -> list[str]:
    """Return where a value breaks a schema; the part of JSON Schema that ours is written in."""
    if isinstance(rule, bool):
        return [] if rule else [f"{where}: not allowed"]
    unknown = set(rule) - KEYWORDS
    assert not unknown, f"{where}: this checker does not know {unknown}"
    if "$ref" in rule:
        rule = root["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    found: list[str] = []

    def require(holds: bool, what: str) -> None:
        if not holds:
            found.append(f"{where}: {what}")

    if "const" in rule:
        require(json.dumps(value) == json.dumps(rule["const"]), "const")
    if "type" in rule:
        named = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        kinds = [kind for name in named for kind in TYPES[name]]
        if type(value) not in kinds:
            return [*found, f"{where}: type"]
    if isinstance(value, str) and "pattern" in rule:
        require(bool(re.search(rule["pattern"], value)), "pattern")
    if isinstance(value, int | float):
        require(value >= rule.get("minimum", value), "minimum")
        require(value <= rule.get("maximum", value), "maximum")
        require(value % rule.get("multipleOf", 1) == 0 or "multipleOf" not in rule, "multipleOf")
    if isinstance(value, list):
        require(rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)), "items")
        for index, item in enumerate(value):
            found += _wrong(item, rule.get("items", True), root, f"{where}/{index}")
    if isinstance(value, dict):
        require(set(rule.get("required", ())) <= set(value), "required")
        require(len(value) <= rule.get("maxProperties", len(value)), "maxProperties")
        for key, item in value.items():
            found += _wrong(key, rule.get("propertyNames", True), root, f"{where}/{key}")
            inner = rule.get("properties", {}).get(key, rule.get("additionalProperties", True))
            found += _wrong(item, inner, root, f"{where}/{key}")
    return found


def _loaded(manifest: Manifest) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(serialize(manifest))
    return data


def test_it_names_every_field(schema: dict[str, Any]) -> None:
    names = [entry.name for entry in fields(Manifest)] + ["manifest_sha256"]
    assert list(schema["properties"]) == names
    assert schema["required"] == [name for name in names if name != "prompt_head"]
    head = schema["properties"]["prompt_head"]
    assert [entry.name for entry in fields(PromptHeadEntry)] == list(head["properties"])
    assert head["required"] == list(head["properties"])


def test_real_manifests_are_valid(
    schema: dict[str, Any], tiny_manifest: Manifest, prompted_manifest: Manifest
) -> None:
    for manifest in (tiny_manifest, prompted_manifest, replace(tiny_manifest, schema_version=1)):
        assert _wrong(_loaded(manifest), schema, schema) == []
    shipped = json.loads((shipped_bundle_path() / MANIFEST_FILE).read_text())
    assert _wrong(shipped, schema, schema) == []


def test_what_it_refuses_is_refused(schema: dict[str, Any], prompted_manifest: Manifest) -> None:
    rng, refused = random.Random(0), 0
    whole = _loaded(prompted_manifest)
    odd = (None, True, -1, 1.5, 2**70, "", "../x", "x" * 99, [], {}, [[]])
    for _ in range(400):
        data = json.loads(json.dumps(whole))
        node: Any = data
        key = rng.choice(sorted(node))
        while isinstance(node[key], dict | list) and node[key] and rng.random() < 0.7:
            node = node[key]
            key = rng.choice(sorted(node) if isinstance(node, dict) else range(len(node)))
        if rng.random() < 0.2 and isinstance(node, dict):
            del node[key]
        else:
            node[key] = rng.choice(odd)
        if not _wrong(data, schema, schema):
            continue
        refused += 1
        with pytest.raises(BundleError) as caught:
            parse(json.dumps(data).encode())
        assert "manifest_sha256" not in caught.value.what or "manifest_sha256" in str(key)
    assert refused > 200
