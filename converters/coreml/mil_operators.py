"""What the operators of a Core ML program compute, in PyTorch: one table, ``OPERATORS``.

They follow coremltools' reference of the model intermediate language (MIL),
https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html, in the
versions of iOS 15 to 17. The table holds what the student's programs are made of, and no more.

An operator takes its arguments by name, as tensors, strings, and tuples of tensors; floating point
comes and goes in float32, whatever the program stores. The evaluator rounds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_vos.errors import EngineError

Arguments = Mapping[str, Any]
Operator = Callable[[Arguments], Tensor]


def refuse(what: str) -> EngineError:
    """Make the error for a program that the evaluator does not understand."""
    return EngineError(
        f"The Core ML program has {what}, which the evaluator does not know",
        "a program of the operators in edge_vos.converters.coreml.mil_operators",
        "Run the bundle on a Mac, or convert again: edge-vos convert --target ios",
    )


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda a: function(a["x"])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda a: function(a["x"], a["y"])


def _flag(a: Arguments, name: str) -> bool:
    return name in a and bool(a[name])


def _conv(a: Arguments) -> Tensor:
    if a.get("pad_type", "valid") not in ("custom", "valid"):
        raise refuse(f"a conv padded as {a['pad_type']!r}")
    top, bottom, left, right = a["pad"].tolist() if a.get("pad_type") == "custom" else (0,) * 4
    x = a["x"]
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    stride, dilation = (a[n].tolist() if n in a else (1, 1) for n in ("strides", "dilations"))
    groups = int(a["groups"]) if "groups" in a else 1
    return F.conv2d(x, a["weight"], a.get("bias"), stride, (top, left), dilation, groups)


def _gelu(a: Arguments) -> Tensor:
    modes = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}
    if a["mode"] not in modes:
        raise refuse(f"a gelu of mode {a['mode']!r}")
    return F.gelu(a["x"], approximate=modes[a["mode"]])


def _matmul(a: Arguments) -> Tensor:
    x = a["x"].transpose(-1, -2) if _flag(a, "transpose_x") else a["x"]
    y = a["y"].transpose(-1, -2) if _flag(a, "transpose_y") else a["y"]
    return torch.matmul(x, y)


def _concat(a: Arguments) -> Tensor:
    if _flag(a, "interleave"):
        raise refuse("an interleaved concat")
    return torch.cat(a["values"], dim=int(a["axis"]))


def _slice_by_index(a: Arguments) -> Tensor:
    x, begins, ends = a["x"], a["begin"].tolist(), a["end"].tolist()
    steps = a["stride"].tolist() if "stride" in a else [1] * x.dim()
    if min(steps) < 1:
        raise refuse("a slice that runs backwards")
    open_begins, open_ends, squeezed = (
        a[name].tolist() if name in a else [False] * x.dim()
        for name in ("begin_mask", "end_mask", "squeeze_mask")
    )
    index: list[int | slice] = []
    for i, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if squeezed[i]:
            index.append(begin)
        else:
            stops = (None if open_begins[i] else begin, None if open_ends[i] else end)
            index.append(slice(*stops, step))
    result: Tensor = x[tuple(index)]
    return result


def _expand_dims(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    axes = a["axes"].tolist()
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _reduce_sum(a: Arguments) -> Tensor:
    axes = a["axes"].tolist() if "axes" in a else list(range(a["x"].dim()))
    return torch.sum(a["x"], dim=axes, keepdim=_flag(a, "keep_dims"))


def _upsample_bilinear(a: Arguments) -> Tensor:
    if _flag(a, "align_corners") or ("half_pixel_centers" in a and not a["half_pixel_centers"]):
        raise refuse("an upsampling that aligns corners")
    scale = [float(a[f"scale_factor_{side}"]) for side in ("height", "width")]
    return F.interpolate(a["x"], scale_factor=scale, mode="bilinear", align_corners=False)


def _resample(a: Arguments) -> Tensor:
    modes = {"constant": "zeros", "border": "border", "reflection": "reflection"}
    known = a["sampling_mode"] == "bilinear" and a["padding_mode"] in modes
    if not known or a["coordinates_mode"] != "normalized_minus_one_to_one":
        raise refuse("a resample in another mode than bilinear, at coordinates in [-1, 1]")
    if modes[a["padding_mode"]] == "zeros" and float(a["padding_value"]) != 0:
        raise refuse("a resample padded with another constant than 0")
    return F.grid_sample(
        a["x"],
        a["coordinates"],
        "bilinear",
        modes[a["padding_mode"]],
        align_corners=_flag(a, "align_corners"),
    )


def _cast(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    if a["dtype"] in ("fp16", "fp32"):
        return x.float()
    if a["dtype"] in ("int32", "int16", "uint16"):
        return x.to(torch.int32)
    raise refuse(f"a cast to {a['dtype']}")


def _gather_along_axis(a: Arguments) -> Tensor:
    return torch.gather(a["x"], int(a["axis"]) if "axis" in a else 0, a["indices"].long())


def _along(vector: Tensor, a: Arguments, rank: int) -> Tensor:
    """Shape a vector of one value a channel so that it broadcasts along the argument's axis."""
    if vector.dim() == 0:
        return vector
    shape = [1] * rank
    shape[int(a["axis"])] = -1
    return vector.reshape(shape)


