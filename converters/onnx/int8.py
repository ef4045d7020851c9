"""Quantize an ONNX graph statically: uint8 activations, int8 weights a channel, in QDQ form.

uint8 and not int8 activations: ONNX Runtime's x86 kernels take them three times as fast. Ranges
come from real calls. They are taken here and not by ONNX Runtime's calibrators: in 1.32 the one
for percentiles fails on a tensor that is all but zero in the first call ("Too many bins for data
range"), as it is before memory is filled, and takes all tensors of a call at once; one pass here
gives percentiles and extremes.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edge_vos.converters.lowering import Calibration
from edge_vos.converters.quantization.quantize import clips_range, kept_float

OPERATORS = ("Conv", "Clip", "Relu", "Add", "Resize")
"""What is quantized: where ONNX Runtime has an integer kernel, or none is needed."""
LEFT_FLOAT = ("encoder.stem", "encoder.stages.0")
"""Beside what always stays float: with so few channels at the image's size integers save no time in
ONNX Runtime, and the first error costs most: with the second of them in 8 bits, the golden of
352x640 overlaps by 0.83."""
CUT = 1e-5
"""The part of the values at either end that a clipped range leaves out."""
SAMPLES = 8192
"""How many values of a tensor count towards a percentile, in each call."""

Ranges = dict[str, tuple[float, float]]


def quantize(
    model: onnx.ModelProto,
    modules: Mapping[str, str],
    calibration: Calibration,
    keep_float: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return the model with 8-bit integers inside; its inputs and outputs stay float32.

    Args:
        model: in float32, with shapes.
        modules: the module of each node, by the node's name.
        calibration: what the ranges are taken from; at least one call.
        keep_float: names of modules whose nodes stay float32 beside those that always do.
    """
    names = [node.name for node in model.graph.node if node.op_type in OPERATORS]
    floats = (*LEFT_FLOAT, *keep_float)
    kept = [name for name in names if kept_float(modules.get(name, ""), floats)]
    ranges = measure_ranges(model, modules, _activations(model, set(kept)), calibration)
    quantizer = QDQQuantizer(
        copy.deepcopy(model),
        per_channel=True,
        # Weights of 7 bits: with 8, x86 without VNNI adds pairs of products beyond 16 bits, and
        # saturates (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(
            CalibrationMethod.MinMax,
            {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()},
        ),
        nodes_to_quantize=[],
        nodes_to_exclude=kept,
        op_types_to_quantize=list(OPERATORS),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


def measure_ranges(
    model: onnx.ModelProto,
    modules: Mapping[str, str],
    tensors: Iterable[str],
    calibration: Calibration,
) -> Ranges:
    """Run the calibration's calls and return the range of each tensor.

    Ranges of tensors that modules with ``clips_range`` made leave out the outermost values; all
    others reach from the least to the greatest.

    Args:
        model: in float32, with shapes.
        modules: the module of each node, by the node's name.
        tensors: names of activations.
        calibration: at least one call.
    """
    makers = {name: modules.get(node.name, "") for node in model.graph.node for name in node.output}
    wanted = sorted(tensors)
    made = [name for name in wanted if name in makers]
    session = _session_with_outputs(model, made)
    samples: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    for call in calibration.calls:
        values = {**call, **dict(zip(made, session.run(made, dict(call)), strict=True))}
        for name in wanted:
            flat = values[name].ravel()
            if name in makers and clips_range(makers[name]):
                samples[name].append(flat[:: max(1, flat.size // SAMPLES)].copy())
            else:
                samples[name].append(np.array([flat.min(), flat.max()], np.float32))
    ranges = {}
    for name, parts in samples.items():
        cut = CUT if name in makers and clips_range(makers[name]) else 0.0
        low, high = np.quantile(np.concatenate(parts), [cut, 1.0 - cut])
        ranges[name] = (float(low), float(high))
    return ranges


def _activations(model: onnx.ModelProto, kept: set[str]) -> set[str]:
    """Name what the quantized nodes read and write; weights are no activations."""
    constant = {tensor.name for tensor in model.graph.initializer}
    names: set[str] = set()
    for node in model.graph.node:
        if node.op_type in OPERATORS and node.name not in kept:
            names.update(node.input[: 2 if node.op_type == "Add" else 1], node.output)
    return names - constant


def _session_with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> ort.InferenceSession:
    """Open a copy of the model that also returns these tensors."""
    opened = copy.deepcopy(model)
    known = {info.name: info for info in opened.graph.value_info}
    outputs = {info.name for info in opened.graph.output}
    opened.graph.output.extend(known[name] for name in names if name not in outputs)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors come as exceptions
    return ort.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
