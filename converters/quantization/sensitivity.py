"""Rank modules by what quantizing each of them alone costs, to give the worst back to float.

Quantization is simulated in eager PyTorch: weights that are symmetric with a scale an output
channel, or a palette a tensor; affine activations, a range a tensor.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_vos.converters.lowering import STEP, Calibration, TensorNames, as_tuple
from edge_vos.converters.quantization.quantize import Scheme, kept_float

CALLS = 4
ACTIVATION_STEPS = 255
ROUNDS = 12

_Range = tuple[float, float]


@dataclass(frozen=True)
class Sensitivity:
    """Say what quantizing one module costs.

    Args:
        module: its name in the student.
        error: mean error of the outputs, those of the memory as parts of their largest; the
            largest over the outputs, on average over calls.
    """

    module: str
    error: float


def rank_modules(
    student: nn.Module, calibration: Calibration, scheme: Scheme, names: TensorNames = STEP
) -> tuple[Sensitivity, ...]:
    """Return the modules that can be quantized, the most sensitive first.

    Args:
        student: in evaluation mode, BatchNorm folded.
        calibration: real calls; a few of them are used.
        scheme: what is simulated.
        names: the graph's.
    """
    step = max(1, len(calibration.calls) // CALLS)
    calls = [
        [torch.from_numpy(call[name]) for name in names.inputs]
        for call in calibration.calls[::step][:CALLS]
    ]
    with torch.inference_mode():
        exact = [as_tuple(student(*call)) for call in calls]
        ranges = _ranges(student, calls) if scheme.activations else {}
        found = []
        for name in quantizable(student):
            with _quantized(student, name, scheme, ranges):
                errors = [
                    _error(as_tuple(student(*call)), e, names)
                    for call, e in zip(calls, exact, strict=True)
                ]
            found.append(Sensitivity(name, sum(errors) / len(errors)))
    return tuple(sorted(found, key=lambda each: (-each.error, each.module)))


def quantizable(student: nn.Module) -> tuple[str, ...]:
    """Return the modules with weights that are not always float: blocks such as ``decoder.block4``.

    Together they hold every convolution that may be quantized, each of them once.
    """
    return tuple(_blocks(student, "", top=True))


def _blocks(module: nn.Module, prefix: str, *, top: bool = False) -> Iterator[str]:
    for child_name, child in module.named_children():
        name = prefix + child_name
        if kept_float(name) or not _convolutions(child, name):
            continue
        whole = isinstance(child, (nn.Conv2d, nn.Sequential))
        if isinstance(child, nn.ModuleList) or (top and not whole):
            yield from _blocks(child, f"{name}.")
        else:
            yield name


def _convolutions(module: nn.Module, name: str) -> dict[str, nn.Conv2d]:
    """Return the convolutions in a module that may be quantized, by their full names."""
    inside = ((f"{name}.{inner}" if inner else name, child) for inner, child in _named(module))
    return {full: child for full, child in inside if not kept_float(full)}


def _named(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d):
            yield name, child


def _ranges(student: nn.Module, calls: Sequence[Sequence[Tensor]]) -> dict[nn.Module, _Range]:
    """Return the smallest and largest input of every convolution over the calls."""
    ranges: dict[nn.Module, _Range] = {}

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = ranges.get(module, (0.0, 0.0))
        ranges[module] = (
            min(low, float(inputs[0].min())),
            max(high, float(inputs[0].max())),
        )

    with ExitStack() as hooks:
        for _, child in _named(student):
            hooks.enter_context(child.register_forward_pre_hook(see))
        for call in calls:
            student(*call)
    return ranges


@contextmanager
def _quantized(
    student: nn.Module, name: str, scheme: Scheme, ranges: dict[nn.Module, _Range]
) -> Iterator[None]:
    convolutions = _convolutions(student.get_submodule(name), name).values()
    weights = [convolution.weight for convolution in convolutions]
    exact = [weight.data for weight in weights]

    def round_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        low, high = ranges[module]
        scale = max(high - low, 1e-9) / ACTIVATION_STEPS
        rounded = torch.round((inputs[0] - low) / scale).clamp(0, ACTIVATION_STEPS)
        return (rounded * scale + low, *inputs[1:])

    rounded = palettize if scheme.palette else round_weight
    with ExitStack() as hooks:
        for each in convolutions if ranges else ():
            hooks.enter_context(each.register_forward_pre_hook(round_input))
        for weight, data in zip(weights, exact, strict=True):
            hooks.callback(setattr, weight, "data", data)
            weight.data = rounded(data, scheme.weight_bits)
        yield


def palettize(weight: Tensor, bits: int) -> Tensor:
    """Let every weight take the nearest of 2**bits values, which k-means finds in the tensor."""
    flat = weight.flatten()
    centres = torch.linspace(float(flat.min()), float(flat.max()), 2**bits)
    for _ in range(ROUNDS):
        nearest = torch.bucketize(flat, (centres[1:] + centres[:-1]) / 2)
        sums = torch.zeros_like(centres).index_add_(0, nearest, flat)
        counts = torch.bincount(nearest, minlength=len(centres))
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    nearest = torch.bucketize(flat, (centres[1:] + centres[:-1]) / 2)
    return centres[nearest].reshape(weight.shape)


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """Round to a symmetric grid of 2**bits - 1 steps, an output channel each."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / largest
    rounded: Tensor = torch.round(weight / scale) * scale
    return rounded


def _error(found: Sequence[Tensor], exact: Sequence[Tensor], names: TensorNames) -> float:
    errors = []
    for name, a, b in zip(names.outputs, found, exact, strict=True):
        scale = 1.0 if name == "probability" else max(1e-6, float(b.abs().max()))
        errors.append(float((a - b).abs().mean()) / scale)
    return max(errors)
