"""Export the student as an ONNX graph in float32, and write one as a file.

Opset 17: the newest that TensorRT 8.5 (JetPack 5.1) reads. From opset 20 on, bilinear GridSample is
called linear, and TensorRT's parser then takes nearest without a word
(https://github.com/onnx/onnx-tensorrt, TensorRT issue 4646).
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from onnxscript import ir
from onnxscript.ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from edge_vos.converters.lowering import STEP, TensorNames
from edge_vos.converters.quiet import quiet
from edge_vos.errors import EngineError

OPSET = 17
EXPORTED_OPSET = 18
"""What torch's exporter writes by itself; it would lose the scopes on its own way down."""
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Exported:
    """Hold a module as an ONNX graph in float32.

    Args:
        model: static shapes, the graph's own names.
        modules: for each node by name the qualified name of the module that it came from.
    """

    model: onnx.ModelProto
    modules: Mapping[str, str]


def export(module: nn.Module, examples: Sequence[Tensor], names: TensorNames = STEP) -> Exported:
    """Export a module in float32.

    Args:
        module: in evaluation mode; takes and returns the graph's tensors in their order.
        examples: inputs of one call.
        names: the graph's.

    Raises:
        EngineError: if the module cannot be expressed.
    """
    with quiet("torch.onnx"):
        try:
            program = torch.onnx.export(
                module,
                tuple(examples),
                dynamo=True,
                opset_version=EXPORTED_OPSET,
                input_names=list(names.inputs),
                output_names=list(names.outputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EngineError(
                f"The student cannot be exported to ONNX: {error}",
                "operators that ONNX knows",
                "Try another sampler: --sampler matmul",
            ) from error
    if program is None:
        raise EngineError("torch.onnx.export returned nothing", "a program")
    modules = {
        str(node.name): ast.literal_eval(node.metadata_props.get(_SCOPES, "['', '']"))[-2]
        for node in program.model.graph
    }
    ClearMetadataAndDocStringPass()(program.model)
    proto = onnx.version_converter.convert_version(ir.to_proto(program.model), OPSET)
    return Exported(onnx.shape_inference.infer_shapes(proto, strict_mode=True), modules)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Check a model and return the content of its file; equal models give equal bytes.

    Raises:
        EngineError: if it is no valid model.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EngineError(f"The ONNX model is not valid: {error}", "a valid model") from error
    return bytes(model.SerializeToString(deterministic=True))
