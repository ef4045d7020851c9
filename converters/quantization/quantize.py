"""What stays in float when a student is quantized, whatever engine does it.

Names are those of ``student.named_modules()``; the arithmetic of the step itself (the probability
head, which stands in no submodule) has the empty name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from edge_vos.engines import Engine


@dataclass(frozen=True)
class Scheme:
    """Say how an engine quantizes.

    Args:
        weight_bits: of a weight.
        palette: a weight is one of a tensor's own values, found by k-means; otherwise a multiple of
            its output channel's scale.
        activations: whether they are quantized too, with ranges from real calls.
    """

    weight_bits: int
    palette: bool = False
    activations: bool = True


SCHEMES = {
    "int8": Scheme(8),
    "w8a8": Scheme(8),
    "palette6": Scheme(6, palette=True, activations=False),
    "palette4": Scheme(4, palette=True, activations=False),
}
"""By precision; one that is not here is a float one."""

FLOAT_MODULES = (
    "",
    "*.offsets",
    "*.offsets.*",
    "*.attention",
    "*.attention.*",
    "*.long_term",
    "*.long_term.*",
    "*.short_term",
    "*.short_term.*",
)
"""Always float: coordinates (an 8-bit one is a step of 0.1 cell), products and softmax of the
attention, and the probability head."""

UNCLIPPED_MODULES = ("key", "deeper.*.key", "identity", "identity.*")
"""What is written to memory: a clipped range drifts from frame to frame."""


def scheme_of(engine: Engine, precision: str) -> Scheme | None:
    """Return how an engine quantizes for a precision, ``None`` for a float one."""
    scheme = SCHEMES.get(precision)
    if scheme and precision in engine.weights_only:
        return replace(scheme, activations=False)
    return scheme


def kept_float(name: str, keep_float: Sequence[str] = ()) -> bool:
    """Tell whether a module's operators stay in float.

    Args:
        name: qualified name of a module of the student.
        keep_float: names of submodules that stay in float beside ``FLOAT_MODULES``, with
            everything inside them.
    """
    asked = any(name == kept or name.startswith(f"{kept}.") for kept in keep_float)
    return asked or any(fnmatchcase(name, pattern) for pattern in FLOAT_MODULES)


def clips_range(name: str) -> bool:
    """Tell whether the activations of a module may be cut to a percentile of what was seen."""
    return not any(fnmatchcase(name, pattern) for pattern in UNCLIPPED_MODULES)
