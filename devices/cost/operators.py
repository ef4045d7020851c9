"""Read a profile that ONNX Runtime wrote: what each operator costs, and what it reaches.

What part of the student an operator belongs to, the ONNX file tells.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from edge_vos.devices.cost.model_parts import PARTS, ModelParts

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
class Cost:
    """Hold what an operator, or a group of them, takes in one call and what it reaches.

    Args:
        name: of the operator's node, of the part or of the kind.
        time_ms: of one call, while the engine was profiled: more than it takes otherwise.
        time_percent: the same, of the whole call, 0-100.
        macs: multiply-adds of its convolutions and matrix products in one call.
        gmacs: 10^9 of them a second.
        share_percent: the time that they would take at the machine's peak in each operator's own
            precision, of the time that they take, 0-100; None where nothing is multiplied.
    """

    name: str
    time_ms: float
    time_percent: float
    macs: int
    gmacs: float
    share_percent: float | None


@dataclass(frozen=True)
class OperatorCost(Cost):
    """Hold what one operator takes.

    Args:
        operator: its type, as the engine calls it.
        kind: what it computes, one of ``KINDS`` or "rest".
        part: of the student that it comes from; None where the file tells of none.
    """

    operator: str
    kind: str
    part: str | None


def read_profile(
    profile: str, parts: ModelParts, fp32_gmacs: float, int8_gmacs: float | None
) -> tuple[OperatorCost, ...]:
    """Return what each operator costs, in the order that they are run in.

    Args:
        profile: JSON that ONNX Runtime wrote of one call or more; of each operator the median
            over the calls counts.
        parts: of the model that was profiled.
        fp32_gmacs: peak of products in float32; half precision is widened to it on a CPU.
        int8_gmacs: peak of products of integers; None holds them to the former.

    Returns:
        nothing if the profile holds no operator.
    """
    events = _events(profile)
    calls = max((len(times_us) for _, times_us in events.values()), default=1)
    each_ms = {name: median(us) * len(us) / calls / 1e3 for name, (_, us) in events.items()}
    whole_ms = sum(each_ms.values()) or math.inf
    found = []
    # An operator that the engine added belongs to the part that it follows.
    part = next(iter(PARTS)) if parts.parts else None
    for name, (arguments, _) in events.items():
        operator = str(arguments.get("op_name", ""))
        part = _part(name, parts) or part
        macs = count_macs(name, arguments, parts)
        peak = int8_gmacs if int8_gmacs and _INTEGER.search(operator) else fp32_gmacs
        time_ms = each_ms[name]
        found.append(
            OperatorCost(
                name=name.removesuffix("_kernel_time"),
                operator=operator,
                kind=_kind(operator),
                part=part,
                time_ms=time_ms,
                time_percent=100 * time_ms / whole_ms,
                macs=macs,
                gmacs=macs / (time_ms or math.inf) / 1e6,
                share_percent=100 * macs / peak / 1e6 / (time_ms or math.inf) if macs else None,
            )
        )
    return tuple(found)


def sum_by_part(costs: Sequence[OperatorCost]) -> tuple[Cost, ...]:
    """Return what each part takes, in the order of ``PARTS``; by kind where parts are not told."""
    if not any(cost.part for cost in costs):
        return sum_by_kind(costs)
    return _sum({name: [cost for cost in costs if cost.part == name] for name in PARTS})


def sum_by_kind(costs: Sequence[OperatorCost]) -> tuple[Cost, ...]:
    """Return what each kind of operator takes, in the order of ``KINDS``."""
    return _sum({name: [cost for cost in costs if cost.kind == name] for name in (*KINDS, "rest")})


def _sum(groups: Mapping[str, Sequence[OperatorCost]]) -> tuple[Cost, ...]:
    found = []
    for name, costs in groups.items():
        if not costs:
            continue
        time_ms, macs = sum(cost.time_ms for cost in costs), sum(cost.macs for cost in costs)
        ideal = sum(cost.time_ms * (cost.share_percent or 0.0) for cost in costs)
        found.append(
            Cost(
                name=name,
                time_ms=time_ms,
                time_percent=sum(cost.time_percent for cost in costs),
                macs=macs,
                gmacs=macs / (time_ms or math.inf) / 1e6,
                share_percent=ideal / (time_ms or math.inf) if macs else None,
            )
        )
    return tuple(found)


def count_macs(name: str, arguments: Mapping[str, Any], parts: ModelParts) -> int:
    """Count an operator's multiply-adds; 0 for one that is no product, or does not tell.

    Args:
        name: of the node, as the profile calls it.
        arguments: of its event: ``op_name``, ``input_type_shape`` and ``output_type_shape``.
        parts: of the model.
    """
    kind = _kind(str(arguments.get("op_name", "")))
    made = math.prod(next(iter(_shapes(arguments, "output_type_shape")), (0,)))
    shapes = [shape for shape in _shapes(arguments, "input_type_shape") if len(shape) >= 2]
    if kind == "convolution":
        known = [*shapes[1:2], *(parts.weights[each] for each in _names(name, parts.weights))]
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


def _part(name: str, parts: ModelParts) -> str | None:
    return next((parts.parts[each] for each in _names(name, parts.parts)), None)


def _kind(operator: str) -> str:
    return next((kind for kind, operators in KINDS.items() if operator in operators), "rest")


def _shapes(arguments: Mapping[str, Any], key: str) -> list[tuple[int, ...]]:
    return [tuple(shape) for entry in arguments.get(key, ()) for shape in entry.values()]