_QUANTIZED = {"int8": (-128, 127), "uint8": (0, 255)}


def _quantize(a: Arguments) -> Tensor:
    x: Tensor = a["input"]
    low, high = _QUANTIZED[a["output_dtype"]]
    steps = torch.round(x / _along(a["scale"], a, x.dim()))
    if "zero_point" in a:
        steps = steps + _along(a["zero_point"], a, x.dim())
    return steps.clamp(low, high).to(getattr(torch, a["output_dtype"]))


def _dequantize(data: str) -> Operator:
    def dequantize(a: Arguments) -> Tensor:
        steps: Tensor = a[data].float()
        if "zero_point" in a:
            steps = steps - _along(a["zero_point"].float(), a, steps.dim())
        return steps * _along(a["scale"], a, steps.dim())

    return dequantize


def _lut_to_dense(a: Arguments) -> Tensor:
    """Look indices up that are packed in as few bits as the palette needs, the lowest bit first."""
    if a["lut"].dim() != 1 or "shape" not in a:
        raise refuse("a palette of iOS 18")
    width = a["lut"].numel().bit_length() - 1
    shape = a["shape"].tolist()
    count = torch.Size(shape).numel()
    bits = (a["indices"].unsqueeze(1).int() >> torch.arange(8)) & 1
    indices = bits.flatten()[: count * width].reshape(count, width)
    table: Tensor = a["lut"]
    return table[(indices << torch.arange(width)).sum(1)].reshape(shape)


OPERATORS: Mapping[str, Operator] = {
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "cast": _cast,
    "clip": lambda a: a["x"].clamp(float(a["alpha"]), float(a["beta"])),
    "concat": _concat,
    "constexpr_affine_dequantize": _dequantize("quantized_data"),
    "constexpr_lut_to_dense": _lut_to_dense,
    "conv": _conv,
    "dequantize": _dequantize("input"),
    "exp": _unary(torch.exp),
    "expand_dims": _expand_dims,
    "floor": _unary(torch.floor),
    "gather_along_axis": _gather_along_axis,
    "gelu": _gelu,
    "matmul": _matmul,
    "mul": _binary(torch.mul),
    "quantize": _quantize,
    "real_div": _binary(torch.div),
    "reduce_sum": _reduce_sum,
    "relu": _unary(torch.relu),
    "relu6": _unary(F.relu6),
    "resample": _resample,
    "reshape": lambda a: a["x"].reshape(a["shape"].tolist()),
    "sigmoid": _unary(torch.sigmoid),
    "silu": _unary(F.silu),
    "slice_by_index": _slice_by_index,
    "softmax": lambda a: torch.softmax(a["x"], dim=int(a["axis"])),
    "squeeze": lambda a: a["x"].squeeze(tuple(a["axes"].tolist())),
    "sub": _binary(torch.sub),
    "tanh": _unary(torch.tanh),
    "tile": lambda a: a["x"].repeat(a["reps"].tolist()),
    "transpose": lambda a: a["x"].permute(a["perm"].tolist()),
    "upsample_bilinear": _upsample_bilinear,
}
"""By the operator's name in the program."""
