"""Read what is needed of an ONNX file: what part of the student each of its nodes belongs to.

A part is told by the names of the weights, which the converter keeps; a node without weights
belongs to the part that it continues. The file is read here byte by byte: the package that writes
ONNX files is not needed to run one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

PARTS = {
    "image encoder": ("encoder.", "project."),
    "memory": ("self_propagation.", "memory_propagation.", "key."),
    "decoder": ("decoder.",),
    "mask encoder": ("identity.",),
}
"""What the student's weights are called, by part, in the order that the parts are run in."""


@dataclass(frozen=True)
class Graph:
    """Hold what is needed of an ONNX file.

    Args:
        parts: part by the name of a node and of the tensors that it makes.
        weights: shape of a convolution's weights, by the name of its node.
    """

    parts: Mapping[str, str]
    weights: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Node:
    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(model: bytes) -> Graph:
    """Read what part each node belongs to, and the shapes of convolutions' weights.

    Args:
        model: an ONNX file; bytes that are none give an empty graph.
    """
    nodes: list[_Node] = []
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        for graph in _blocks(model, 7):
            nodes += [_node(block) for block in _blocks(graph, 1)]
            for tensor in _blocks(graph, 5):
                shapes["".join(_texts(tensor, 8))] = _dims(tensor)
    except (IndexError, ValueError):
        return Graph({}, {})
    ranks = _ranks(nodes)
    parts = tuple(PARTS)
    makers = {output: node for node in nodes for output in node.outputs}
    weights = {}
    for node in nodes:
        if node.operator == "Conv" and len(node.inputs) >= 2:
            maker = makers.get(node.inputs[1])
            source = maker.inputs[0] if maker and maker.inputs else node.inputs[1]
            weights[node.name] = shapes.get(source, ())
    named = {
        name: parts[rank]
        for node, rank in zip(nodes, ranks, strict=True)
        if rank is not None
        for name in (node.name, *node.outputs)
    }
    return Graph(named, weights)


def _ranks(nodes: Sequence[_Node]) -> list[int | None]:
    """Return each node's index into ``PARTS``: its weights', or of what it continues or feeds."""
    found: list[int | None] = [_own_rank(node) for node in nodes]
    made: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if found[index] is None:
            found[index] = max((made[name] for name in node.inputs if name in made), default=None)
        rank = found[index]
        if rank is not None:
            made.update(dict.fromkeys(node.outputs, rank))
    needed: dict[str, int] = {}
    for index in reversed(range(len(nodes))):
        node, rank = nodes[index], found[index]
        if rank is None:
            rank = min((needed[name] for name in node.outputs if name in needed), default=None)
            found[index] = rank
        if rank is not None:
            for name in node.inputs:
                needed[name] = min(rank, needed.get(name, rank))
    return found


def _own_rank(node: _Node) -> int | None:
    for rank, prefixes in enumerate(PARTS.values()):
        if any(name.startswith(prefixes) for name in node.inputs):
            return rank
    return None


def _node(block: bytes) -> _Node:
    return _Node(
        "".join(_texts(block, 3)),
        "".join(_texts(block, 4)),
        tuple(_texts(block, 1)),
        tuple(_texts(block, 2)),
    )


def _dims(tensor: bytes) -> tuple[int, ...]:
    """Read a TensorProto's dims, packed or not."""
    dims: list[int] = []
    for field, value in _fields(tensor):
        if field == 1 and isinstance(value, int):
            dims.append(value)
        elif field == 1 and isinstance(value, bytes):
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                dims.append(number)
    return tuple(dims)


def _texts(message: bytes, field: int) -> list[str]:
    return [block.decode(errors="replace") for block in _blocks(message, field)]


def _blocks(message: bytes, field: int) -> list[bytes]:
    return [value for key, value in _fields(message) if key == field and isinstance(value, bytes)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Decode the fields of a protobuf message that are numbers or of a limit."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"no protobuf: a field of kind {kind}")
        if at + size > len(message):
            raise ValueError("no protobuf: a field ends after the message")
        if kind == 2:
            yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no protobuf: a number of more than 64 bits")
