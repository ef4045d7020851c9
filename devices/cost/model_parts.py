"""Say which part of the student each node of an ONNX file belongs to.

The names of the weights tell it, which the converter keeps; a node without weights belongs to the
part that it continues or feeds.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_vos.errors import BundleError, EngineError

PARTS = {
    "image encoder": ("encoder.", "project."),
    "memory": ("self_propagation.", "memory_propagation.", "key."),
    "decoder": ("decoder.", "outline."),
    "mask encoder": ("identity.",),
}
"""What the student's weights are called, by part, in the order that the parts are run in."""


@dataclass(frozen=True)
class ModelParts:
    """Hold what is needed of an ONNX file to read a profile of it.

    Args:
        parts: part by the name of a node and of the tensors that it makes.
        weights: shape of a convolution's weights, by the name of its node.
    """

    parts: Mapping[str, str]
    weights: Mapping[str, tuple[int, ...]]


def is_onnx_installed() -> bool:
    """Tell whether the package that reads ONNX files is installed, without importing it."""
    return importlib.util.find_spec("onnx") is not None


def read_model_parts(path: Path) -> ModelParts:
    """Read what part each node belongs to, and the shapes of convolutions' weights.

    Raises:
        EngineError: if the package onnx is not installed.
        BundleError: if the file is no ONNX file.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(
            f"The operators of {path.name} cannot be read: {error}",
            "the package onnx",
            'pip install "edge-vos[profile]"',
        ) from error
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf's errors are of its own package
        raise BundleError(f"{path} is no ONNX file: {error}", "a model in ONNX") from error
    nodes = list(graph.node)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    makers = {output: node for node in nodes for output in node.output}
    weights = {}
    for node in nodes:
        if node.op_type == "Conv" and len(node.input) >= 2:
            maker = makers.get(node.input[1])
            source = maker.input[0] if maker and maker.input else node.input[1]
            weights[node.name] = shapes.get(source, ())
    parts = tuple(PARTS)
    named = {
        name: parts[rank]
        for node, rank in zip(nodes, _ranks(nodes), strict=True)
        if rank is not None
        for name in (node.name, *node.output)
    }
    return ModelParts(named, weights)


def _ranks(nodes: Sequence[Any]) -> list[int | None]:
    """Return each node's index into ``PARTS``: its weights', or of what it continues or feeds."""
    found: list[int | None] = [_own_rank(node) for node in nodes]
    made: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if found[index] is None:
            found[index] = max((made[name] for name in node.input if name in made), default=None)
        rank = found[index]
        if rank is not None:
            made.update(dict.fromkeys(node.output, rank))
    needed: dict[str, int] = {}
    for index in reversed(range(len(nodes))):
        node, rank = nodes[index], found[index]
        if rank is None:
            rank = min((needed[name] for name in node.output if name in needed), default=None)
            found[index] = rank
        if rank is not None:
            for name in node.input:
                needed[name] = min(rank, needed.get(name, rank))
    return found


def _own_rank(node: Any) -> int | None:
    for rank, prefixes in enumerate(PARTS.values()):
        if any(name.startswith(prefixes) for name in node.input):
            return rank
    return None
