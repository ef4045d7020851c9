"""What an engine's converter takes and gives: ``Request`` in, ``Lowered`` out."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from edge_vos.engines import Engine
from edge_vos.errors import EngineError
from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, PROMPT_INPUT_NAMES, PROMPT_OUTPUT_NAMES

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class TensorNames:
    """Name the tensors of a graph.

    Args:
        inputs: in the graph's order.
        outputs: in the graph's order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


STEP = TensorNames(INPUT_NAMES, OUTPUT_NAMES)
PROMPT_HEAD = TensorNames(PROMPT_INPUT_NAMES, PROMPT_OUTPUT_NAMES)


@dataclass(frozen=True)
class Calibration:
    """Hold the inputs of real calls: real frames with the memory that the run really had.

    Args:
        name: the clips that were followed; no path of this machine.
        calls: for each call every input of the graph by name, float32, in the graph's shapes.
    """

    name: str
    calls: tuple[Mapping[str, NDArray[np.float32]], ...]


@dataclass(frozen=True)
class Request:
    """Ask a converter for one artifact.

    Args:
        module: in evaluation mode, BatchNorm folded, the sampler set; takes and returns the
            graph's tensors in their order.
        examples: the inputs of one call, contiguous, in the graph's order.
        precision: one of the engine's.
        calibration: what static quantization takes its ranges from; ``None`` for a precision that
            needs none.
        keep_float: qualified names of submodules that stay in float whatever the precision says,
            everything inside them included.
        names: the graph's.
        any_objects: let the file take any number of object channels, where the engine can.
    """

    module: "nn.Module"
    examples: "Sequence[Tensor]"
    precision: str
    calibration: Calibration | None = None
    keep_float: tuple[str, ...] = ()
    names: TensorNames = STEP
    any_objects: bool = True

    def required_calibration(self) -> Calibration:
        """Return the calibration.

        Raises:
            EngineError: if there is none, or it holds no call.
        """
        if self.calibration is None or not self.calibration.calls:
            raise EngineError(
                f"{self.precision} without a calibration",
                "calls of a real run, to take the ranges of activations from",
                "Name a clip: --calibrate CLIP",
            )
        return self.calibration


@dataclass(frozen=True)
class Placement:
    """Say which operators the target's accelerator took.

    Args:
        accelerator: what it is, such as "XNNPACK".
        partitions: how many times a call enters it.
        delegated: how many operators it took, by name.
        left: how many stay with the engine's own kernels, by name.
        predicted: True where it was derived from the file and not reported by the engine.
    """

    accelerator: str
    partitions: int
    delegated: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    predicted: bool = False


@dataclass(frozen=True)
class Lowered:
    """Hold what an engine's ``lower`` made.

    Args:
        model_file: the file, or folder, that its engine opens; a path inside the bundle.
        files: content by path inside the bundle.
        placement: of its operators; ``None`` where the engine has no accelerator beside itself.
        left_float: modules that this engine leaves in float in that precision, unasked.
    """

    model_file: str
    files: Mapping[str, bytes]
    placement: Placement | None = None
    left_float: tuple[str, ...] = ()

    @property
    def left_on_cpu(self) -> tuple[str, ...]:
        """Return the operators that the accelerator did not take, sorted."""
        return tuple(sorted(self.placement.left)) if self.placement else ()


Lower = Callable[[Request], Lowered]
"""Turns a module into an engine's files; an ``EngineError`` where the engine cannot express it."""


def as_tuple(outputs: "Tensor | tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
    """Return a module's outputs as a tuple, also where there is but one."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def load_lower(engine: Engine) -> Lower:
    """Import what makes an engine's files, after ``Engine.require_packages``."""
    return cast(Lower, importlib.import_module(engine.converter).lower)
