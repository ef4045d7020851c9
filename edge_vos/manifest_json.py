"""Read, check and write a manifest as JSON.

It carries a digest of itself, so that a change of one figure is noticed, and every size in it must
agree with the one graph that this release knows (``edge_vos.graph``).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np

from edge_vos.errors import BundleError
from edge_vos.graph import INPUT_NAMES, MEMORY_STRIDE, OUTPUT_NAMES, PROMPT_STRIDE, TensorSpec
from edge_vos.manifest import (
    MANIFEST_FILE,
    PREPROCESSING,
    SCHEMA_VERSIONS,
    FileEntry,
    Manifest,
    MemoryPolicy,
    PromptHeadEntry,
)

MAX_SIDE = 4096
MAX_CHANNELS = 256
MAX_FILES = 256
MAX_DEPTH = 64

CONVERT_AGAIN = "Convert again: edge-vos convert --target cpu"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


def check_path(name: str) -> None:
    """Refuse a path that is not plainly inside the bundle.

    Raises:
        BundleError: if it is absolute, empty, holds ``..`` or an odd character.
    """
    parts = PurePosixPath(name).parts
    if not parts or name != "/".join(parts) or not all(map(_NAME.fullmatch, parts)):
        raise BundleError(
            f"the path {name!r} is not inside the bundle",
            "letters, digits, dots and dashes, without .. and not absolute",
            CONVERT_AGAIN,
        )


def digest(manifest: Manifest) -> str:
    """Return the sha256 of a manifest; with the files' own it stands for the whole bundle."""
    return _digest(_plain(manifest))


def serialize(manifest: Manifest) -> bytes:
    """Return a manifest as JSON: the same manifest always gives the same bytes."""
    data = _plain(manifest)
    return (json.dumps({**data, "manifest_sha256": _digest(data)}, indent=2) + "\n").encode()


def parse(text: bytes) -> Manifest:
    """Read a manifest from JSON and check every field of it.

    Raises:
        BundleError: if the schema, a field, a shape or the manifest's own digest is wrong.
    """
    # Some converters raise Python's recursion limit beyond what its JSON parser survives.
    depth = json_depth(text)
    _require(depth <= MAX_DEPTH, f"JSON of depth {depth}", f"at most {MAX_DEPTH}")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise BundleError(f"not JSON: {error}", "a manifest", CONVERT_AGAIN) from error
    _require(type(data) is dict, "the manifest is no JSON object", "an object")
    version = data.get("schema_version")
    _require(
        type(version) is int and version in SCHEMA_VERSIONS,
        f"schema version {version!r}",
        f"version {' or '.join(map(str, SCHEMA_VERSIONS))}, which this edge-vos reads",
    )
    newer = {"prompt_head"} if version == 1 else set()
    expected = ({entry.name for entry in fields(Manifest)} | {"manifest_sha256"}) - newer
    _same_keys(data, expected, "the manifest")
    names: dict[str, Any] = {
        key: _text(data, key, _NAME)
        for key in ("name", "backend", "precision", "sampler", "target")
    }
    manifest = Manifest(
        schema_version=version,
        **names,
        model_file=_typed(data, "model_file", str),
        size=_pair(data, MEMORY_STRIDE),
        inputs=_specs(data, "inputs"),
        outputs=_specs(data, "outputs"),
        memory=_memory(_typed(data, "memory", dict)),
        preprocessing=_typed(data, "preprocessing", dict),
        parameters=_count(data, "parameters"),
        macs=_count(data, "macs"),
        weights_sha256=_text(data, "weights_sha256", _SHA256),
        report=_typed(data, "report", dict),
        tools=_tools(_typed(data, "tools", dict)),
        files=_files(_typed(data, "files", dict)),
        prompt_head=None if newer else _prompt_head_of(data),
    )
    _check(manifest)
    claimed = data.pop("manifest_sha256")
    _require(claimed == _digest(data), f"manifest_sha256 {claimed!r}", _digest(data))
    return manifest


def json_depth(text: bytes) -> int:
    """Return how deep brackets are nested, those inside strings included."""
    steps = np.zeros(256, np.int8)
    steps[[ord("["), ord("{")]] = 1
    steps[[ord("]"), ord("}")]] = -1
    taken = steps[np.frombuffer(text, np.uint8)]
    return int(np.cumsum(taken[taken != 0], dtype=np.int64).max(initial=0))


def _check(manifest: Manifest) -> None:
    _require(
        manifest.preprocessing == PREPROCESSING
        and all(type(bound) is int for bound in manifest.preprocessing["range"]),
        f"preprocessing {manifest.preprocessing!r}",
        repr(PREPROCESSING),
    )
    _check_graph(manifest.model_file, manifest.report, manifest)
    names = [tuple(spec.name for spec in part) for part in (manifest.inputs, manifest.outputs)]
    _require(
        names == [INPUT_NAMES, OUTPUT_NAMES],
        f"tensors {names}",
        f"{[INPUT_NAMES, OUTPUT_NAMES]}",
    )
    specs = (*manifest.inputs, *manifest.outputs)
    for spec in specs:
        _require(
            len(spec.shape) == 4 and spec.dtype == "float32",
            f"{spec.name} is {spec.dtype} {spec.shape}",
            "float32 with four dimensions",
        )
    graph = manifest.graph
    for count, what in ((graph.channels, "channels"), (graph.slots, "memory slots")):
        _require(2 <= count <= MAX_CHANNELS, f"{count} {what}", f"2 to {MAX_CHANNELS}")
    for spec in specs:
        shape = graph.shape(spec.name)
        _require(spec.shape == shape, f"{spec.name} is {spec.shape}", f"{shape}")
    if manifest.prompt_head is not None:
        _check_prompt_head(manifest.prompt_head, manifest)


