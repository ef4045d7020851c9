"""Quantize a student's graph for XNNPACK: static, per channel, with float where it matters.

torchao 0.18.0's PT2E flow with ExecuTorch 1.5.1's ``XNNPACKQuantizer``, and two things added to
that quantizer. Its ``set_module_name`` quantizes nothing at all and takes no exception, so what
stays in float is marked as annotated before it looks. And it ends a convolution's range before
the ReLU6 that follows, where half of the 256 steps go to values that are cut off; here the pair is
one operator, as XNNPACK has it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edge_vos.converters.lowering import STEP, Calibration, TensorNames, as_tuple
from edge_vos.converters.quantization.quantize import clips_range, kept_float
from edge_vos.converters.quiet import executorch_silenced
from edge_vos.errors import EngineError

with executorch_silenced():
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

aten = torch.ops.aten

CLIPPED = 1e-4
"""The part of the values of an activation that may lie outside its range, on each side."""

LEFT_FLOAT = ("encoder.stages.0", "encoder.stages.1", "key", "identity")
"""Kept in float beside what every engine keeps.

The first depthwise convolutions, whose channels differ most in range, cost more agreement than
all that follows. The two that write the memory are small, and in float nothing adds up from frame
to frame; an int8 ``key`` could not be lowered either: an output of the graph that an operator in
another layout uses too loses its shape (ExecuTorch 1.5.1, ``ChannelsLastTaggedReshapePass``).
"""

PREPARED_TOLERANCE = 1e-4
"""How far a prepared graph may lie from the float one, as a part of the largest value."""

_SAMPLES = 200_000
_EPS = 2.0**-12
_CONVOLUTIONS = (aten.conv2d.default,)
_SUMS = (aten.add.Tensor,)


def quantize(
    graph: fx.GraphModule,
    calibration: Calibration,
    keep_float: Sequence[str] = (),
    names: TensorNames = STEP,
) -> fx.GraphModule:
    """Quantize a graph with the ranges that real calls show.

    Args:
        graph: as ``export_graph`` made it; it is used up.
        calibration: at least one call.
        keep_float: names of submodules that stay in float, everything inside them included.
        names: the graph's tensors.

    Returns:
        a graph with quantized weights, ready to be exported.

    Raises:
        EngineError: if the prepared graph, before anything is rounded, computes something else.
    """
    calls = [
        tuple(torch.from_numpy(call[name]).contiguous() for name in names.inputs)
        for call in calibration.calls
    ]
    with executorch_silenced(), torch.no_grad():
        expected = graph(*calls[0])
        prepared = prepare_pt2e(graph, StudentQuantizer(keep_float))
        check_prepared(as_tuple(expected), as_tuple(prepared(*calls[0])), names)
        for call in calls[1:]:
            prepared(*call)
        quantized: fx.GraphModule = convert_pt2e(prepared)
    _drop_implied_clamps(quantized)
    return quantized


def check_prepared(
    expected: Sequence[Tensor], found: Sequence[Tensor], names: TensorNames = STEP
) -> None:
    """Refuse a prepared graph that is not the float one.

    torchao 0.18.0 folds a BatchNorm into a convolution whose output has other users too, and so
    changes the result without a word.

    Raises:
        EngineError: naming the output that differs.
    """
    for name, a, b in zip(names.outputs, expected, found, strict=True):
        error = float((a - b).abs().max() / a.abs().max().clamp(min=1e-6))
        if not error <= PREPARED_TOLERANCE:
            raise EngineError(
                f"torchao changed the student while preparing it: {name} is off by {error:.2g}",
                f"a prepared graph within {PREPARED_TOLERANCE:g} of the float one",
                "Fold every BatchNorm first (edge_vos.converters.rewrites.fold_batchnorm)",
            )


class StudentQuantizer(Quantizer):  # type: ignore[misc]
    """Annotate as ``XNNPACKQuantizer`` does, but not in what stays in float.

    Args:
        keep_float: names of submodules beside those that always stay in float.
    """

    def __init__(self, keep_float: Sequence[str] = ()) -> None:
        super().__init__()
        self._keep_float = (*LEFT_FLOAT, *keep_float)
        self._config = get_symmetric_quantization_config(is_per_channel=True)

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Write into each node what is to be quantized."""
        for node in model.graph.nodes:
            if node.op == "call_function" and self.keeps(node):
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        for node in model.graph.nodes:
            self._annotate_clamped(node)
        XNNPACKQuantizer().set_global(self._config).annotate(model)
        for node in model.graph.nodes:
            _set_observers(node)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Accept what was annotated."""

    def keeps(self, node: fx.Node) -> bool:
        """Tell whether a node's module stays in float."""
        return kept_float(module_of(node), self._keep_float)

    def _annotate_clamped(self, clamp: fx.Node) -> None:
        """Annotate a ReLU6 and the convolution or sum before it as one operator."""
        if clamp.target is not aten.hardtanh.default:
            return
        producer = clamp.args[0]
        assert isinstance(producer, fx.Node)
        fits = producer.target in (*_CONVOLUTIONS, *_SUMS) and len(producer.users) == 1
        if not fits or self.keeps(producer) or self.keeps(clamp):
            return
        activation = self._config.input_activation
        first, second = producer.args[:2]
        weighted = producer.target in _CONVOLUTIONS
        specs = {first: activation, second: self._config.weight if weighted else activation}
        producer.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(specs, _annotated=True)
        clamp.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            output_qspec=activation, _annotated=True
        )


