"""Predict which operators of a Core ML program run on the neural engine, from the file alone.

Apple publishes no list, and the answer changes with device and system, so this is what people
measured and reported: a row of ``LEAVES`` for an operator that was seen to leave it. On a Mac,
Xcode's performance report and ``MLComputePlan`` tell what really happens.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_vos.converters.lowering import Placement

ACCELERATOR = "Apple Neural Engine"


@dataclass(frozen=True)
class Departure:
    """Say why an operator leaves the neural engine, and who saw it."""

    reason: str
    threads: tuple[str, ...]


_GATHER = Departure(
    "gathering runs on the CPU",
    (
        "https://github.com/apple/coremltools/issues/1103",
        "https://github.com/roboflow/rf-detr/pull/1495",
        "https://github.com/hollance/neural-engine/blob/master/docs/unsupported-layers.md",
    ),
)
_RECURRENT = Departure(
    "recurrent layers are not supported", ("https://github.com/apple/coremltools/issues/1780",)
)

LEAVES: Mapping[str, Departure] = {
    "cast": Departure(
        "the conversion between float32 and fp16 at the program's border runs outside on M1 and M2",
        (
            "https://github.com/vx-lang/Vx/issues/436",
            "https://git.madfire.net/berkus/ANE/commits/commit/"
            "0cf13e2b8445219a609d75b6aac2811a8cdcc801",
        ),
    ),
    "custom_layer": Departure(
        "there is no public way to program the neural engine",
        ("https://github.com/apple/coremltools/issues/1278",),
    ),
    "gather": _GATHER,
    "gather_along_axis": _GATHER,
    "gather_nd": _GATHER,
    "gru": _RECURRENT,
    "lstm": _RECURRENT,
    "resample": Departure(
        "grid_sample was seen on the CPU up to macOS 15, and on the neural engine on macOS 27",
        (
            "https://github.com/apple/coremltools/issues/1875",
            "https://github.com/apple/coremltools/issues/2299",
            "https://github.com/roboflow/rf-detr/pull/1495",
        ),
    ),
    "rnn": _RECURRENT,
    "topk": Departure(
        "sorting runs on the CPU", ("https://github.com/roboflow/rf-detr/pull/1495",)
    ),
}
"""By the operator's name in the program."""

OTHER_TYPES = Departure(
    "the neural engine computes in fp16, with 8-bit weights and activations, and in nothing else",
    (
        "https://apple.github.io/coremltools/docs-guides/source/typed-execution.html",
        "https://github.com/vx-lang/Vx/issues/437",
    ),
)
"""Why an operator leaves whose result is float32 or a whole number of 16 bits and more."""

_FLOAT16, _INT8, _UINT8 = 10, 21, 31  # DataType of Core ML's MIL.proto
_ACCELERATED = {_FLOAT16, _INT8, _UINT8}


def departure(operation: Any) -> Departure | None:
    """Say why an operator of a program leaves the neural engine; ``None`` if it is to stay.

    Args:
        operation: an ``Operation`` message of Core ML's MIL.
    """
    if operation.type in LEAVES:
        return LEAVES[operation.type]
    types = {output.type.tensorType.dataType for output in operation.outputs}
    return None if types <= _ACCELERATED else OTHER_TYPES


def predict_placement(specification: Any) -> Placement:
    """Predict the placement of a program's operators; constants are none.

    Args:
        specification: Core ML's ``Model`` message, an mlProgram with one function.
    """
    (function,) = specification.mlProgram.functions.values()
    delegated: Counter[str] = Counter()
    left: Counter[str] = Counter()
    # How often the neural engine has been entered on the way to a result, and whether it holds it.
    entered: dict[str, tuple[int, bool]] = {}
    for operation in function.block_specializations[function.opset].operations:
        if operation.type == "const" or operation.type.startswith("constexpr_"):
            continue
        stays = departure(operation) is None
        (delegated if stays else left)[operation.type] += 1
        names = [a.name for given in operation.inputs.values() for a in given.arguments if a.name]
        sources = [entered.get(name, (0, False)) for name in names]
        entries = max((n + (stays and not inside) for n, inside in sources), default=0)
        entered.update({output.name: (entries, stays) for output in operation.outputs})
    partitions = max((entries for entries, _ in entered.values()), default=0)
    return Placement(
        ACCELERATOR, partitions, dict(sorted(delegated.items())), dict(sorted(left.items())), True
    )
