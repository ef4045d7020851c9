"""Quantize a TFLite file; what stays in float is known by the module that a tensor came from.

litert-torch names a tensor after the stack of modules that made it, class by class, so a module of
the student has a scope: ``pkg.Student_student/pkg.Decoder_decoder/torch.nn.…Conv2d_logits``.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import Quantizer
from numpy.typing import NDArray
from torch import nn

from edge_vos.converters.lowering import Calibration, Request
from edge_vos.converters.quantization.quantize import clips_range, kept_float

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
OPERATORS = (*WEIGHTED, "ADD", "PAD", "RESIZE_BILINEAR")
"""Computed in int8. With every operator that the quantizer knows a step takes five times as long:
XNNPACK lacks some of them in int8, and the rest is cut to pieces. PAD stands before each strided
convolution; left in float it costs two conversions of the largest maps."""

LEFT_FLOAT = (
    "encoder.stem",
    "encoder.stages.0",
    "project",
    "self_propagation",
    "key",
)
"""Stay in float beside those of every engine. The encoder's first maps gain nothing from int8 (16
to 32 channels, bound by memory), and the key and what leads to it decide where the attention
looks: of all modules these two groups cost the masks most."""

GRAPH_OUTPUT = "^serving_default_"
"""What writes an output of the graph is named after it and not after a module; it stays float."""

CLIPPED_FRACTION = 1e-5
"""Part of the values that a clipped range leaves out at either end, in each call."""

Array = NDArray[np.float32]
Ranges = dict[str, dict[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Rules:
    """Say what stays in float and whose range is not cut.

    Args:
        modules: names of the student's modules by their scope.
        keep_float: names of modules that stay in float with everything inside them.
    """

    modules: dict[str, str]
    keep_float: tuple[str, ...]

    @classmethod
    def of(cls, graph: nn.Module, request: Request) -> "Rules":
        """Find the scope of every module in one call."""
        kept = LEFT_FLOAT if request.precision == "int8" else ()
        return cls(_scopes(graph, request), (*kept, *request.keep_float))

    @property
    def float_scopes(self) -> list[str]:
        """Return the scopes of the modules whose own operators stay in float."""
        return [s for s, name in self.modules.items() if kept_float(name, self.keep_float)]

    def clips(self, tensor: str) -> bool:
        """Tell whether the range of a tensor may be cut: every module that made it allows it."""
        makers = [self.modules[scope] for scope in tensor.split(";") if scope in self.modules]
        return bool(makers) and all(clips_range(name) for name in makers)


def to_fp16(content: bytes, rules: Rules) -> bytes:
    """Store weights as float16; engines compute in float32, or in float16 where that is fast."""
    quantizer = Quantizer(content)
    for operator in WEIGHTED:
        quantizer.add_weight_only_config(
            ".*", TFLOperationName(operator), 16, algorithm_key=AlgorithmName.FLOAT_CASTING
        )
    return _quantize(quantizer, rules, None)


def to_int8(content: bytes, rules: Rules, calibration: Calibration) -> bytes:
    """Compute ``OPERATORS`` in int8, weights by channel, with the ranges of real calls."""
    quantizer = Quantizer(content)
    for operator in OPERATORS:
        quantizer.add_static_config(".*", TFLOperationName(operator), 8, 8)
    return _quantize(quantizer, rules, _ranges(content, rules, calibration))


def _quantize(quantizer: Quantizer, rules: Rules, ranges: Ranges | None) -> bytes:
    patterns = [f"(^|;){re.escape(scope)};" for scope in rules.float_scopes]
    for pattern in (GRAPH_OUTPUT, *patterns):
        quantizer.update_quantization_recipe(
            pattern,
            TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _ranges(content: bytes, rules: Rules, calibration: Calibration) -> Ranges:
    """Return the least and largest value of every tensor that an int8 operator reads or writes."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    inputs = interpreter.get_signature_runner().get_input_details()
    tensors = list(_activations(interpreter))
    seen: dict[str, tuple[float, float]] = {}
    for call in calibration.calls:
        for name, detail in inputs.items():
            interpreter.set_tensor(detail["index"], call[name])
        interpreter.invoke()
        for index, name in tensors:
            low, high = _extent(interpreter.get_tensor(index), rules.clips(name))
            before = seen.get(name, (low, high))
            seen[name] = (min(before[0], low), max(before[1], high))
    return {
        name: {"min": np.array([low]), "max": np.array([high])}
        for name, (low, high) in seen.items()
    }


def _activations(interpreter: Interpreter) -> Iterator[tuple[int, str]]:
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    quantized = [each for each in operators if each["op_name"] in OPERATORS]
    used = {int(i) for each in quantized for i in (*each["inputs"], *each["outputs"])}
    made = {int(i) for each in operators for i in each["outputs"]}  # constants are made by none
    for index in sorted(used & made):
        if details[index]["dtype"] is np.float32:
            yield index, details[index]["name"]


def _extent(values: Array, clip: bool) -> tuple[float, float]:
    cut = int(values.size * CLIPPED_FRACTION) if clip else 0
    if not cut:
        return float(values.min()), float(values.max())
    ordered = np.partition(values, (cut, values.size - 1 - cut), axis=None)
    return float(ordered[cut]), float(ordered[-1 - cut])


def _scopes(graph: nn.Module, request: Request) -> dict[str, str]:
    """Return the name of every module of ``request.module`` by the scope of its operators."""
    names = {module: name for name, module in request.module.named_modules()}
    found: dict[str, str] = {}
    stack: list[str] = []

    def enter(module: nn.Module, _: object) -> None:
        stack.append(f"{type(module).__module__}.{type(module).__qualname__}")
        if name := paths[module].rpartition(".")[2]:
            stack[-1] += f"_{name}"
        if module in names:
            found["/".join(stack)] = names[module]

    def leave(*_: object) -> None:
        stack.pop()

    paths = {module: name for name, module in graph.named_modules()}
    with ExitStack() as hooks, torch.inference_mode():
        for module in paths:
            hooks.enter_context(module.register_forward_pre_hook(enter))
            hooks.enter_context(module.register_forward_hook(leave))
        graph(**dict(zip(request.names.inputs, request.examples, strict=True)))
    return found