def _check_graph(model_file: str, report: Mapping[str, Any], manifest: Manifest) -> None:
    for key in ("executed", "passed"):
        _typed(report, key, bool)
    check_path(model_file)
    _require(
        any(f"{name}/".startswith(f"{model_file}/") for name in manifest.files),
        f"model_file {model_file!r} is not among the files",
        f"one of {', '.join(manifest.files)}, or a folder of theirs",
    )
    _require(
        report["executed"] or not report["passed"],
        "the report says passed, but not executed",
        "a verification that was run",
    )


def _check_prompt_head(entry: PromptHeadEntry, manifest: Manifest) -> None:
    _check_graph(entry.model_file, entry.report, manifest)
    files = (manifest.model_file, entry.model_file)
    _require(
        not any(f"{one}/".startswith(f"{other}/") for one, other in (files, files[::-1])),
        f"the step and the prompt head share {entry.model_file!r}",
        "a model_file each",
    )


def _plain(manifest: Manifest) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(asdict(manifest), allow_nan=False))
    if manifest.schema_version == 1:
        _require(data.pop("prompt_head") is None, "schema version 1 with prompt_head", "version 2")
    return data


def _digest(data: Mapping[str, Any]) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _require(holds: bool, what: str, expected: str) -> None:
    if not holds:
        raise BundleError(what, expected, CONVERT_AGAIN)


def _same_keys(data: Mapping[str, Any], expected: set[str], where: str) -> None:
    wrong = sorted(expected ^ set(data))
    _require(not wrong, f"{where} lacks or does not know {', '.join(wrong)}", f"{sorted(expected)}")


def _typed(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data.get(key)
    # type() and not isinstance(): True is no count.
    _require(type(value) is kind, f"{key} is {value!r:.80}", f"a value of type {kind.__name__}")
    return value  # type: ignore[return-value]


def _text(data: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = _typed(data, key, str)
    _require(bool(pattern.fullmatch(value)), f"{key} is {value!r:.80}", pattern.pattern)
    return value


def _count(data: Mapping[str, Any], key: str) -> int:
    value = _typed(data, key, int)
    _require(0 <= value < 1 << 53, f"{key} is {value}", "a count")
    return value


def _dimensions(data: Mapping[str, Any], key: str) -> tuple[int, ...]:
    values = _typed(data, key, list)
    _require(
        all(type(value) is int and 0 < value <= MAX_SIDE for value in values),
        f"{key} is {values!r:.80}",
        f"whole numbers from 1 to {MAX_SIDE}",
    )
    return tuple(values)


def _pair(data: Mapping[str, Any], stride: int) -> tuple[int, int]:
    size = _dimensions(data, "size")
    _require(
        len(size) == 2 and not any(side % stride for side in size),
        f"size is {list(size)}",
        f"[height, width] in multiples of {stride}",
    )
    return size[0], size[1]


def _specs(data: Mapping[str, Any], key: str) -> tuple[TensorSpec, ...]:
    specs = []
    for item in _typed(data, key, list):
        _require(type(item) is dict, f"{key} holds {item!r:.80}", "objects")
        _same_keys(item, {"name", "shape", "dtype", "description"}, key)
        name, dtype, description = (_typed(item, k, str) for k in ("name", "dtype", "description"))
        specs.append(TensorSpec(name, _dimensions(item, "shape"), dtype, description))
    return tuple(specs)


def _memory(data: dict[str, Any]) -> MemoryPolicy:
    _same_keys(data, {"mem_every", "write_confidence"}, "memory")
    every, confidence = _count(data, "mem_every"), data["write_confidence"]
    _require(every > 0, f"mem_every is {every}", "at least 1")
    _require(
        type(confidence) in (int, float) and 0 <= confidence <= 1,
        f"write_confidence is {confidence!r:.80}",
        "a number from 0 to 1",
    )
    return MemoryPolicy(every, confidence)


def _prompt_head_of(data: Mapping[str, Any]) -> PromptHeadEntry | None:
    if data["prompt_head"] is None:
        return None
    return _prompt_head(_typed(data, "prompt_head", dict))


def _prompt_head(data: dict[str, Any]) -> PromptHeadEntry:
    _same_keys(data, {entry.name for entry in fields(PromptHeadEntry)}, "prompt_head")
    return PromptHeadEntry(
        model_file=_typed(data, "model_file", str),
        size=_pair(data, PROMPT_STRIDE),
        precision=_text(data, "precision", _NAME),
        parameters=_count(data, "parameters"),
        macs=_count(data, "macs"),
        weights_sha256=_text(data, "weights_sha256", _SHA256),
        report=_typed(data, "report", dict),
    )


def _tools(data: dict[str, Any]) -> dict[str, str]:
    return {name: _typed(data, name, str) for name in data}


def _files(data: dict[str, Any]) -> dict[str, FileEntry]:
    _require(len(data) <= MAX_FILES, f"{len(data)} files", f"at most {MAX_FILES}")
    files = {}
    for name in data:
        check_path(name)
        _require(name != MANIFEST_FILE, f"{name} lists itself", "the other files")
        entry = _typed(data, name, dict)
        _same_keys(entry, {"sha256", "size_bytes"}, name)
        files[name] = FileEntry(_text(entry, "sha256", _SHA256), _count(entry, "size_bytes"))
    return files
