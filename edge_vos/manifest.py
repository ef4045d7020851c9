"""The manifest of a bundle: what the graph is, how to feed it, how it was made and verified.

``edge_vos.manifest_json`` reads and writes it.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from edge_vos.graph import GraphSpec, PromptGraphSpec, TensorSpec

SCHEMA_VERSION = 2
SCHEMA_VERSIONS = (1, SCHEMA_VERSION)
"""That are read; a manifest of version 1 has no ``prompt_head``."""

MANIFEST_FILE = "manifest.json"
SCHEMA_FILE = "manifest.schema.json"
"""Lies beside this module: the same rules as JSON Schema, for other languages and editors."""

PREPROCESSING: dict[str, Any] = {"layout": "RGB", "range": [0, 255], "resize": "letterbox"}


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
class ModelTensors:
    """Say what one of a bundle's model files has to offer.

    Args:
        backend: the engine that it is for.
        precision: that it was made in.
        inputs: in the graph's order.
        outputs: in the graph's order.
    """

    backend: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class PromptHeadEntry:
    """Describe a bundle's second graph, which makes masks from boxes and clicks.

    Its engine and target are the bundle's; its tensors follow from its size.

    Args:
        model_file: the file that the engine opens, or a folder of the files.
        size: (height, width) of the image that the graph takes; it has a size of its own.
        precision: that it was made in.
        parameters: number of weights, those of its encoder included.
        macs: multiply-accumulate operations of one call.
        weights_sha256: digest of the head's weights that were converted.
        report: verification, as in ``Manifest``.
    """

    model_file: str
    size: tuple[int, int]
    precision: str
    parameters: int
    macs: int
    weights_sha256: str
    report: dict[str, Any]

    @property
    def graph(self) -> PromptGraphSpec:
        """Return what the graph takes and returns."""
        return PromptGraphSpec(self.size)

    def tensors(self, backend: str) -> ModelTensors:
        """Return what its file has to offer to the bundle's engine."""
        return ModelTensors(backend, self.precision, self.graph.inputs, self.graph.outputs)

    @property
    def verdict(self) -> str:
        """Return "passed", "FAILED" or "NOT EXECUTED"."""
        return _verdict(self.report)


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
        prompt_head: the second graph; ``None`` where the bundle has none.
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
    prompt_head: PromptHeadEntry | None = None

    @classmethod
    def of_graph(cls, graph: GraphSpec, name: str, **described: Any) -> "Manifest":
        """Describe a graph in this release's schema.

        Args:
            graph: gives the size and the tensors.
            name: of the student.
            described: other fields; what is left out is not known yet, and nothing was executed.
        """
        texts = ("backend", "model_file", "precision", "sampler", "target", "weights_sha256")
        unknown: dict[str, Any] = {
            **dict.fromkeys(texts, ""),
            **dict.fromkeys(("parameters", "macs"), 0),
            "memory": MemoryPolicy(),
            "report": {"executed": False, "passed": False},
            "tools": {},
        }
        return cls(
            schema_version=SCHEMA_VERSION,
            name=name,
            size=graph.size,
            inputs=graph.inputs,
            outputs=graph.outputs,
            preprocessing=PREPROCESSING,
            **{**unknown, **described},
        )

    @cached_property
    def graph(self) -> GraphSpec:
        """Return the graph that the tensors are of."""
        return GraphSpec.of_tensors(self.size, (*self.inputs, *self.outputs))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of the input or output of that name."""
        return self.graph.shape(name)

    @property
    def channels(self) -> int:
        """Return K, the background and the objects."""
        return self.graph.channels

    @property
    def slots(self) -> int:
        """Return N, the memory slots."""
        return self.graph.slots

    @property
    def executed(self) -> bool:
        """Return whether the artifact ran on the machine that made it."""
        return self.report["executed"] is True

    @property
    def gate_passed(self) -> bool:
        """Return whether the artifact ran when it was made, and passed its verification.

        With a prompt head, both graphs did.
        """
        return self.verdict == "passed"

    @property
    def gate_failed(self) -> bool:
        """Return whether the artifact, or what stood in for its engine, was off when it was made.

        One that nothing could run has neither passed nor failed. With a prompt head, one of the
        two graphs was off.
        """
        return self.verdict == "FAILED"

    @property
    def verdict(self) -> str:
        """Return "passed", "FAILED" or "NOT EXECUTED", the worst of its graphs'."""
        verdicts = [_verdict(self.report)]
        if self.prompt_head is not None:
            verdicts.append(self.prompt_head.verdict)
        return next(name for name in ("FAILED", "NOT EXECUTED", "passed") if name in verdicts)


def _verdict(report: dict[str, Any]) -> str:
    executed = report["executed"] is True
    if executed and report["passed"] is True:
        return "passed"
    return "FAILED" if executed or report.get("failures") else "NOT EXECUTED"
