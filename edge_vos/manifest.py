"""The manifest of a bundle: what the graph is, how to feed it, how it was made and verified.

A manifest is JSON with a digest of itself, so that a change of one figure is noticed, and every
size in it must agree with the one graph that this release knows (``graph_shapes``).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, TypeVar

from edge_vos.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
SCHEMA_FILE = "manifest.schema.json"
"""Lies beside this module: the same rules as JSON Schema, for other languages and editors."""

PREPROCESSING: dict[str, Any] = {"layout": "RGB", "range": [0, 255], "resize": "letterbox"}

MAX_SIDE = 4096
MAX_CHANNELS = 256
MAX_FILES = 256
MAX_DEPTH = 64

CONVERT_AGAIN = "Convert again: edge-vos convert --target cpu"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_INPUTS = ("image", "prompt", "prompted", "active", "memory_key", "memory_value", "memory_valid")
_OUTPUTS = ("probability", "key", "value")

T = TypeVar("T")


@dataclass(frozen=True)
class TensorSpec:
    """Describe one input or output of the graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    description: str


@dataclass(frozen=True)
class MemoryPolicy:
    """Say when a frame's entry goes to the ring of the memory bank.

    Args:
        mem_every: every how many frames an entry is written.
        write_confidence: the least confidence, in [0, 1], of a frame that may be written.
    """

    mem_every: int = 5
    write_confidence: float = 0.6


@dataclass(frozen=True)
class FileEntry:
    """Identify one file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Describe a bundle.

    Args:
        size: (height, width) of the image that the graph takes.
        target: the kind of device that it was converted for.
        parameters: number of weights of the student.
        macs: multiply-accumulate operations of one call.
        weights_sha256: digest of the weights that were converted.
        report: verification; always holds the booleans ``executed`` and ``passed``, and only what
            was executed has passed.
        model_file: the file that the engine opens, or a folder of the files.
        tools: versions of the tools that made it.
        files: every file but the manifest, by its path inside the bundle.
    """

    schema_version: int
    name: str
    backend: str
    model_file: str
    precision: str
    sampler: str
    size: tuple[int, int]
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    memory: MemoryPolicy
    preprocessing: dict[str, Any]
    parameters: int
    macs: int
    weights_sha256: str
    report: dict[str, Any]
    tools: dict[str, str]
    files: dict[str, FileEntry] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of the input or output of that name."""
        return {spec.name: spec.shape for spec in (*self.inputs, *self.outputs)}[name]

    @property
    def channels(self) -> int:
        """Return K, the background and the objects."""
        return self.shape("prompt")[1]

    @property
    def slots(self) -> int:
        """Return N, the memory slots."""
        return self.shape("memory_valid")[0]

    @property
    def memory_slot_bytes(self) -> int:
        """Return what one memory slot takes: a key and a value in float32."""
        _, key_channels, height, width = self.shape("key")
        return 4 * (key_channels + self.shape("value")[1]) * height * width

    @property
    def executed(self) -> bool:
        """Return whether the artifact ran on the machine that made it."""
        return self.report["executed"] is True

    @property
    def gate_passed(self) -> bool:
        """Return whether the artifact ran when it was made, and passed its verification."""
        return self.executed and self.report["passed"] is True

    @property
    def gate_failed(self) -> bool:
        """Return whether the artifact, or what stood in for its engine, was off when it was made.

        One that nothing could run has neither passed nor failed.
        """
        return not self.gate_passed and (self.executed or bool(self.report.get("failures")))

    @property
    def verdict(self) -> str:
        """Return "passed", "FAILED" or "NOT EXECUTED"."""
        if self.gate_passed:
            return "passed"
        return "FAILED" if self.gate_failed else "NOT EXECUTED"


def graph_shapes(
    size: tuple[int, int], channels: int, slots: int, key_channels: int, value_channels: int
) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of the graph, inputs first, in the graph's order."""
    (height, width), k, n = size, channels, slots
    quarter, sixteenth = (height // 4, width // 4), (height // 16, width // 16)
    return {
        "image": (1, 3, height, width),
        "prompt": (1, k, *quarter),
        "prompted": (1, k, 1, 1),
        "active": (1, k, 1, 1),
        "memory_key": (n, key_channels, *sixteenth),
        "memory_value": (n, value_channels, *sixteenth),
        "memory_valid": (n, 1, 1, 1),
        "probability": (1, k, *quarter),
        "key": (1, key_channels, *sixteenth),
        "value": (1, value_channels, *sixteenth),
    }


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
        type(version) is int and version == SCHEMA_VERSION,
        f"schema version {version!r}",
        f"version {SCHEMA_VERSION}, which this edge-vos reads",
    )
    expected = {entry.name for entry in fields(Manifest)} | {"manifest_sha256"}
    _same_keys(data, expected, "the manifest")
    manifest = Manifest(
        schema_version=version,
        **{
            key: _text(data, key, _NAME)
            for key in ("name", "backend", "precision", "sampler", "target")
        },
        model_file=_typed(data, "model_file", str),
        size=_pair(data),
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
    )
    _check(manifest)
    claimed = data.pop("manifest_sha256")
    _require(claimed == _digest(data), f"manifest_sha256 {claimed!r}", _digest(data))
    return manifest


def json_depth(text: bytes) -> int:
    """Return how deep brackets are nested, those inside strings included."""
    depth = deepest = 0
    for bracket in re.findall(rb"[][{}]", text):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _check(manifest: Manifest) -> None:
    _require(
        manifest.preprocessing == PREPROCESSING
        and all(type(bound) is int for bound in manifest.preprocessing["range"]),
        f"preprocessing {manifest.preprocessing!r}",
        repr(PREPROCESSING),
    )
    for key in ("executed", "passed"):
        _typed(manifest.report, key, bool)
    check_path(manifest.model_file)
    _require(
        any(f"{name}/".startswith(f"{manifest.model_file}/") for name in manifest.files),
        f"model_file {manifest.model_file!r} is not among the files",
        f"one of {', '.join(manifest.files)}, or a folder of theirs",
    )
    _require(
        manifest.executed or not manifest.report["passed"],
        "the report says passed, but not executed",
        "a verification that was run",
    )
    specs = {spec.name: spec for spec in (*manifest.inputs, *manifest.outputs)}
    names = [tuple(spec.name for spec in part) for part in (manifest.inputs, manifest.outputs)]
    _require(names == [_INPUTS, _OUTPUTS], f"tensors {names}", f"{[_INPUTS, _OUTPUTS]}")
    for spec in specs.values():
        _require(
            len(spec.shape) == 4 and spec.dtype == "float32",
            f"{spec.name} is {spec.dtype} {spec.shape}",
            "float32 with four dimensions",
        )
    channels, slots = manifest.channels, manifest.slots
    _require(2 <= channels <= MAX_CHANNELS, f"{channels} channels", f"2 to {MAX_CHANNELS}")
    _require(2 <= slots <= MAX_CHANNELS, f"{slots} memory slots", f"2 to {MAX_CHANNELS}")
    shapes = graph_shapes(
        manifest.size, channels, slots, manifest.shape("key")[1], manifest.shape("value")[1]
    )
    for name, shape in shapes.items():
        _require(specs[name].shape == shape, f"{name} is {specs[name].shape}", f"{shape}")


def _plain(manifest: Manifest) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(manifest), allow_nan=False))  # type: ignore[no-any-return]


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


def _pair(data: Mapping[str, Any]) -> tuple[int, int]:
    size = _dimensions(data, "size")
    _require(
        len(size) == 2 and not any(side % 16 for side in size),
        f"size is {list(size)}",
        "[height, width] in multiples of 16",
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
