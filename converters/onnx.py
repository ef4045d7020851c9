"""Lower the student to ONNX.

Opset 18: from opset 20 on, bilinear GridSample is called linear, and TensorRT's parser then takes
nearest without a word (https://github.com/onnx/onnx-tensorrt, TensorRT issue 4646).
"""

import onnx
import torch
from onnxscript import ir
from onnxscript.ir.passes.common import ClearMetadataAndDocStringPass

from edge_vos.converters.lowering import Lowered, Request
from edge_vos.converters.quiet import quiet
from edge_vos.errors import EngineError
from edge_vos.model.student import INPUT_NAMES, OUTPUT_NAMES

OPSET = 18
MODEL_FILE = "model.onnx"


def lower(request: Request) -> Lowered:
    """Export a module as an ONNX file with static shapes and the graph's own names.

    The same module gives the same bytes. What names the machine (source lines in metadata) is
    taken out.

    Raises:
        EngineError: if the module cannot be expressed.
    """
    with quiet("torch.onnx"):
        try:
            program = torch.onnx.export(
                request.module,
                tuple(request.examples),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(INPUT_NAMES),
                output_names=list(OUTPUT_NAMES),
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
    ClearMetadataAndDocStringPass()(program.model)
    proto = ir.to_proto(program.model)
    onnx.checker.check_model(proto, full_check=True)
    content = bytes(proto.SerializeToString(deterministic=True))
    return Lowered(MODEL_FILE, {MODEL_FILE: content})