class PercentileObserver(MinMaxObserver):  # type: ignore[misc]
    """Leave out the outermost values of each call, ``CLIPPED`` of them on either side."""

    def forward(self, x_orig: Tensor) -> Tensor:
        """Note the range of a call's activation."""
        values = x_orig.detach().flatten()
        values = values[:: -(-values.numel() // _SAMPLES)]
        outside = int(values.numel() * CLIPPED)
        if outside:
            low = values.kthvalue(outside + 1).values
            high = values.kthvalue(values.numel() - outside).values
            super().forward(torch.stack([low, high]))
        else:
            super().forward(x_orig)
        return x_orig


def module_of(node: fx.Node) -> str:
    """Return the qualified name of the submodule that a node came from."""
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values()]
    # A module that is called again is written as name@1.
    return str(stack[-1]).partition("@")[0] if stack else ""


def _set_observers(node: fx.Node) -> None:
    """Choose how each activation's range is found, by the module that makes the activation.

    Both ends of an edge have to name the same, or it is quantized twice.
    """
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    if annotation is None:
        return
    for source, spec in annotation.input_qspec_map.items():
        annotation.input_qspec_map[source] = _with_observer(spec, source)
    annotation.output_qspec = _with_observer(annotation.output_qspec, node)


def _with_observer(spec: Any, source: fx.Node) -> Any:
    if not isinstance(spec, QuantizationSpec) or spec.qscheme != torch.per_tensor_affine:
        return spec
    return CLIPPING_SPEC if clips_range(module_of(source)) else WHOLE_SPEC


def _activation(observer: Callable[..., Any]) -> Any:
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        is_dynamic=False,
        observer_or_fake_quant_ctr=observer,
    )


CLIPPING_SPEC = _activation(PercentileObserver.with_args(eps=_EPS))
WHOLE_SPEC = _activation(MinMaxObserver.with_args(eps=_EPS))


def _drop_implied_clamps(graph: fx.GraphModule) -> None:
    """Turn a ReLU6 after a sum into a ReLU where int8 cannot hold more than 6 anyway.

    XNNPACK's int8 addition takes a ReLU along but no ReLU6 (ExecuTorch 1.5.1, ``AddConfig``), and
    without it the sum is computed in float.
    """
    quantizing = torch.ops.quantized_decomposed.quantize_per_tensor.default
    for node in list(graph.graph.nodes):
        if node.target is not aten.hardtanh.default or node.args[0].target not in _SUMS:
            continue
        users = list(node.users)
        if [user.target for user in users] != [quantizing] or node.args[1:] != (0.0, 6.0):
            continue
        scale, zero_point, _, highest = users[0].args[1:5]
        if (highest - zero_point) * scale <= 6.0 + scale / 2:
            with graph.graph.inserting_before(node):
                relu = graph.graph.call_function(aten.relu.default, (node.args[0],))
            relu.meta = dict(node.meta)
            node.replace_all_uses_with(relu)
            graph.graph.erase_node(node)
    graph.recompile()
