"""The exported graph: one call a frame. Names, shapes and meaning of its tensors stand here alone.

A call takes the image, the masks that the user gave for it and the memory, and returns the masks
and this frame's memory entry. The size (H, W) of the image is chosen when the graph is exported. K
counts the background and the objects, N the memory slots, Ck and Cv the channels of a memory key
and value.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEMORY_STRIDE = 16
"""Pixels of the image a cell of a memory key or value, each way."""

MASK_STRIDE = 4
"""Pixels of the image a cell of a prompt or probability, each way."""

PROMPT_STRIDE = 32
"""What the sides of the prompt head's image are multiples of."""

_FLOAT32 = "float32"

_Shape = tuple[int | str, ...]

_MASK: _Shape = ("K", f"H/{MASK_STRIDE}", f"W/{MASK_STRIDE}")
_KEY: _Shape = ("Ck", f"H/{MEMORY_STRIDE}", f"W/{MEMORY_STRIDE}")
_VALUE: _Shape = ("Cv", *_KEY[1:])

_INPUTS: dict[str, tuple[_Shape, str]] = {
    "image": ((1, 3, "H", "W"), "RGB in [0, 255]; normalisation is inside the graph"),
    "prompt": ((1, *_MASK), "area coverage of the masks given for this frame"),
    "prompted": ((1, "K", 1, 1), "1 for each id whose mask is given in this frame"),
    "active": ((1, "K", 1, 1), "1 for each id in use; channel 0, the background, always"),
    "memory_key": (("N", *_KEY), "keys of the memory slots"),
    "memory_value": (("N", *_VALUE), "values of the memory slots"),
    "memory_valid": (("N", 1, 1, 1), "0 for an empty slot"),
}
_OUTPUTS: dict[str, tuple[_Shape, str]] = {
    "probability": ((1, *_MASK), "over active ids, prompts merged in"),
    "key": ((1, *_KEY), "this frame's key, for the runtime to store"),
    "value": ((1, *_VALUE), "this frame's value"),
}

INPUT_NAMES = tuple(_INPUTS)
OUTPUT_NAMES = tuple(_OUTPUTS)

PER_OBJECT = ("prompt", "prompted", "active", "memory_value", "probability", "value")
"""The tensors whose axis 1 holds K parts of equal size, one for the background and each object."""


_PROMPT_INPUTS: dict[str, tuple[_Shape, str]] = {
    "image": ((1, 3, "H", "W"), "RGB in [0, 255]; normalisation is inside the graph"),
    "prompt": (
        (1, 4, *_MASK[1:]),
        "clicks on the object, clicks beside it, its box, and its mask so far; in [0, 1]",
    ),
}
_PROMPT_OUTPUTS: dict[str, tuple[_Shape, str]] = {
    "probability": ((1, 1, *_MASK[1:]), "of the object"),
}

PROMPT_INPUT_NAMES = tuple(_PROMPT_INPUTS)
PROMPT_OUTPUT_NAMES = tuple(_PROMPT_OUTPUTS)


@dataclass(frozen=True)
class TensorSpec:
    """Describe one input or output of a graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    description: str


@dataclass(frozen=True)
class GraphSpec:
    """Describe a student's graph completely: two equal ones take and return the same tensors.

    Args:
        size: (height, width) of the image in pixels, multiples of ``MEMORY_STRIDE``.
        channels: K, the background and the objects.
        slots: N, the memory slots.
        key_channels: Ck, of a memory key.
        value_channels: Cv, of a memory value.
    """

    size: tuple[int, int]
    channels: int
    slots: int
    key_channels: int
    value_channels: int

    @classmethod
    def of_tensors(cls, size: tuple[int, int], tensors: Iterable[TensorSpec]) -> "GraphSpec":
        """Read K, N, Ck and Cv from tensors; whether all their shapes agree is not checked.

        Raises:
            KeyError: if one of the tensors that tell is missing.
        """
        shapes = {spec.name: spec.shape for spec in tensors}
        return cls(
            size,
            channels=shapes["prompt"][1],
            slots=shapes["memory_valid"][0],
            key_channels=shapes["key"][1],
            value_channels=shapes["value"][1],
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs in the graph's order, all of them float32 with four dimensions."""
        return self._tensors(_INPUTS)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return the outputs in the graph's order, all of them float32 with four dimensions."""
        return self._tensors(_OUTPUTS)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of the input or output of that name."""
        return self._shape({**_INPUTS, **_OUTPUTS}[name][0])

    @property
    def slot_bytes(self) -> int:
        """Return what one memory slot takes: a key and a value in float32."""
        return 4 * (math.prod(self.shape("key")) + math.prod(self.shape("value")))

    def blank_inputs(self) -> dict[str, NDArray[np.float32]]:
        """Return a new array of zeros for every input, in the graph's order."""
        return {name: np.zeros(self.shape(name), np.float32) for name in INPUT_NAMES}

    def _tensors(self, table: dict[str, tuple[_Shape, str]]) -> tuple[TensorSpec, ...]:
        return _tensors(table, self._counts)

    def _shape(self, shape: _Shape) -> tuple[int, ...]:
        return _filled(shape, self._counts)

    @property
    def _counts(self) -> dict[str, int]:
        return {
            "H": self.size[0], "W": self.size[1], "K": self.channels, "N": self.slots,
            "Ck": self.key_channels, "Cv": self.value_channels,
        }  # fmt: skip


@dataclass(frozen=True)
class PromptGraphSpec:
    """Describe the prompt head's graph: clicks and a box of one object in, its mask out.

    It is a graph of its own beside the step's, with an encoder of its own, and has no memory.

    Args:
        size: (height, width) of the image in pixels, multiples of 32.
    """

    size: tuple[int, int]

    @classmethod
    def beside(cls, size: tuple[int, int]) -> "PromptGraphSpec":
        """Return the prompt head's graph in a bundle whose step takes images of a size.

        Its own size is always the same, upright in a bundle for upright pictures: small objects
        are looked at closely, however small the step's image is.
        """
        height, width = size
        return cls((352, 640) if width >= height else (640, 352))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs in the graph's order, float32 with four dimensions."""
        return _tensors(_PROMPT_INPUTS, self._counts)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return the outputs in the graph's order, float32 with four dimensions."""
        return _tensors(_PROMPT_OUTPUTS, self._counts)

    @property
    def _counts(self) -> dict[str, int]:
        return {"H": self.size[0], "W": self.size[1]}


def _tensors(
    table: dict[str, tuple[_Shape, str]], counts: dict[str, int]
) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, _filled(shape, counts), _FLOAT32, meaning)
        for name, (shape, meaning) in table.items()
    )


def _filled(shape: _Shape, counts: dict[str, int]) -> tuple[int, ...]:
    def length(side: int | str) -> int:
        if isinstance(side, int):
            return side
        name, _, stride = side.partition("/")
        return counts[name] // int(stride or 1)

    return tuple(map(length, shape))
