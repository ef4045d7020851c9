"""Share out a profile of ONNX Runtime to the parts of the student, and hold each to the machine.

What part a node belongs to, the ONNX file tells; where it tells of none, nodes are shared out by
what they compute.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from edge_vos.devices.bench.onnx_graph import PARTS, Graph

KINDS = {
    "convolution": {"Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"},
    "matrix product": {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "QLinearMatMul",
                       "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QGemm"},
    "softmax": {"Softmax", "QLinearSoftmax"},
    "resize and sample": {"Resize", "GridSample", "Gather", "GatherElements", "GatherND"},
    "reorder and quantize": {"Transpose", "ReorderInput", "ReorderOutput", "QuantizeLinear",
                             "DequantizeLinear", "Cast"},
}  # fmt: skip
"""What is computed, by the engine's operators; any other is "rest"."""

_INTEGER = re.compile(r"QLinear|QGemm|Integer|DynamicQuantize")
_SUFFIX = re.compile(r"(?:_kernel_time|_token_[0-9]+|_nchwc|_dq[0-9]*|_q[0-9]*|/.*)+$")
"""What the engine appends to the name of a node that it has fused or added."""


@dataclass(frozen=True)
class StageShare:
    """Hold what a part of the network takes, and what it reaches of the machine's ceiling.

    Args:
        name: of the part, or of a kind of operator where parts cannot be told apart.
        time_ms: of one call, while the engine was profiled: more than it takes otherwise.
        time_percent: the same, of the whole call, 0-100.
        macs: multiply-accumulates of its convolutions and matrix products in one call.
        gmacs: 10^9 of them a second.
        share_percent: the time that they would take at the ceiling of each node's own precision,
            of the time that the part takes, 0-100; None where it multiplies nothing.
    """

    name: str
    time_ms: float
    time_percent: float
    macs: int
    gmacs: float
    share_percent: float | None


def share_stages(
    profile: str, graph: Graph, fp32_gmacs: float, int8_gmacs: float | None
) -> tuple[StageShare, ...] | None:
    """Return what each part takes, in the order of ``PARTS``; None if the profile holds no node.

    Args:
        profile: JSON that ONNX Runtime wrote of one call or more.
        graph: of the model that was profiled.
        fp32_gmacs: ceiling of products in float32; half precision is widened to it on a CPU.
        int8_gmacs: ceiling of products of integers; None holds them to the former.
    """
    events = _events(profile)
    if not events:
        return None
    calls = max(len(times_us) for _, times_us in events.values())
    time_ms: defaultdict[str, float] = defaultdict(float)
    ideal_ms: defaultdict[str, float] = defaultdict(float)
    macs: defaultdict[str, int] = defaultdict(int)
    stage = next(iter(PARTS))
    for name, (arguments, times_us) in events.items():
        operator = str(arguments.get("op_name", ""))
        stage = (_part(name, graph) or stage) if graph.parts else _kind(operator)
        count = count_macs(name, arguments, graph)
        ceiling = int8_gmacs if int8_gmacs and _INTEGER.search(operator) else fp32_gmacs
        time_ms[stage] += median(times_us) * len(times_us) / calls / 1e3
        ideal_ms[stage] += count / ceiling / 1e6
        macs[stage] += count
    whole_ms = sum(time_ms.values()) or math.inf
    order = (*PARTS, *KINDS, "rest")
    return tuple(
        StageShare(
            name=name,
            time_ms=time_ms[name],
            time_percent=100 * time_ms[name] / whole_ms,
            macs=macs[name],
            gmacs=macs[name] / (time_ms[name] or math.inf) / 1e6,
            share_percent=100 * ideal_ms[name] / (time_ms[name] or math.inf)
            if macs[name]
            else None,
        )
        for name in sorted(time_ms, key=order.index)
    )


def count_macs(name: str, arguments: Mapping[str, Any], graph: Graph) -> int:
    """Count a node's multiply-accumulates; 0 for one that is no product, or does not tell.

    Args:
        name: of the node, as the profile calls it.
        arguments: of its event: ``op_name``, ``input_type_shape`` and ``output_type_shape``.
        graph: of the model.
    """
    kind = _kind(str(arguments.get("op_name", "")))
    made = math.prod(next(iter(_shapes(arguments, "output_type_shape")), (0,)))
    shapes = [shape for shape in _shapes(arguments, "input_type_shape") if len(shape) >= 2]
    if kind == "convolution":
        known = [*shapes[1:2], *(graph.weights[each] for each in _names(name, graph.weights))]
        weight = next((shape for shape in known if len(shape) == 4), None)
        return made * math.prod(weight[1:]) if weight else 0
    if kind == "matrix product" and len(shapes) >= 2 and made:
        # (B, M, K) by (B, K, N), either of them transposed: sizes alone tell K.
        left, right = shapes[0], shapes[1]
        batch = max(1, min(math.prod(left[:-2]), math.prod(right[:-2])))
        return made * math.isqrt(math.prod(left) * math.prod(right) // made // batch)
    return 0


def _events(profile: str) -> dict[str, tuple[Mapping[str, Any], list[float]]]:
    """Return each node's arguments and microseconds, in the order that they are run in."""
    try:
        document = json.loads(profile)
    except ValueError:
        return {}
    found: dict[str, tuple[Mapping[str, Any], list[float]]] = {}
    for event in document if isinstance(document, list) else ():
        if not isinstance(event, dict):
            continue
        name, duration = event.get("name", ""), event.get("dur")
        if event.get("cat") == "Node" and name.endswith("_kernel_time") and duration is not None:
            found.setdefault(name, (event.get("args", {}), []))[1].append(float(duration))
    return found


def _names(name: str, known: Mapping[str, Any]) -> Iterator[str]:
    for each in (name.removesuffix("_kernel_time"), _SUFFIX.sub("", name)):
        if each in known:
            yield each


def _part(name: str, graph: Graph) -> str | None:
    return next((graph.parts[each] for each in _names(name, graph.parts)), None)


def _kind(operator: str) -> str:
    return next((kind for kind, operators in KINDS.items() if operator in operators), "rest")


def _shapes(arguments: Mapping[str, Any], key: str) -> list[tuple[int, ...]]:
    return [tuple(shape) for entry in arguments.get(key, ()) for shape in entry.values()]
